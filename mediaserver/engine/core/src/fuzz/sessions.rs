//! A node with sessions in every state, and strangers' datagrams.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::crypto::dtls::{DtlsOutput, DtlsVersion};

use super::{Ground, clock, config, parts};
use crate::dtls::{Crypto, take_latest_tap};
use crate::egress::{Egress, Message};
use crate::negotiation::link::LinkTransport;
use crate::negotiation::{Codec, Format, LocalSources, LocalTransport, Offer, Track, relay, whep};
use crate::node::{Limits, NewLeg, NewPull, NewSession, Node, PulledFrom, Socket, accept_link};
use crate::session::{Media, Parts, Role, Session, agent};
use crate::stun::Message as Stun;
use crate::{border, stun};

const PARENT: ([u8; 4], u16) = ([198, 51, 100, 1], 7000);
const CHILD: ([u8; 4], u16) = ([203, 0, 113, 5], 40_000);
/// Where the child's link comes from.
const LINKED: ([u8; 4], u16) = ([203, 0, 113, 5], 40_001);
const STRANGER: ([u8; 4], u16) = ([203, 0, 113, 99], 999);
/// Sessions of the parent: one that is connected, one of which nobody has heard, a link and its leg.
const SESSIONS: usize = 4;
/// The child's name for its relay and for its link.
const RELAY: u64 = 1;
const LINK: u64 = 4;
/// A node is used for so many inputs.
const INPUTS: usize = 20_000;

struct Nowhere;

impl Egress for Nowhere {
    fn send(&mut self, messages: &[Message], _: &[u8]) -> usize {
        messages.len()
    }
}

/// A parent with a child that is connected to it.
pub struct Scene {
    child: Node,
    parent: Node,
    now: Instant,
    inputs: usize,
}

fn local(crypto: &Crypto, name: char, candidates: Vec<SocketAddr>) -> LocalTransport {
    let (ufrag, password) = (name.to_string().repeat(8), name.to_string().repeat(24));
    LocalTransport {
        session_id: 1,
        ufrag,
        password,
        fingerprint: crypto.fingerprint().to_owned(),
        candidates,
        tcp: false,
    }
}

/// The parent's side of a pull: its answer.
fn serve(parent: &mut Node, crypto: &Crypto, id: u64, name: char, offer: &str, now: Instant) -> String {
    let offer = Offer::parse(offer).expect("our own offer");
    let sources = LocalSources { cname: "c".to_owned(), ssrcs: [1, 2, 3, 4, 5, 6, 7, 8] };
    let sending = whep::negotiate(&offer, &tracks(), &sources).expect("our own offer");
    let local = local(crypto, name, vec![PARENT.into()]);
    let answer = whep::answer(&local, &sources, &offer, &sending);
    let agent = agent::transport(crypto, &local, &sending.peer, now).expect("our own offer");
    let media = Media::Outbound(border::ViewerSpec { tracks: vec![], cname: sources.cname, relay: true, layer: None });
    let session = Session::new(Parts { role: Role::RelayOut, media, local, peer: sending.peer, agent }, now);
    parent.add(NewSession { id, session, stream: "s".into(), incarnation: None }, now).expect("room");
    answer
}

/// A link between the two, with one leg.
fn link(child: &mut Node, parent: &mut Node, crypto: &Crypto, now: Instant) {
    let (ours, theirs) = (local(crypto, 'l', vec![]), local(crypto, 'm', vec![PARENT.into()]));
    let new = NewLeg { id: 5, link: LINK, stream: "s".into(), cname: "c".to_owned() };
    child.open_link(LINK, ours.clone(), 7, now).expect("room");
    let wish = child.pull_leg(&new, "i", &tracks(), now).expect("our own tracks");
    let session = accept_link(crypto, theirs.clone(), &LinkTransport::of(&ours), 7, now).expect("our own end");
    parent.add(NewSession { id: LINK, session, stream: "".into(), incarnation: None }, now).expect("room");
    parent.serve_leg(&new, &wish, &tracks(), now).expect("our own wish");
    child.answer_link(LINK, &LinkTransport::of(&theirs), now).expect("our own end");
}

fn tracks() -> Vec<Track> {
    vec![Track { kind: Codec::Vp8.kind(), format: Format { codec: Codec::Vp8, fmtp: String::new() }, layers: vec![] }]
}

impl Scene {
    pub fn is_used_up(&self) -> bool {
        self.inputs >= INPUTS
    }

