//! Links, whose legs are in `legs`: how the two ends begin, without SDP.

use std::net::SocketAddr;
use std::time::Instant;

use str0m::Candidate;

use super::pull::{PullError, placeholders};
use super::{CloseReason, Fact, Full, NewSession, Node, NodeEvent, SessionId, Socket};
use crate::dtls::Crypto;
use crate::link::Link;
use crate::negotiation::link::LinkTransport;
use crate::negotiation::{LocalTransport, PeerTransport, Refusal, Setup};
use crate::session::{HANDSHAKE_TIMEOUT, Media, Parts, Role, Session, agent};

/// One that we open, until the parent's end is known.
pub(super) struct Opening {
    local: LocalTransport,
    pub link: Link,
    created: Instant,
}

impl Opening {
    pub fn deadline(&self) -> Instant {
        self.created + HANDSHAKE_TIMEOUT
    }
}

/// The parent's end: a session that waits for the puller's checks. `local`: what the puller is told.
///
/// # Errors
/// `Malformed` when the puller's end cannot be one.
pub fn accept(
    crypto: &Crypto,
    local: LocalTransport,
    puller: &LinkTransport,
    first_ssrc: u32,
    now: Instant,
) -> Result<Session, Refusal> {
    let peer = puller.peer(Setup::Active)?;
    session(crypto, Role::LinkOut, local, peer, (Link::new(first_ssrc), now))
}

fn session(
    crypto: &Crypto,
    role: Role,
    local: LocalTransport,
    peer: PeerTransport,
    (link, created): (Link, Instant),
) -> Result<Session, Refusal> {
    let agent = agent::transport(crypto, &local, &peer, created)?;
    Ok(Session::new(Parts { role, media: Media::Link(link), local, peer, agent }, created))
}

impl Node {
    /// Note a link that a parent is asked for; it may have legs at once.
    ///
    /// # Errors
    /// `Full` at a limit.
    pub fn open_link(
        &mut self,
        id: SessionId,
        local: LocalTransport,
        first_ssrc: u32,
        now: Instant,
    ) -> Result<(), Full> {
        self.admit(id, now)?;
        self.opening.insert(id, Opening { local, link: Link::new(first_ssrc), created: now });
        Ok(())
    }

    /// The parent's end of it: checks start at once.
    ///
    /// # Errors
    /// `Refused` leaves it waiting.
    pub fn answer_link(&mut self, id: SessionId, parent: &LinkTransport, now: Instant) -> Result<(), PullError> {
        let peer = parent.peer(Setup::Passive).map_err(PullError::Refused)?;
        let Opening { local, link, created } = self.opening.remove(&id).ok_or(PullError::UnknownSession)?;
        let local = LocalTransport { candidates: placeholders(), ..local };
        let mut session = session(&self.crypto, Role::LinkIn, local, peer, (link, now)).map_err(PullError::Refused)?;
        session.created = created;
        self.insert(NewSession { id, session, stream: "".into(), incarnation: None }, Socket::Own(id), now);
        let candidates = parent.candidates.iter().filter_map(candidate).collect();
        self.turn(id, now, |session| session.start(candidates, now));
        Ok(())
    }

    /// Forget a link that was never answered. False: there is none.
    pub(super) fn forget_opening(&mut self, id: SessionId) -> bool {
        let known = self.opening.remove(&id).is_some();
        if known {
            self.directory.gone(id);
            self.ended.push(id);
        }
        known
    }

    pub(super) fn drop_unanswered_links(&mut self, now: Instant) {
        let is_late = |(id, opening): (&SessionId, &Opening)| (opening.deadline() <= now).then_some(*id);
        for id in self.opening.iter().filter_map(is_late).collect::<Vec<_>>() {
            let reason = CloseReason::HandshakeTimeout;
            self.end_legs(id, reason, now);
            self.events.push_back(NodeEvent {
                session: id,
                stream: "".into(),
                incarnation: None,
                fact: Fact::Closed(reason),
            });
            self.forget_opening(id);
        }
    }

    /// What is known of a link, answered or not.
    pub(super) fn link_mut(&mut self, id: SessionId) -> Option<(Role, &mut Link)> {
        if let Some(opening) = self.opening.get_mut(&id) {
            return Some((Role::LinkIn, &mut opening.link));
        }
        let session = &mut self.sessions.get_mut(&id)?.session;
        if let Media::Link(link) = &mut session.media { Some((session.role, link)) } else { None }
    }
}

fn candidate(address: &SocketAddr) -> Option<Candidate> {
    Candidate::builder().udp().host(*address).build().ok()
}
