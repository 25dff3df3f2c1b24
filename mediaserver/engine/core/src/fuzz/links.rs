//! Links: what their ends tell each other, and what comes on their legs from a node that has the keys.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::media::Wire;
use super::peer::{NODE, Peer, accepted, local, node, puller};
use super::{Ground, parts};
use crate::dtls::Crypto;
use crate::negotiation::link::{LegTrack, LegWish, LinkTransport};
use crate::negotiation::{Codec, Format, Kind, Track};
use crate::node::{LegError, NewLeg, Node, PullError, SessionId, Socket, accept_link};
use crate::session::is_rtp;

/// The link that the node opens, to `ABOVE`, and the one that `BELOW` opens.
const UP: SessionId = 1;
const DOWN: SessionId = 2;
const ABOVE: ([u8; 4], u16) = ([198, 51, 100, 1], 7000);
const BELOW: ([u8; 4], u16) = ([203, 0, 113, 5], 40_001);
/// Legs use up a link's SSRCs: then another is made.
const INPUTS: u64 = 4_000;
/// Of one input: less than a quarter of a minute, so that nobody's consent ends.
const STEPS: usize = 60;

pub fn tracks(layered: bool) -> Vec<Track> {
    let names = |codec: Codec| if layered && codec.kind() == Kind::Video { &["h", "l"][..] } else { &[] };
    let track = |codec: Codec| Track {
        kind: codec.kind(),
        format: Format { codec, fmtp: String::new() },
        layers: names(codec).iter().map(|rid| (*rid).to_owned()).collect(),
    };
    [Codec::Opus, Codec::Vp8].map(track).to_vec()
}

pub fn leg(id: SessionId, link: SessionId) -> NewLeg {
    NewLeg { id, link, stream: "s".into(), cname: "c".to_owned() }
}

/// What the other end says, a line for each value.
fn read(text: &str) -> (LinkTransport, LegWish) {
    let (ufrag, password, fingerprint) = (String::new(), String::new(), String::new());
    let mut transport = LinkTransport { ufrag, password, fingerprint, candidates: vec![] };
    let mut wish = LegWish { feedback: 0, tracks: vec![] };
    for (name, value) in text.lines().filter_map(|line| line.split_once(' ')) {
        match name {
            "ufrag" => value.clone_into(&mut transport.ufrag),
            "password" => value.clone_into(&mut transport.password),
            "fingerprint" => value.clone_into(&mut transport.fingerprint),
            "candidate" => transport.candidates.extend(value.parse::<SocketAddr>()),
            "feedback" => wish.feedback = value.parse().unwrap_or(0),
            "track" => wish.tracks.extend(track(value)),
            _ => {}
        }
    }
    (transport, wish)
}

/// Kind, rid, SSRC and that of repairs; "-": none.
fn track(text: &str) -> Option<LegTrack> {
    let mut words = text.split(' ');
    let (kind, rid, ssrc, rtx) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let kind = if kind == "audio" { Kind::Audio } else { Kind::Video };
    let rid = (rid != "-").then(|| rid.to_owned());
    Some(LegTrack { kind, rid, ssrc: ssrc.parse().unwrap_or(0), rtx_ssrc: rtx.parse().ok() })
}

/// What is refused leaves nothing behind, and what is taken can be closed and leaves nothing either.
pub fn link(ground: &mut Ground, data: &[u8]) {
    let (now, crypto) = (ground.start, ground.crypto());
    let (transport, wish) = read(&String::from_utf8_lossy(data));
    let mut parent = node(&crypto, 2, now);
    if accepted(&mut parent, &crypto, DOWN, &transport, now).is_some() {
        serve(&mut parent, &wish, data.len() % 2 == 1, now);
    }
    assert_has_room(&mut parent, &crypto, now);
    let mut child = node(&crypto, 2, now);
    child.open_link(UP, local(&crypto, 'c', vec![]), 7, now).expect("room");
    match child.answer_link(UP, &transport, now) {
        Ok(()) => look_for(&mut child, &transport.candidates, now),
        Err(PullError::Refused(_)) => {}
        Err(error) => panic!("{error:?}"),
    }
    assert!(child.close(UP, now), "it waits, or it is a session");
    assert_has_room(&mut child, &crypto, now);
}

