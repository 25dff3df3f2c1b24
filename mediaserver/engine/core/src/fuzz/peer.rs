//! The other end of a session: it has done its handshake honestly and has the keys, so what it sends is authentic, whatever it says.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Instant;

use str0m::Candidate;

use super::{clock, config, media};
use crate::dtls::Crypto;
use crate::link::Link;
use crate::negotiation::link::LinkTransport;
use crate::negotiation::{LocalTransport, Setup};
use crate::node::{Limits, NewSession, Node, SessionId, accept_link};
use crate::session::{Media, Output, Parts, Role, Session, agent, is_srtp};
use crate::srtp::Sealer;
use crate::stun::{self, Message};

pub const NODE: ([u8; 4], u16) = ([198, 51, 100, 2], 7000);

/// One end's transport, named by a letter.
pub fn local(crypto: &Crypto, name: char, candidates: Vec<SocketAddr>) -> LocalTransport {
    let (ufrag, password) = (name.to_string().repeat(8), name.to_string().repeat(24));
    let fingerprint = crypto.fingerprint().to_owned();
    LocalTransport { session_id: 1, ufrag, password, fingerprint, candidates, tcp: false }
}

pub fn node(crypto: &Crypto, sessions: usize, now: Instant) -> Node {
    Node::new(crypto.clone(), Limits { sessions, handshakes: sessions }, config(), clock(now), 7)
}

/// Take the link of `puller`: the node's own end. None: it is refused.
pub fn accepted(
    node: &mut Node,
    crypto: &Crypto,
    id: SessionId,
    puller: &LinkTransport,
    now: Instant,
) -> Option<LocalTransport> {
    let local = local(crypto, 'n', vec![NODE.into()]);
    let session = accept_link(crypto, local.clone(), puller, 7, now).ok()?;
    node.add(NewSession { id, session, stream: "".into(), incarnation: None }, now).expect("room");
    Some(local)
}

pub struct Peer {
    session: Session,
    sealer: Option<Sealer>,
    /// By SSRC: the last number that was sealed.
    highest: HashMap<u32, u64>,
}

/// Whoever opens a link to `parent`; it checks its way at once.
pub fn puller(crypto: &Crypto, local: LocalTransport, parent: &LinkTransport, now: Instant) -> Peer {
    let peer = parent.peer(Setup::Passive).expect("our own end");
    let agent = agent::transport(crypto, &local, &peer, now).expect("our own end");
    let media = Media::Link(Link::new(1));
    let mut session = Session::new(Parts { role: Role::LinkIn, media, local, peer, agent }, now);
    let host = |address: &SocketAddr| Candidate::builder().udp().host(*address).build().ok();
    session.start(parent.candidates.iter().filter_map(host).collect(), now);
    Peer::new(session)
}

impl Peer {
    pub fn new(session: Session) -> Self {
        Self { session, sealer: None, highest: HashMap::new() }
    }

    pub fn is_connected(&self) -> bool {
        self.session.is_connected()
    }

    /// ICE and DTLS of the node.
    pub fn receive(&mut self, datagram: &[u8], from: SocketAddr, now: Instant) {
        if !stun::looks_like(datagram) {
            if !is_srtp(datagram) {
                self.session.on_datagram(datagram, from, now);
            }
        } else if let Some(message) = Message::parse(datagram).filter(|message| self.session.vouches_for(message)) {
            self.session.on_stun(&message, datagram, from, now);
        }
    }

    /// What it sends by itself.
    pub fn turn(&mut self, now: Instant) -> Vec<Vec<u8>> {
        self.session.on_timeout(now);
        let mut sent = vec![];
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Transmit { datagram, .. } => sent.push(datagram),
                Output::Connected(keys) => self.sealer = Some(Sealer::new(&keys)),
                _ => {}
            }
        }
        sent
    }

    /// `packet` as SRTP or SRTCP, or as it is where nobody could seal it.
    pub fn seal(&mut self, packet: &[u8]) -> Vec<u8> {
        let sealed = self.sealer.as_mut().and_then(|sealer| media::sealed(sealer, &mut self.highest, packet));
        sealed.unwrap_or_else(|| packet.to_vec())
    }
}
