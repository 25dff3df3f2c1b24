//! Two nodes and the link between them, with real ICE, DTLS and SRTP: no sockets, no wall time.

mod keys;

use std::collections::HashMap;

use super::super::tests::{CHILD, PARENT, facts, local, roomy};
use super::super::*;
use super::{LegError, NewLeg};
use crate::border::{ExtensionValues, SourcePacket, TrackSpec};
use crate::egress::Message;
use crate::negotiation::link::{LegWish, LinkTransport};
use crate::negotiation::{Codec, Format, Track};
use crate::random::Random;
use crate::session::is_rtp;

const STEP: Duration = Duration::from_millis(2);
const LINK: SessionId = 1;
/// In packets.
const GOP: u64 = 50;

#[derive(Default)]
struct Wire(Vec<Vec<u8>>);

impl Egress for Wire {
    fn send(&mut self, messages: &[Message], bytes: &[u8]) -> usize {
        for message in messages {
            let all = &bytes[message.start..message.start + message.len];
            self.0.extend(all.chunks(message.segment.into()).map(<[u8]>::to_vec));
        }
        messages.len()
    }
}

struct Scene {
    child: Node,
    parent: Node,
    now: Instant,
    /// Of the parent: by stream, with the packets so far.
    sources: HashMap<String, (SourceId, u64)>,
    cut: bool,
    /// In 1/1000.
    loss: u32,
    random: Random,
    /// Every datagram under (from the child, SRTP or SRTCP, SSRC, index).
    sealed: HashMap<(bool, bool, u32, u32), Vec<u8>>,
}

fn tracks() -> Vec<Track> {
    vec![Track { kind: Codec::Vp8.kind(), format: Format { codec: Codec::Vp8, fmtp: String::new() }, layers: vec![] }]
}

fn new(leg: SessionId, stream: &str) -> NewLeg {
    NewLeg { id: leg, link: LINK, stream: stream.into(), cname: format!("c{leg}") }
}

fn turn(node: &mut Node, now: Instant) -> Vec<Vec<u8>> {
    let mut wire = Wire::default();
    node.on_timeout(now);
    node.on_handshakes(now, &mut || true);
    // As the shell does it: handshakes before the media that they allow.
    let others: Vec<Vec<u8>> = node.transmits.drain(..).map(|sent| sent.datagram).collect();
    node.poll_transmit(now, &mut wire);
    others.into_iter().chain(wire.0).chain(node.transmits.drain(..).map(|sent| sent.datagram)).collect()
}

impl Scene {
    /// A link that was asked for and answered, and nothing has passed yet.
    fn new(seed: u64) -> Self {
        let now = Instant::now();
        let (mut child, mut parent) = (roomy(now), roomy(now));
        let ours = local(&child, 'c', &[]);
        child.open_link(LINK, ours.clone(), 1000, now).unwrap();
        let theirs = local(&parent, 'p', &[PARENT]);
        let session = accept_link(&parent.crypto, theirs.clone(), &LinkTransport::of(&ours), 1, now).unwrap();
        parent.add(NewSession { id: LINK, session, stream: "".into(), incarnation: None }, now).unwrap();
        let random = Random::new(seed);
        let mut scene =
            Self { child, parent, now, sources: HashMap::new(), cut: false, loss: 0, random, sealed: HashMap::new() };
        scene.answer(&theirs);
        scene
    }

    fn answer(&mut self, theirs: &crate::negotiation::LocalTransport) {
        self.child.answer_link(LINK, &LinkTransport::of(theirs), self.now).unwrap();
    }

    fn publish(&mut self, stream: &str) {
        let spec = TrackSpec::plain(Codec::Vp8);
        let forwarder = &mut self.parent.forwarder;
        let source = forwarder.start_source(&stream.into(), "i", SourceKind::Publisher, &[spec], self.now);
        self.sources.insert(stream.to_owned(), (source, 0));
    }

    fn ask(&mut self, leg: SessionId, stream: &str) -> LegWish {
        self.child.pull_leg(&new(leg, stream), "i", &tracks(), self.now).unwrap()
    }