fn serve(parent: &mut Node, wish: &LegWish, layered: bool, now: Instant) {
    match parent.serve_leg(&leg(3, DOWN), wish, &tracks(layered), now) {
        Ok(()) => {
            assert_eq!(parent.stats(now).sessions.len(), 2);
            assert!(parent.close(3, now));
            assert_eq!(parent.serve_leg(&leg(4, DOWN), wish, &tracks(layered), now), Err(LegError::UsedSsrc));
        }
        Err(LegError::Refused(_) | LegError::UsedSsrc) => {
            let mut next = 0;
            let mut draw = || {
                next += 1;
                next
            };
            let honest = LegWish::of(&tracks(layered), &mut draw).expect("our own tracks");
            parent.serve_leg(&leg(4, DOWN), &honest, &tracks(layered), now).expect("nothing was taken");
        }
        Err(error) => panic!("{error:?}"),
    }
    assert!(parent.close(DOWN, now));
}

/// Checks go where the parent says that it is, and nowhere else.
fn look_for(child: &mut Node, candidates: &[SocketAddr], start: Instant) {
    for at in 1..=10 {
        let now = start + Duration::from_millis(50) * at;
        child.on_timeout(now);
        assert!(child.transmits.drain(..).all(|sent| candidates.contains(&sent.to)), "a stranger is sent something");
    }
}

/// Nothing is left in the node, nor in its directory.
fn assert_has_room(node: &mut Node, crypto: &Crypto, now: Instant) {
    assert_eq!(node.stats(now).sessions.len(), 0);
    for id in [7, 8] {
        node.open_link(id, local(crypto, 'c', vec![]), 7, now).expect("room for two");
    }
}

/// A node between two links, both of which are connected.
pub struct Chain {
    node: Node,
    above: Peer,
    below: Peer,
    now: Instant,
    /// For names and SSRCs.
    next: u32,
    pub inputs: u64,
}

impl Chain {
    pub fn is_used_up(&self) -> bool {
        self.inputs >= INPUTS
    }

    pub fn connected(crypto: &Crypto, now: Instant) -> Self {
        let mut node = node(crypto, 9, now);
        let (ours, theirs) = (local(crypto, 'c', vec![]), local(crypto, 'a', vec![ABOVE.into()]));
        node.open_link(UP, ours.clone(), 1, now).expect("room");
        let above = accept_link(crypto, theirs.clone(), &LinkTransport::of(&ours), 1, now).expect("our own end");
        node.answer_link(UP, &LinkTransport::of(&theirs), now).expect("our own end");
        let theirs = local(crypto, 'b', vec![BELOW.into()]);
        let ours = accepted(&mut node, crypto, DOWN, &LinkTransport::of(&theirs), now).expect("our own end");
        let below = puller(crypto, theirs, &LinkTransport::of(&ours), now);
        let mut chain = Self { node, above: Peer::new(above), below, now, next: 1 << 20, inputs: 0 };
        for _ in 0..60 {
            chain.now += Duration::from_millis(5);
            chain.step(&mut Wire::default());
        }
        assert!(chain.above.is_connected() && chain.below.is_connected());
        chain
    }

    /// Datagrams that the node sends besides media: for the one above and for the one below.
    fn step(&mut self, wire: &mut Wire) -> [usize; 2] {
        let now = self.now;
        self.node.on_timeout(now);
        self.node.on_handshakes(now, &mut || true);
        self.node.poll_transmit(now, wire);
        let mut sent = [0; 2];
        for transmit in self.node.transmits.drain(..) {
            assert!(transmit.datagram.len() <= 1200);
            let is_up = transmit.socket == Socket::Own(UP);
            sent[usize::from(!is_up)] += 1;
            let peer = if is_up { &mut self.above } else { &mut self.below };
            peer.receive(&transmit.datagram, NODE.into(), now);
        }
        for datagram in self.above.turn(now) {
            self.node.on_datagram(Socket::Own(UP), ABOVE.into(), &datagram, now);
        }
        for datagram in self.below.turn(now) {
            self.node.on_datagram(Socket::Shared, BELOW.into(), &datagram, now);
        }
        self.node.on_batch_end(now);
        sent
    }

