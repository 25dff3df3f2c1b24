//! STUN with valid integrity: a peer that has its session's password, and says and answers what it likes from wherever it likes.

use std::collections::HashSet;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;

use super::links::{leg, tracks};
use super::media::Wire;
use super::peer::{NODE, Peer, accepted, local, node, puller};
use super::{Ground, parts};
use crate::border::ViewerSpec;
use crate::dtls::Crypto;
use crate::negotiation::fragment::Fragment;
use crate::negotiation::link::{LegWish, LinkTransport};
use crate::negotiation::{LocalTransport, Setup};
use crate::node::{NewSession, Node, SessionId, Socket};
use crate::rtcp;
use crate::session::{Media, Parts, Role, Session, agent};
use crate::stun::{Class, Message, Transaction};
use crate::tcp;

const HOSTILE: SessionId = 1;
const OTHER: SessionId = 2;
const LEG: SessionId = 3;
const BYSTANDER: ([u8; 4], u16) = ([203, 0, 113, 5], 40_000);
/// Of one input; some take longer than a handshake may.
const STEPS: usize = 64;

/// A node with a link of somebody else, to whom nothing may happen.
pub struct Street {
    node: Node,
    crypto: Crypto,
    bystander: Peer,
    /// What its reports on its leg are from.
    feedback: u32,
    now: Instant,
}

/// User names and passwords, ours and theirs, of one ICE session.
type Credentials = [(String, String); 2];

/// The hostile peer of one input.
struct Visit<'a> {
    street: &'a mut Street,
    credentials: Vec<Credentials>,
    /// Checks of the node that were not answered yet.
    open: Vec<(Transaction, SocketAddr)>,
    answered: HashSet<SocketAddr>,
    received: usize,
    sent: usize,
}

/// Addresses by the number, those of TCP connections among them, and such as nobody can have.
fn address(number: u8) -> SocketAddr {
    let port = 1000 + u16::from(number & 31);
    match number {
        0..32 => ([203, 0, 113, 99], port).into(),
        32..64 => (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9), port).into(),
        64..96 => tcp::named(u32::from(number), ([203, 0, 113, 99], port).into()),
        96 => BYSTANDER.into(),
        97 => ([0; 4], 0).into(),
        98 => ([255; 4], u16::MAX).into(),
        99 => ([224, 0, 0, 1], 5353).into(),
        100 => NODE.into(),
        101 => (Ipv6Addr::UNSPECIFIED, 0).into(),
        102 => (Ipv6Addr::LOCALHOST, 9).into(),
        103 => tcp::named(u32::MAX, BYSTANDER.into()),
        _ => address(number % 104),
    }
}