    fn serve(&mut self, leg: SessionId, stream: &str, wish: &LegWish) -> Result<(), LegError> {
        self.parent.serve_leg(&new(leg, stream), wish, &tracks(), self.now)
    }

    fn pull(&mut self, leg: SessionId, stream: &str) {
        let wish = self.ask(leg, stream);
        self.serve(leg, stream, &wish).unwrap();
        assert!(self.child.answer_leg(leg));
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += STEP;
            self.feed();
            for datagram in turn(&mut self.child, self.now) {
                if self.passes(true, &datagram) {
                    self.parent.on_datagram(Socket::Shared, CHILD.parse().unwrap(), &datagram, self.now);
                }
            }
            for datagram in turn(&mut self.parent, self.now) {
                if self.passes(false, &datagram) {
                    self.child.on_datagram(Socket::Own(LINK), PARENT.parse().unwrap(), &datagram, self.now);
                }
            }
        }
    }

    /// A packet of each source in every fifth step: 10 ms.
    fn feed(&mut self) {
        for (source, sent) in self.sources.values_mut() {
            *sent += 1;
            if !sent.is_multiple_of(5) {
                continue;
            }
            let number = *sent / 5;
            let payload: &[u8] = if number % GOP == 1 { &[0x10, 0, 0] } else { &[0x10, 1, 0] };
            let timestamp = u32::try_from(number).unwrap() * 900;
            let extensions = ExtensionValues::default();
            let packet =
                SourcePacket { sequence: number, timestamp, marker: true, payload: payload.into(), extensions };
            self.parent.forwarder.on_source_packet(*source, 0, packet, self.now);
        }
    }

    /// Whether the path lets it through; on the way no index may come twice with other bytes.
    fn passes(&mut self, from_child: bool, datagram: &[u8]) -> bool {
        if crate::session::is_srtp(datagram) {
            let word = |at: usize| u32::from_be_bytes(datagram[at..at + 4].try_into().unwrap());
            let rtp = is_rtp(datagram);
            let index = if rtp { word(0) & 0xffff } else { word(datagram.len() - 4) };
            let ssrc = word(if rtp { 8 } else { 4 });
            let before = self.sealed.insert((from_child, rtp, ssrc, index), datagram.to_vec());
            assert!(before.is_none_or(|before| before == datagram), "{from_child} {rtp} {ssrc} {index}");
        }
        !self.cut && self.random.word() % 1000 >= self.loss
    }

    fn packets(&self, leg: SessionId) -> (u64, u64) {
        let of = |node: &Node| {
            let stats = node.stats(self.now);
            stats.sessions.iter().find(|session| session.session == leg).map_or(0, |session| session.packets)
        };
        (of(&self.parent), of(&self.child))
    }

    /// Nothing is left of anything.
    fn is_empty(&self) -> bool {
        [&self.child, &self.parent].into_iter().all(|node| {
            let maps = node.by_source.is_empty() && node.by_viewer.is_empty() && node.timers.is_empty();
            maps && node.legs.is_empty()
                && node.sessions.is_empty()
                && node.opening.is_empty()
                && node.directory.is_empty()
        })
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn two_relays_share_one_session() {
    let mut scene = Scene::new(1);
    for (leg, stream) in [(11, "a"), (12, "b")] {
        scene.publish(stream);
        scene.pull(leg, stream);
    }
    scene.run(SECOND);
    for node in [&scene.child, &scene.parent] {
        let stats = node.stats(scene.now);
        let links: HashMap<SessionId, Option<SessionId>> = stats.sessions.iter().map(|s| (s.session, s.link)).collect();
        assert_eq!(links, HashMap::from([(LINK, None), (11, Some(LINK)), (12, Some(LINK))]));
        assert!(stats.sessions.iter().all(|session| session.connected) && stats.unknown_datagrams == 0);
        assert!(stats.sessions.iter().filter(|session| session.link.is_some()).all(|leg| leg.loss == Some(0.0)));
        assert!(stats.sessions.iter().filter(|session| session.link.is_some()).all(|leg| leg.rtt.is_some()));
    }
    assert_eq!(scene.child.settled.len(), 1, "one socket");
    for leg in [11, 12] {
        let (there, here) = scene.packets(leg);
        assert!(there > 80 && there == here, "{there} {here}");
    }
}

#[test]
fn media_that_follow_the_handshake_at_once_are_not_lost() {
    let mut scene = Scene::new(1);
    scene.publish("a");
    scene.cut = true;
    scene.run(SECOND);
    scene.cut = false;
    scene.pull(11, "a");
    scene.run(SECOND);
    let (there, here) = scene.packets(11);
    assert!(there > 30 && there == here, "{there} {here}");
}

#[test]
fn a_leg_ends_and_the_other_goes_on() {
    let mut scene = Scene::new(1);
    for (leg, stream) in [(11, "a"), (12, "b")] {
        scene.publish(stream);
        scene.pull(leg, stream);
    }
    scene.run(SECOND);
    facts(&mut scene.child);
    let before = scene.packets(12).1;
    assert!(scene.parent.close(11, scene.now) && !scene.parent.close(11, scene.now));
    scene.run(SECOND);
    assert_eq!(facts(&mut scene.child), [Fact::Closed(CloseReason::PeerClosed)], "told by BYE");
    assert_eq!((scene.child.legs.len(), scene.parent.legs.len()), (1, 1));
    assert!(scene.packets(12).1 > before + 90);
    // And from the other side: what still comes is for nobody, which is no surprise.
    assert!(scene.child.close(12, scene.now));
    scene.run(SECOND);
    assert_eq!((scene.child.legs.len(), scene.child.stats(scene.now).unknown_datagrams), (0, 0));
    assert!(scene.child.close(LINK, scene.now));
    scene.run(SECOND);
    assert!(scene.is_empty(), "DTLS says that the link is closed, and its leg there goes with it");
}

#[test]
fn only_the_side_that_opened_a_link_pulls_by_it() {
    let mut scene = Scene::new(1);
    let now = scene.now;
    let wish = scene.ask(11, "a");
    assert_eq!(scene.parent.pull_leg(&new(12, "a"), "i", &tracks(), now), Err(LegError::UnknownLink));
    assert_eq!(scene.child.serve_leg(&new(12, "a"), &wish, &tracks(), now), Err(LegError::UnknownLink));
    let elsewhere = NewLeg { link: 9, ..new(12, "a") };
    assert_eq!(scene.parent.serve_leg(&elsewhere, &wish, &tracks(), now), Err(LegError::UnknownLink));
    assert!(scene.child.pull_leg(&new(12, "a"), "i", &[], now).is_err());
}

#[test]
fn media_may_overtake_the_answer_and_the_answer_media() {
    for media_first in [true, false] {
        let mut scene = Scene::new(1);
        scene.run(SECOND);
        scene.publish("a");
        scene.run(SECOND);
        facts(&mut scene.child);
        let wish = scene.ask(11, "a");
        if media_first {
            scene.serve(11, "a", &wish).unwrap();
            scene.run(Duration::from_millis(100));
            assert_eq!(facts(&mut scene.child)[1..], [Fact::Active], "after its tracks");
            assert!(scene.packets(11).1 > 5);
            assert!(scene.child.answer_leg(11));
            assert_eq!(facts(&mut scene.child), [Fact::Connected]);
        } else {
            assert!(scene.child.answer_leg(11));
            assert_eq!(facts(&mut scene.child), [Fact::Connected]);
            scene.serve(11, "a", &wish).unwrap();
            scene.run(Duration::from_millis(100));
            assert_eq!(facts(&mut scene.child)[1..], [Fact::Active]);
        }
    }
}

#[test]
fn a_link_that_is_cut_silences_all_its_sources_and_ends_on_both_sides() {
    let mut scene = Scene::new(1);
    for (leg, stream) in [(11, "a"), (12, "b")] {
        scene.publish(stream);
        scene.pull(leg, stream);
    }
    scene.run(SECOND);
    scene.cut = true;
    facts(&mut scene.child);
    facts(&mut scene.parent);
    scene.run(SECOND * 4);
    assert_eq!(facts(&mut scene.child), [Fact::Silent, Fact::Silent]);
    scene.run(SECOND * 30);
    let expired = Fact::Closed(CloseReason::ConsentExpired);
    for (name, node) in [("child", &mut scene.child), ("parent", &mut scene.parent)] {
        assert_eq!(facts(node), [expired.clone(), expired.clone(), expired.clone()], "{name}: two legs and the link");
    }
    scene.sources.clear();
    assert!(scene.is_empty());
}

#[test]
fn a_puller_that_says_nothing_of_a_leg_for_10_seconds_has_closed_it() {
    let mut scene = Scene::new(1);
    for (leg, stream) in [(11, "a"), (12, "b")] {
        scene.publish(stream);
        scene.pull(leg, stream);
    }
    scene.run(SECOND);
    facts(&mut scene.parent);
    // The request that ends it at the parent is lost.
    scene.child.close(11, scene.now);
    scene.run(SECOND * 9);
    assert_eq!(facts(&mut scene.parent), []);
    scene.run(SECOND * 2);
    assert_eq!(facts(&mut scene.parent), [Fact::Closed(CloseReason::ConsentExpired)]);
    assert_eq!(scene.parent.legs.keys().copied().collect::<Vec<_>>(), [12]);
}

#[test]
fn a_leg_of_which_nothing_comes_is_kept() {
    let mut scene = Scene::new(1);
    scene.pull(11, "nothing");
    scene.run(SECOND * 40);
    assert_eq!((scene.child.legs.len(), scene.parent.legs.len()), (1, 1));
}

#[test]
fn a_link_that_nobody_answers_ends_with_its_legs() {
    let mut now = Instant::now();
    let mut child = roomy(now);
    let ours = local(&child, 'c', &[]);
    child.open_link(LINK, ours, 7, now).unwrap();
    child.pull_leg(&new(11, "a"), "i", &tracks(), now).unwrap();
    assert_eq!(child.stats(now).pending_handshakes, 1);
    now += Duration::from_secs(15);
    child.on_timeout(now);
    let late = Fact::Closed(CloseReason::HandshakeTimeout);
    assert_eq!(facts(&mut child), [late.clone(), late]);
    assert!(child.legs.is_empty() && child.opening.is_empty() && child.directory.is_empty() && child.ended == [LINK]);
}

#[test]
fn a_defect_over_one_leg_ends_it_alone() {
    let mut scene = Scene::new(1);
    for (leg, stream) in [(11, "a"), (12, "b")] {
        scene.publish(stream);
        scene.pull(leg, stream);
    }
    scene.run(SECOND);
    facts(&mut scene.child);
    scene.child.turn_leg(11, scene.now, |_| panic!("a test's own panic"));
    assert_eq!(facts(&mut scene.child), [Fact::Closed(CloseReason::Failed)]);
    let before = scene.packets(12).1;
    scene.run(SECOND);
    assert!(scene.packets(12).1 > before + 90);
}

#[test]
fn foreign_bytes_on_a_link_are_counted_and_change_nothing() {
    let mut scene = Scene::new(1);
    scene.publish("a");
    scene.pull(11, "a");
    scene.run(SECOND);
    let before = scene.child.stats(scene.now).unknown_datagrams;
    for datagram in [&[128, 96, 0, 1][..], &[128; 40], &[128, 200, 0, 1, 9, 9], &[200; 2]] {
        scene.child.on_datagram(Socket::Own(LINK), PARENT.parse().unwrap(), datagram, scene.now);
        scene.parent.on_datagram(Socket::Shared, CHILD.parse().unwrap(), datagram, scene.now);
    }
    assert_eq!(scene.child.stats(scene.now).unknown_datagrams, before + 4);
    assert_eq!((facts(&mut scene.child).len(), scene.child.legs.len(), scene.parent.legs.len()), (4, 1, 1));
}
