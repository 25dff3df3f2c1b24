//! Relays that we open: an offer, the parent's answer, then a session on a socket of its own.

use std::net::SocketAddr;
use std::time::Instant;

use str0m::net::Protocol;
use str0m::{Candidate, CandidateKind};

use super::{Fact, Full, NewSession, Node, NodeEvent, SessionId, Socket};
use crate::border::StreamKey;
use crate::negotiation::{LocalTransport, Offer, Refusal, relay};
use crate::receive::Receiver;
use crate::session::{CloseReason, HANDSHAKE_TIMEOUT, Media, Parts, Role, Session, agent};

/// What str0m is told our own address is (RFC 5737, RFC 3849): it never learns the bound one, and needs none.
const PLACEHOLDERS: [&str; 2] = ["192.0.2.1:9", "[2001:db8::1]:9"];

/// An offer of ours that waits for the parent's answer.
#[derive(Debug, Clone)]
pub struct NewPull {
    pub stream: StreamKey,
    pub incarnation: String,
    /// As written in the offer.
    pub local: LocalTransport,
    pub created: Instant,
    /// Its media come by a connection that we open, and in no other way.
    pub over_tcp: bool,
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
    /// Note an offer that goes to a parent.
    ///
    /// # Errors
    /// `Full` at a limit.
    pub fn add_pull(&mut self, id: SessionId, pull: NewPull) -> Result<(), Full> {
        self.admit(id, pull.created)?;
        self.pulls.insert(id, pull);
        Ok(())
    }

    /// The parent's answer: checks start at once.
    ///
    /// # Errors
    /// `Refused` leaves the offer standing.
    pub fn answer_pull(&mut self, id: SessionId, answer: &str, now: Instant) -> Result<(), PullError> {
        let pull = self.pulls.get(&id).ok_or(PullError::UnknownSession)?.clone();
        let offer = Offer::parse(answer).map_err(PullError::Refused)?;
        let session = self.pulled_session(&pull, &offer, now).map_err(PullError::Refused)?;
        self.pulls.remove(&id);
        let NewPull { stream, incarnation, over_tcp, .. } = pull;
        let new = NewSession { id, session, stream, incarnation: Some(incarnation) };
        if over_tcp {
            self.insert(new, Socket::Shared, now);
            self.dial(id, &offer, now);
            return Ok(());
        }
        self.insert(new, Socket::Own(id), now);
        let candidates = candidates(&offer, Protocol::Udp);
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
        let receiving = relay::accept(answer)?;
        if receiving.peer.over_tcp != pull.over_tcp {
            return Err(Refusal::malformed("the parent's answer is for another transport than was asked for"));
        }
        let local = LocalTransport { candidates: placeholders(), tcp: pull.over_tcp, ..pull.local.clone() };
        let agent = agent::transport(&self.crypto, &local, &receiving.peer, now)?;
        let receiver = Receiver::new(&receiving, &local.ufrag).without_arrival_times();
        let media = Media::Inbound(if pull.over_tcp { receiver.in_time_only() } else { receiver });
        let mut session = Session::new(Parts { role: Role::RelayIn, media, local, peer: receiving.peer, agent }, now);
        session.created = pull.created;
        Ok(session)
    }
}

/// Addresses of ours for a session that we open.
pub(super) fn placeholders() -> Vec<SocketAddr> {
    PLACEHOLDERS.iter().filter_map(|text| text.parse().ok()).collect()
}

/// The parent's host candidates of one protocol, as it lists them.
pub(super) fn candidates(answer: &Offer, protocol: Protocol) -> Vec<Candidate> {
    answer
        .candidates
        .iter()
        .filter_map(|value| Candidate::from_sdp_string(&format!("candidate:{value}")).ok())
        .filter(|candidate| candidate.kind() == CandidateKind::Host && candidate.proto() == protocol)
        .collect()
}