    pub fn connected(crypto: &Crypto, now: Instant) -> Self {
        let node = || Node::new(crypto.clone(), Limits { sessions: 9, handshakes: 9 }, config(), clock(now), 7);
        let (mut child, mut parent) = (node(), node());
        let ours = local(crypto, 'c', vec![]);
        let offer = relay::offer(&ours, &tracks()).expect("an offer");
        serve(&mut parent, crypto, 3, 'w', &offer, now);
        let pull = NewPull {
            stream: "s".into(),
            incarnation: "i".to_owned(),
            local: ours,
            created: now,
            from: PulledFrom::Node,
        };
        child.add_pull(1, pull).expect("room");
        let answer = serve(&mut parent, crypto, 2, 'p', &offer, now);
        child.answer_pull(1, &answer, now).expect("our own answer");
        link(&mut child, &mut parent, crypto, now);
        let mut scene = Self { child, parent, now, inputs: 0 };
        for _ in 0..60 {
            scene.step();
        }
        let pending = scene.parent.stats(scene.now).pending_handshakes;
        assert_eq!(pending, 1, "one is connected");
        scene
    }

    fn step(&mut self) {
        self.now += Duration::from_millis(5);
        for node in [&mut self.child, &mut self.parent] {
            node.on_timeout(self.now);
            node.on_handshakes(self.now, &mut || true);
            node.poll_transmit(self.now, &mut Nowhere);
        }
        for sent in self.child.transmits.drain(..) {
            let from = if sent.socket == Socket::Own(LINK) { LINKED } else { CHILD };
            self.parent.on_datagram(Socket::Shared, from.into(), &sent.datagram, self.now);
        }
        for sent in self.parent.transmits.drain(..) {
            let to = if sent.to == LINKED.into() { LINK } else { RELAY };
            self.child.on_datagram(Socket::Own(to), PARENT.into(), &sent.datagram, self.now);
        }
    }
}

/// What is not authentic changes nothing and is answered by nothing, wherever it comes from.
pub fn garbage(ground: &mut Ground, data: &[u8]) {
    let scene = ground.scene();
    scene.inputs += 1;
    // Replays of what is authentic are another matter: here is what anybody may send.
    if stun::looks_like(data) && Stun::parse(data).is_some_and(|m| m.is_from_holder_of(super::parsers::PASSWORD)) {
        return;
    }
    for from in [STRANGER, CHILD, LINKED] {
        scene.parent.on_datagram(Socket::Shared, from.into(), data, scene.now);
        scene.parent.on_batch_end(scene.now);
        let sent: usize = scene.parent.transmits.drain(..).map(|transmit| transmit.datagram.len()).sum();
        assert!(sent == 0 || (from != STRANGER && sent <= 2 * data.len()), "{sent} bytes for {}", data.len());
    }
    for socket in [RELAY, LINK] {
        scene.child.on_datagram(Socket::Own(socket), PARENT.into(), data, scene.now);
        scene.child.on_batch_end(scene.now);
        scene.child.transmits.clear();
    }
    assert_eq!(scene.parent.stats(scene.now).sessions.len(), SESSIONS, "a session has ended");
    assert_eq!(scene.child.stats(scene.now).sessions.len(), SESSIONS - 1, "a session has ended");
}

/// A hostile DTLS peer: each part is a datagram, the first bit of the whole says which role it has.
pub fn handshake(ground: &mut Ground, data: &[u8]) {
    let crypto = ground.crypto();
    let Some((role, flights)) = data.split_first() else { return };
    let provider = crypto.provider(true);
    let made = provider.dtls_provider.new_dtls(&crypto.certificate, ground.start, DtlsVersion::Dtls12, None);
    let mut instance = made.expect("an instance");
    instance.set_active(role & 1 == 1);
    let tap = take_latest_tap().expect("its tap");
    let _ = instance.handle_timeout(ground.start);
    let mut buffer = vec![0; 2000];
    for datagram in parts(flights) {
        if instance.handle_packet(datagram).is_err() {
            break;
        }
        // As str0m does it: until there is nothing but a time.
        for _ in 0..64 {
            match instance.poll_output(&mut buffer) {
                DtlsOutput::Timeout(_) => break,
                DtlsOutput::Packet(packet) => assert!(packet.len() <= 1200),
                _ => {}
            }
        }
    }
    assert!(tap.take().is_none(), "keys without a peer that has signed");
}