/// Attributes of any kind, each behind its kind and one byte of its length, as STUN has them.
fn attributes(mut data: &[u8]) -> Vec<u8> {
    let mut written = vec![];
    while let Some(([high, low, length], rest)) = data.split_first_chunk::<3>() {
        let (value, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        written.extend([*high, *low]);
        written.extend(u16::try_from(value.len()).unwrap_or(0).to_be_bytes());
        written.extend(value);
        written.resize(written.len().next_multiple_of(4), 0);
        data = rest;
    }
    written
}

fn message(kind: [u8; 2], transaction: Transaction, username: &str, rest: &[u8], password: &str) -> Vec<u8> {
    let name = [&[0, 6, u8::try_from(username.len()).unwrap_or(0)], username.as_bytes()].concat();
    let body = [attributes(&name), attributes(rest)].concat();
    let length = u16::try_from(body.len() + 24).unwrap_or(0).to_be_bytes();
    let mut bytes = [&kind[..], &length, &[0x21, 0x12, 0xa4, 0x42], &transaction, &body].concat();
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
    let tag = hmac::sign(&key, &bytes);
    bytes.extend([0, 8, 0, 20]);
    bytes.extend(tag.as_ref());
    bytes
}

impl Street {
    pub fn connected(crypto: &Crypto, now: Instant) -> Self {
        let mut node = node(crypto, 9, now);
        let theirs = local(crypto, 'b', vec![BYSTANDER.into()]);
        let ours = accepted(&mut node, crypto, OTHER, &LinkTransport::of(&theirs), now).expect("our own end");
        let bystander = puller(crypto, theirs, &LinkTransport::of(&ours), now);
        let mut street = Self { node, crypto: crypto.clone(), bystander, feedback: 1, now };
        for _ in 0..60 {
            street.now += Duration::from_millis(5);
            street.step();
        }
        assert!(street.bystander.is_connected());
        let ssrcs = &mut (street.feedback..);
        let wish = LegWish::of(&tracks(false), &mut || ssrcs.next().unwrap_or(0)).expect("our own tracks");
        street.node.serve_leg(&leg(LEG, OTHER), &wish, &tracks(false), street.now).expect("our own wish");
        street
    }

    /// A report of the bystander comes to its leg.
    fn report(&mut self) {
        let mut packet = vec![];
        rtcp::write_empty_report(&mut packet, self.feedback);
        let (datagram, before) = (self.bystander.seal(&packet), self.node.stats(self.now).unknown_datagrams);
        self.node.on_datagram(Socket::Shared, BYSTANDER.into(), &datagram, self.now);
        assert_eq!(self.node.stats(self.now).unknown_datagrams, before, "it goes to somebody else");
    }

    /// What the node sends, with that for the bystander.
    fn step(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        self.node.on_timeout(self.now);
        self.node.on_handshakes(self.now, &mut || true);
        self.node.poll_transmit(self.now, &mut Wire::default());
        let sent: Vec<_> = self.node.transmits.drain(..).map(|sent| (sent.to, sent.datagram)).collect();
        for (_, datagram) in sent.iter().filter(|(to, _)| *to == BYSTANDER.into()) {
            self.bystander.receive(datagram, NODE.into(), self.now);
        }
        for datagram in self.bystander.turn(self.now) {
            self.node.on_datagram(Socket::Shared, BYSTANDER.into(), &datagram, self.now);
        }
        sent
    }

    /// A viewer's session of which nothing has come yet.
    fn open(&mut self, [ours, theirs]: &Credentials) {
        let local = self.local(ours);
        let puller = LocalTransport { ufrag: theirs.0.clone(), password: theirs.1.clone(), ..local.clone() };
        let peer = LinkTransport::of(&puller).peer(Setup::Active).expect("our own end");
        let agent = agent::transport(&self.crypto, &local, &peer, self.now).expect("our own end");
        let spec = ViewerSpec { tracks: vec![], cname: "c".to_owned(), relay: false, layer: None };
        let parts = Parts { role: Role::Viewer, media: Media::Outbound(spec), local, peer, agent };
        let session = Session::new(parts, self.now);
        let new = NewSession { id: HOSTILE, session, stream: "s".into(), incarnation: None };
        self.node.add(new, self.now).expect("room");
    }

    fn local(&self, ours: &(String, String)) -> LocalTransport {
        let candidates = vec![NODE.into(), (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 7000).into()];
        let (ufrag, password) = ours.clone();
        LocalTransport { ufrag, password, tcp: true, ..local(&self.crypto, 'h', candidates) }
    }

    fn remote(&self, id: SessionId) -> Option<SocketAddr> {
        self.node.stats(self.now).sessions.iter().find(|session| session.session == id)?.remote
    }
}

fn credentials(number: usize) -> Credentials {
    [("o", 'p'), ("t", 'q')].map(|(name, password)| (format!("{name}{number:07}"), password.to_string().repeat(24)))
}

impl<'a> Visit<'a> {
    fn new(street: &'a mut Street) -> Self {
        let credentials = vec![credentials(0)];
        street.open(&credentials[0]);
        Self { street, credentials, open: vec![], answered: HashSet::new(), received: 0, sent: 0 }
    }

    fn step(&mut self, kind: u8, which: u8, rest: &[u8]) {
        let from = address(which);
        match kind % 10 {
            0..=3 => self.ask(kind, from, rest),
            4 => self.answer(from, from, rest),
            5 => self.answer(address(which.wrapping_add(1)), from, rest),
            6 => self.ask_nothing(kind, from, rest),
            7 => self.restart(),
            8 => self.street.now += Duration::from_millis(u64::from(which)),
            _ if tcp::number(from).is_some() => self.street.node.on_connection_closed(from, self.street.now),
            _ => {}
        }
        self.street.node.on_batch_end(self.street.now);
        self.street.report();
        for (to, datagram) in self.street.step() {
            let Some(message) = Message::parse(&datagram) else { continue };
            if message.username.is_none_or(|name| !name.starts_with("bbbbbbbb")) {
                self.sent += usize::from(to != BYSTANDER.into() || message.class == Class::Request);
                self.open.extend((message.class == Class::Request).then_some((message.transaction, to)));
            }
        }
    }

    /// The newest credentials, or those before a restart.
    fn chosen(&self, kind: u8) -> Credentials {
        let at = self.credentials.len() - 1;
        self.credentials[if kind & 0x80 == 0 { at } else { at.saturating_sub(1) }].clone()
    }

    fn ask(&mut self, kind: u8, from: SocketAddr, rest: &[u8]) {
        let [ours, theirs] = self.chosen(kind);
        let nominates: &[u8] = if kind & 1 == 1 { &[0, 0x25, 0] } else { &[] };
        let transaction = [kind; 12];
        let name = format!("{}:{}", ours.0, theirs.0);
        self.give(from, &message([0, 1], transaction, &name, &[nominates, rest].concat(), &ours.1));
    }

    /// Errors and indications.
    fn ask_nothing(&mut self, kind: u8, from: SocketAddr, rest: &[u8]) {
        let [ours, theirs] = self.chosen(kind);
        let transaction = self.open.last().map_or([kind; 12], |(transaction, _)| *transaction);
        self.give(from, &message([kind >> 4 & 1, 0x11], transaction, &ours.0, rest, &theirs.1));
    }

    /// The newest check that was sent to `asked`, answered from `from`.
    fn answer(&mut self, asked: SocketAddr, from: SocketAddr, rest: &[u8]) {
        let Some(at) = self.open.iter().rposition(|(_, to)| *to == asked) else { return };
        // Nobody but the bystander sees what is sent there.
        if [asked, from].contains(&BYSTANDER.into()) {
            return;
        }
        let (transaction, _) = self.open.remove(at);
        let [_, theirs] = self.chosen(0);
        if asked == from {
            self.answered.insert(tcp::plain(from));
        }
        self.give(from, &message([1, 1], transaction, "", rest, &theirs.1));
    }

    fn restart(&mut self) {
        let new = credentials(self.credentials.len());
        let [ours, (ufrag, password)] = &new;
        let text = format!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\n");
        let fragment = Fragment::parse(&text).expect("our own fragment");
        let local = self.street.local(ours);
        if self.street.node.patch(HOSTILE, &fragment, local, self.street.now).is_ok() {
            self.credentials.push(new);
        }
    }

    fn give(&mut self, from: SocketAddr, datagram: &[u8]) {
        self.received += 1;
        self.street.node.on_datagram(Socket::Shared, from, datagram, self.street.now);
    }
}

/// Each part: what is done, from where, with which attributes. Media go only where a check was answered from; checks are few; nobody
/// else's session is moved or ended; and nothing is left.
pub fn checks(ground: &mut Ground, data: &[u8]) {
    let mut visit = Visit::new(ground.street());
    let began = visit.street.now;
    for part in parts(data).take(STEPS) {
        let Some(([kind, which], rest)) = part.split_first_chunk::<2>() else { continue };
        visit.step(*kind, *which, rest);
        let remote = visit.street.remote(HOSTILE);
        assert!(remote.is_none_or(|remote| visit.answered.contains(&remote)), "{remote:?} was never proved");
    }
    let elapsed = visit.street.now.duration_since(began);
    // An answer and a check for each request, and checks every 50 ms.
    let bound = 2 * visit.received as u128 + elapsed.as_millis() / 50 + 20;
    assert!(visit.sent as u128 <= bound, "{} for {} in {elapsed:?}", visit.sent, visit.received);
    let street = visit.street;
    street.node.close(HOSTILE, street.now);
    street.step();
    assert_eq!((street.bystander.is_connected(), street.remote(OTHER)), (true, Some(BYSTANDER.into())));
    assert_eq!(street.node.stats(street.now).sessions.len(), 2, "only the bystander's link and leg are left");
    let mut left = (0..104).map(address).filter(|address| street.node.knows(*address));
    assert_eq!((left.next(), left.next()), (Some(BYSTANDER.into()), None));
    for connections in [&mut street.node.hang_ups, &mut street.node.relay_connections] {
        connections.clear();
    }
    (street.node.events, street.node.ended) = Default::default();
}
