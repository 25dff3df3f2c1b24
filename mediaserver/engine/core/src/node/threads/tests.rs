//! Nodes of several threads with one port, and peers whose datagrams come to whichever thread their address leads to: real ICE, DTLS
//! and SRTP, no sockets, no wall time.

mod connections;

use std::time::Duration;

use super::super::tests::{PARENT, STEP, facts, local, serve, serve_as, tracks};
use super::super::{Fact, Full, Limits, NewPull, NewSession, PulledFrom, SessionStats};
use super::*;
use crate::border::{ExtensionValues, SourceId, SourceKind, SourcePacket, TrackSpec, WallClock};
use crate::dtls::Crypto;
use crate::egress::{Egress, Message};
use crate::negotiation::{Codec, Offer, relay};
use crate::random::Random;
use crate::receive::Receiver;
use crate::session::{CloseReason, Media, Parts, Role, Session, agent};

/// VP8: every 60th packet begins a key frame.
const GOP: u64 = 60;

/// A peer that pulls the stream, as a node of its own.
struct Peer {
    node: Node,
    address: SocketAddr,
    /// Where its datagrams come to.
    lands: ThreadNumber,
}

struct Scene {
    threads: Vec<Node>,
    directory: Directory,
    peers: Vec<Peer>,
    random: Random,
    source: Option<(ThreadNumber, SourceId, u64)>,
    now: Instant,
}

#[derive(Default)]
struct Wire(Vec<(SocketAddr, Vec<u8>)>);

impl Egress for Wire {
    fn send(&mut self, messages: &[Message], bytes: &[u8]) -> usize {
        for message in messages {
            let all = &bytes[message.start..message.start + message.len];
            self.0.extend(all.chunks(message.segment.into()).map(|part| (message.destination, part.to_vec())));
        }
        messages.len()
    }
}

fn alone(crypto: &Crypto, now: Instant, limits: Limits, seed: u64) -> Node {
    let clock = WallClock { at: now, since_unix_epoch: Duration::from_secs(1_700_000_000) };
    Node::new(crypto.clone(), limits, crate::border::ForwarderConfig::default(), clock, seed)
}

fn turn(node: &mut Node, now: Instant) -> Vec<(SocketAddr, Vec<u8>)> {
    let mut wire = Wire::default();
    node.on_timeout(now);
    node.on_words(now);
    node.poll_transmit(now, &mut wire);
    node.on_handshakes(now, &mut || true);
    wire.0.extend(node.transmits.drain(..).map(|sent| (sent.to, sent.datagram)));
    wire.0
}

impl Scene {
    fn new(seed: u64, count: usize, limits: Limits) -> Self {
        let now = Instant::now();
        let crypto = Crypto::new().unwrap();
        let directory = Directory::default();
        let inboxes = Inboxes::mesh(count, 1000).into_iter().zip(Inboxes::mesh(count, 1000));
        let threads = inboxes.map(|(sessions, streams)| {
            let node = alone(&crypto, now, limits, seed + sessions.me() as u64);
            node.linked(sessions, streams, directory.clone())
        });
        Self { threads: threads.collect(), directory, peers: vec![], random: Random::new(seed), source: None, now }
    }

    fn roomy(seed: u64) -> Self {
        Self::new(seed, 3, Limits { sessions: 100, handshakes: 100 })
    }

    /// A peer asks for the stream: its session begins on `thread`, its datagrams come to `lands`.
    fn join(&mut self, thread: ThreadNumber, lands: ThreadNumber) -> Result<usize, Full> {
        let at = self.peers.len();
        let (id, port) = (100 + at as u64, 40_000 + u16::try_from(at).unwrap());
        let crypto = Crypto::new().unwrap();
        let mut node = alone(&crypto, self.now, Limits { sessions: 1, handshakes: 1 }, id);
        let local = local(&node, char::from(b'a' + u8::try_from(at).unwrap()), &[]);
        let offer = relay::offer(&local, &tracks()).unwrap();
        let pull = NewPull {
            stream: "s".into(),
            incarnation: "i".to_owned(),
            local,
            created: self.now,
            from: PulledFrom::Node,
        };
        node.add_pull(1, pull).unwrap();
        let name = char::from(b'A' + u8::try_from(at).unwrap());
        let answer = serve_as(name, &mut self.threads[thread], id, &offer, self.now)?;
        node.answer_pull(1, &answer, self.now).unwrap();
        self.peers.push(Peer { node, address: ([203, 0, 113, 5], port).into(), lands });
        Ok(at)
    }