    fn draw(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    /// A leg from above and one to below, of one stream: their names and their SSRCs.
    fn legs(&mut self, layered: bool) -> [(SessionId, Vec<u32>); 2] {
        let [up, down] = [(); 2].map(|()| SessionId::from(self.draw()));
        let tracks = tracks(layered);
        let pulled = self.node.pull_leg(&leg(up, UP), &format!("i{up}"), &tracks, self.now).expect("our own tracks");
        assert!(self.node.answer_leg(up));
        let wish = LegWish::of(&tracks, &mut || self.draw()).expect("our own tracks");
        self.node.serve_leg(&leg(down, DOWN), &wish, &tracks, self.now).expect("our own wish");
        [(up, pulled.ssrcs()), (down, wish.ssrcs())]
    }

    /// A report on the leg to below; it may miss the last packet that it was sent.
    fn report(&mut self, ssrcs: &[u32], which: u8, packet: &[u8], newest: [u8; 2]) {
        let mut packet = packet.to_vec();
        if let Some(number) = packet.get_mut(12..14).filter(|_| which & 0x40 != 0) {
            number.copy_from_slice(&newest);
        }
        self.send(false, ssrcs, which, &packet);
    }

    /// A datagram on a leg; `which`: of its SSRCs the sender's and the one that is spoken of.
    fn send(&mut self, is_up: bool, ssrcs: &[u32], which: u8, packet: &[u8]) -> usize {
        let mut packet = packet.to_vec();
        let places = if is_rtp(&packet) { [8, usize::MAX - 4] } else { [4, 8] };
        for (place, which) in places.into_iter().zip([which & 7, which >> 3 & 7]) {
            if let (Some(ssrc), Some(room)) = (ssrcs.get(usize::from(which)), packet.get_mut(place..place + 4)) {
                room.copy_from_slice(&ssrc.to_be_bytes());
            }
        }
        let (peer, socket, from) =
            if is_up { (&mut self.above, Socket::Own(UP), ABOVE) } else { (&mut self.below, Socket::Shared, BELOW) };
        let datagram = peer.seal(&packet);
        self.node.on_datagram(socket, from.into(), &datagram, self.now);
        self.node.on_batch_end(self.now);
        datagram.len()
    }
}

/// Each part: who sends or that time passes, SSRCs or how long, a packet. Whatever comes on a leg ends at most the leg; reports are few,
/// and no more media leave than came, and their repairs.
pub fn legs(ground: &mut Ground, data: &[u8]) {
    let Some((flags, rest)) = data.split_first() else { return };
    let chain = ground.chain();
    chain.inputs += 1;
    let (mut wire, mut came, mut steps) = (Wire::default(), 0, 0);
    let [(up, pulled), (down, served)] = chain.legs(flags & 1 == 1);
    for part in parts(rest).take(STEPS) {
        let Some(([kind, which], packet)) = part.split_first_chunk::<2>() else { continue };
        match kind % 4 {
            0 | 1 => came += chain.send(true, &pulled, *which, packet),
            2 => chain.report(&served, *which, packet, wire.newest),
            _ => chain.now += Duration::from_millis(u64::from(*which)),
        }
        steps += 1;
        let sent = chain.step(&mut wire);
        assert!(sent.iter().all(|sent| *sent <= 16), "{sent:?} at once");
    }
    let bound = 3 * came + 64 * 1024 + steps * 600;
    assert!(wire.bytes <= bound, "{} bytes of {came}", wire.bytes);
    for id in [up, down] {
        chain.node.close(id, chain.now);
    }
    chain.step(&mut wire);
    chain.node.events.clear();
    let left: Vec<SessionId> = chain.node.stats(chain.now).sessions.iter().map(|session| session.session).collect();
    assert!(left.len() == 2 && left.iter().all(|id| [UP, DOWN].contains(id)), "{left:?}");
}
