//! What we pull, from a node or a foreign server: an offer, the answer, then a session on a socket of its own.

use std::net::SocketAddr;
use std::time::Instant;

use str0m::net::Protocol;
use str0m::{Candidate, CandidateKind};

use super::{Fact, Full, NewSession, Node, NodeEvent, SessionId, Socket};
use crate::border::StreamKey;
use crate::negotiation::{Codec, LocalTransport, Offer, Receiving, Refusal, ingest, relay};
use crate::receive::Receiver;
use crate::session::{CloseReason, HANDSHAKE_TIMEOUT, Media, Parts, Role, Session, agent};

/// What str0m is told our own address is (RFC 5737, RFC 3849): it never learns the bound one, and needs none.
const PLACEHOLDERS: [&str; 2] = ["192.0.2.1:9", "[2001:db8::1]:9"];

/// Addresses of a foreign server that are checked.
const MOST_ADDRESSES: usize = 16;

/// From whom something is pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PulledFrom {
    Node,
    /// By a connection that we open, and in no other way.
    NodeOverTcp,
    /// A foreign one, of which nothing is known; it may send these codecs, and so many Mbit/s.
    Server {
        codecs: Vec<Codec>,
        megabits: u32,
    },
}

/// An offer of ours that waits for its answer.
#[derive(Debug, Clone)]
pub struct NewPull {
    pub stream: StreamKey,
    pub incarnation: String,
    /// As written in the offer.
    pub local: LocalTransport,
    pub created: Instant,
    pub from: PulledFrom,
}

/// Why an answer is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullError {
    UnknownSession,
    Refused(Refusal),
}

impl NewPull {
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.created + HANDSHAKE_TIMEOUT
    }
}

impl Node {
    /// Note an offer that goes to a parent or a server.
    ///
    /// # Errors
    /// `Full` at a limit.
    pub fn add_pull(&mut self, id: SessionId, pull: NewPull) -> Result<(), Full> {
        self.admit(id, pull.created)?;
        self.pulls.insert(id, pull);
        Ok(())
    }

    /// The answer: checks start at once.
    ///
    /// # Errors
    /// `Refused` leaves the offer standing.
    pub fn answer_pull(&mut self, id: SessionId, answer: &str, now: Instant) -> Result<(), PullError> {
        let pull = self.pulls.get(&id).ok_or(PullError::UnknownSession)?.clone();
        let answer = Offer::parse_answer(answer).map_err(PullError::Refused)?;
        let session = self.pulled_session(&pull, &answer, now).map_err(PullError::Refused)?;
        let candidates = match &pull.from {
            PulledFrom::Server { .. } => reachable(&answer).map_err(PullError::Refused)?,
            PulledFrom::Node | PulledFrom::NodeOverTcp => hosts(&answer, Protocol::Udp),
        };
        self.pulls.remove(&id);
        let NewPull { stream, incarnation, from, .. } = pull;
        let new = NewSession { id, session, stream, incarnation: Some(incarnation) };
        if from == PulledFrom::NodeOverTcp {
            self.insert(new, Socket::Shared, now);
            self.dial(id, &answer, now);
            return Ok(());
        }
        self.insert(new, Socket::Own(id), now);
        self.turn(id, now, |session| session.start(candidates, now));
        Ok(())
    }

    pub(super) fn drop_unanswered_pulls(&mut self, now: Instant) {
        let late: Vec<SessionId> =
            self.pulls.iter().filter(|(_, pull)| pull.deadline() <= now).map(|(id, _)| *id).collect();
        for id in late {
            if let Some(pull) = self.pulls.remove(&id) {
                let fact = Fact::Closed(CloseReason::HandshakeTimeout);
                let incarnation = Some(pull.incarnation);
                self.events.push_back(NodeEvent { session: id, stream: pull.stream, incarnation, fact });
                self.directory.gone(id);
                self.ended.push(id);
            }
        }
    }

    fn pulled_session(&self, pull: &NewPull, answer: &Offer, now: Instant) -> Result<Session, Refusal> {
        let over_tcp = pull.from == PulledFrom::NodeOverTcp;
        let local = LocalTransport { candidates: placeholders(), tcp: over_tcp, ..pull.local.clone() };
        let (role, receiving, receiver) = match &pull.from {
            PulledFrom::Server { codecs, megabits } => {
                let receiving = ingest::accept(answer, codecs)?;
                let receiver = Receiver::new(&receiving, &local.ufrag).limited_to(*megabits);
                (Role::Ingest, receiving, receiver)
            }
            PulledFrom::Node | PulledFrom::NodeOverTcp => {
                let receiving = relayed(answer, over_tcp)?;
                let receiver = Receiver::new(&receiving, &local.ufrag).without_arrival_times();
                (Role::RelayIn, receiving, if over_tcp { receiver.in_time_only() } else { receiver })
            }
        };
        let agent = agent::transport(&self.crypto, &local, &receiving.peer, now)?;
        let media = Media::Inbound(receiver);
        let mut session = Session::new(Parts { role, media, local, peer: receiving.peer, agent }, now);
        session.created = pull.created;
        Ok(session)
    }
}

fn relayed(answer: &Offer, over_tcp: bool) -> Result<Receiving, Refusal> {
    let receiving = relay::accept(answer)?;
    if receiving.peer.over_tcp != over_tcp {
        return Err(Refusal::malformed("the parent's answer is for another transport than was asked for"));
    }
    Ok(receiving)
}

/// Addresses of ours for a session that we open.
pub(super) fn placeholders() -> Vec<SocketAddr> {
    PLACEHOLDERS.iter().filter_map(|text| text.parse().ok()).collect()
}

/// The peer's host candidates of one protocol, as it lists them.
pub(super) fn hosts(answer: &Offer, protocol: Protocol) -> Vec<Candidate> {
    all(answer, protocol).filter(|candidate| candidate.kind() == CandidateKind::Host).collect()
}

/// Where a foreign server is by UDP: its own addresses, and those under which its network shows it. Nothing but checks goes there until
/// one is answered.
fn reachable(answer: &Offer) -> Result<Vec<Candidate>, Refusal> {
    let candidates: Vec<Candidate> = all(answer, Protocol::Udp).take(MOST_ADDRESSES).collect();
    if candidates.is_empty() {
        return Err(Refusal::unsupported(
            "the answer names no address by UDP (a=candidate), so there is nobody to connect to",
        ));
    }
    Ok(candidates)
}

fn all(answer: &Offer, protocol: Protocol) -> impl Iterator<Item = Candidate> {
    // RTCP, component 2, goes the same way (rtcp-mux).
    let media = |value: &&String| value.split_ascii_whitespace().nth(1) == Some("1");
    let read = |value: &String| Candidate::from_sdp_string(&format!("candidate:{value}")).ok();
    answer.candidates.iter().filter(media).filter_map(read).filter(move |candidate| candidate.proto() == protocol)
}