    fn publish(&mut self, thread: ThreadNumber) {
        let spec = TrackSpec::plain(Codec::Vp8);
        let forwarder = &mut self.threads[thread].forwarder;
        let id = forwarder.start_source(&"s".into(), "i", SourceKind::Publisher, &[spec], self.now);
        self.source = Some((thread, id, 0));
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += STEP;
            self.feed();
            self.step();
        }
    }

    /// A packet of the source.
    fn feed(&mut self) {
        let Some((thread, id, sent)) = &mut self.source else { return };
        let payload: &[u8] = if *sent % GOP == 0 { &[0x10, 0, 0] } else { &[0x10, 1, 0] };
        let timestamp = u32::try_from(*sent).unwrap() * 450;
        let extensions = ExtensionValues::default();
        let packet = SourcePacket { sequence: *sent, timestamp, marker: true, payload: payload.into(), extensions };
        *sent += 1;
        self.threads[*thread].forwarder.on_source_packet(*id, 0, packet, self.now);
    }

    /// Everybody once, the threads in any order; what peers send comes before a thread hears what others have said.
    fn step(&mut self) {
        for peer in &mut self.peers {
            for (to, datagram) in turn(&mut peer.node, self.now) {
                assert_eq!(to, PARENT.parse().unwrap());
                self.threads[peer.lands].on_datagram(Socket::Shared, peer.address, &datagram, self.now);
            }
        }
        let first = usize::try_from(self.random.word()).unwrap();
        for at in 0..self.threads.len() {
            let thread = (first + at) % self.threads.len();
            for (to, datagram) in turn(&mut self.threads[thread], self.now) {
                let peer = self.peers.iter_mut().find(|peer| peer.address == to);
                if let Some(peer) = peer {
                    peer.node.on_datagram(Socket::Own(1), PARENT.parse().unwrap(), &datagram, self.now);
                }
            }
        }
    }

    fn received(&self, peer: usize) -> Option<SessionStats> {
        self.peers[peer].node.stats(self.now).sessions.first().cloned()
    }

    fn facts(&mut self) -> Vec<(ThreadNumber, Fact)> {
        let facts = |(at, node): (usize, &mut Node)| facts(node).into_iter().map(move |fact| (at, fact));
        self.threads.iter_mut().enumerate().flat_map(facts).collect()
    }

    fn unknown(&self) -> u64 {
        self.threads.iter().map(|node| node.stats(self.now).unknown_datagrams).sum()
    }
}

#[test]
fn a_session_goes_to_the_thread_that_its_peers_datagrams_come_to() {
    for seed in 0..9 {
        let (begins, lands) = (seed % 3, seed / 3);
        let mut scene = Scene::roomy(seed as u64);
        scene.publish(0);
        let peer = scene.join(begins, lands).unwrap();
        scene.run(Duration::from_secs(2));
        assert_eq!(scene.facts(), [(lands, Fact::Connected)], "from {begins} to {lands}");
        assert_eq!(scene.directory.thread_of(100), Some(lands));
        let (here, there) = (scene.received(peer).unwrap(), scene.threads[lands].stats(scene.now).sessions[0].clone());
        assert!(here.packets > 300 && here.given_up == 0, "{here:?}");
        assert!(there.packets - here.packets <= 3, "{there:?} {here:?}");
        assert_eq!(scene.unknown(), 0);
        for (at, node) in scene.threads.iter().enumerate().filter(|(at, _)| *at != lands) {
            assert!(node.sessions.is_empty() && node.by_ufrag.is_empty() && node.by_address.is_empty(), "{at}");
            assert!(node.timers.is_empty() && !node.has_handshakes(), "{at}");
        }
        assert!(scene.threads[lands].close(100, scene.now));
        scene.run(Duration::from_millis(50));
        assert!(scene.directory.is_empty());
        assert_eq!(facts(&mut scene.peers[peer].node).last(), Some(&Fact::Closed(CloseReason::PeerClosed)));
    }
}

#[test]
fn viewers_of_one_stream_are_spread_over_all_threads() {
    let mut scene = Scene::roomy(7);
    scene.publish(1);
    for at in 0..9 {
        scene.join(at % 3, (at * 2) % 3).unwrap();
        scene.run(Duration::from_millis(200));
    }
    scene.run(Duration::from_secs(1));
    let sessions: Vec<usize> = scene.threads.iter().map(|node| node.stats(scene.now).sessions.len()).collect();
    assert_eq!(sessions, [3, 3, 3]);
    for peer in 0..9 {
        let stats = scene.received(peer).unwrap();
        assert!(stats.packets > 200 && stats.given_up == 0 && stats.plis == 0, "{peer}: {stats:?}");
    }
}

#[test]
fn a_peer_that_moves_to_another_threads_addresses_stays_where_it_is() {
    let mut scene = Scene::roomy(5);
    scene.publish(0);
    let peer = scene.join(2, 1).unwrap();
    scene.run(Duration::from_secs(1));
    assert_eq!(scene.facts(), [(1, Fact::Connected)]);
    // NAT rebinding: the same session from another address, which leads to thread 2.
    scene.peers[peer].address = "203.0.113.77:41000".parse().unwrap();
    scene.peers[peer].lands = 2;
    scene.run(Duration::from_secs(40));
    assert_eq!((scene.facts(), scene.directory.thread_of(100)), (vec![], Some(1)));
    let stats = scene.threads[1].stats(scene.now).sessions[0].clone();
    assert_eq!(stats.remote, Some(scene.peers[peer].address));
    assert!(stats.rtt.is_some() && scene.received(peer).unwrap().media_age.unwrap() < Duration::from_millis(100));
}

#[test]
fn limits_are_those_of_all_threads_together() {
    let mut scene = Scene::new(1, 3, Limits { sessions: 2, handshakes: 10 });
    assert!(scene.join(0, 0).is_ok() && scene.join(1, 1).is_ok());
    assert_eq!(scene.join(2, 2), Err(Full::Sessions));
    let mut scene = Scene::new(1, 3, Limits { sessions: 9, handshakes: 1 });
    scene.join(0, 1).unwrap();
    assert_eq!(scene.join(2, 2), Err(Full::Handshakes));
    scene.run(Duration::from_secs(1));
    assert_eq!(scene.facts(), [(1, Fact::Connected)]);
    assert!(scene.join(2, 2).is_ok());
}

#[test]
fn what_belongs_to_no_thread_is_counted_once() {
    let mut scene = Scene::roomy(1);
    scene.publish(0);
    scene.join(0, 0).unwrap();
    scene.run(Duration::from_secs(1));
    let from = "198.51.100.200:9".parse().unwrap();
    for datagram in [&[22; 40][..], &[128; 40], &[200; 4], &[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]] {
        scene.threads[1].on_datagram(Socket::Shared, from, datagram, scene.now);
    }
    // What is for a session elsewhere is that thread's to judge.
    scene.threads[1].on_datagram(Socket::Shared, scene.peers[0].address, &[128; 40], scene.now);
    scene.run(Duration::from_millis(20));
    assert_eq!(scene.unknown(), 5);
}

/// Its media are those of the answer that a peer's offer gets.
fn publisher(node: &mut Node, id: SessionId, now: Instant) -> NewSession {
    let theirs = local(node, 'v', &[]);
    let offer = relay::offer(&theirs, &tracks()).unwrap();
    let mut server = alone(&node.crypto, now, Limits { sessions: 1, handshakes: 1 }, 5);
    let answer = serve(&mut server, 9, &offer, now).unwrap();
    let receiving = relay::accept(&Offer::parse(&answer).unwrap()).unwrap();
    let local = local(node, 'w', &[PARENT]);
    let agent = agent::transport(&node.crypto, &local, &receiving.peer, now).unwrap();
    let media = Media::Inbound(Receiver::new(&receiving, &local.ufrag));
    let session = Session::new(Parts { role: Role::Publisher, media, local, peer: receiving.peer, agent }, now);
    NewSession { id, session, stream: "s".into(), incarnation: Some("i".to_owned()) }
}

#[test]
fn a_publisher_takes_its_place_in_the_row_of_sources_along() {
    let mut scene = Scene::roomy(1);
    let now = scene.now;
    let new = publisher(&mut scene.threads[0], 7, now);
    scene.threads[0].add(new, now).unwrap();
    let order =
        |node: &Node| node.by_source.keys().map(|source| node.forwarder.order_of(*source).unwrap()).collect::<Vec<_>>();
    let before = order(&scene.threads[0]);
    scene.threads[0].hand_over(7, 2, now);
    assert!(order(&scene.threads[0]).is_empty() && scene.threads[0].take_wakes() == 0b100);
    let later = now + Duration::from_secs(1);
    scene.threads[2].on_words(later);
    assert_eq!((order(&scene.threads[2]), before.len()), (before, 1));
    assert!(scene.threads[2].has(7) && !scene.threads[0].has(7));
    // A command that comes while it is under way finds it where the directory says.
    assert_eq!(scene.directory.thread_of(7), Some(2));
}

#[test]
fn a_publisher_whose_session_panics_ends_alone() {
    let mut scene = Scene::roomy(1);
    let peers = [scene.join(0, 1).unwrap(), scene.join(0, 2).unwrap()];
    scene.publish(0);
    scene.run(Duration::from_secs(1));
    scene.facts();
    // The source becomes a session's, and that panics.
    let (thread, source, _) = scene.source.take().unwrap();
    let now = scene.now;
    let new = publisher(&mut scene.threads[thread], 7, now);
    scene.threads[thread].add(new, now).unwrap();
    if let Some(own) = scene.threads[thread].sessions.get_mut(&7).and_then(|entry| entry.source.replace(source)) {
        scene.threads[thread].forwarder.end_source(own, now);
    }
    scene.threads[thread].turn(7, now, |_| panic!("a test's own panic"));
    scene.run(Duration::from_millis(200));
    assert_eq!(scene.facts(), [(0, Fact::Closed(CloseReason::Failed))]);
    let before = peers.map(|peer| scene.received(peer).unwrap().packets);
    scene.publish(2);
    scene.run(Duration::from_secs(1));
    assert_eq!(scene.facts(), []);
    for (peer, before) in peers.into_iter().zip(before) {
        let stats = scene.received(peer).unwrap();
        assert!(stats.packets > before + 100, "{before} {stats:?}");
    }
}
