//! All sessions of one data thread, sans-IO: demultiplexing, their life, and what passes between them and the forwarder.
//!
//! Invariant: a session is in `sessions` exactly as long as it is in the maps that lead to it; `remove` is the only way out.

mod connections;
mod demux;
mod dial;
mod directory;
mod endings;
mod guard;
mod handshake_time;
mod inlet;
mod legs;
mod links;
mod lobby;
mod outputs;
mod pull;
mod restart;
mod stats;
#[cfg(test)]
mod tests;
mod threads;
mod tracing;
mod words;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::border::{ForwarderConfig, ForwarderEvent, SourceId, SourceKind, StreamKey, ViewerId, WallClock};
use crate::dtls::Crypto;
use crate::egress::{Egress, Flow};
use crate::forwarder::Forwarder;
use crate::inboxes::{Inboxes, ThreadNumber};
use crate::session::{CloseReason, Media, Role, Session};
use crate::srtp::SrtpKeys;
use demux::Arrival;
pub use dial::Dial;
pub use directory::Directory;
pub use inlet::{Course, Inlet};
use legs::Leg;
pub use legs::{LegError, NewLeg};
use links::Opening;
pub use links::accept as accept_link;
use lobby::Lobby;
pub use pull::{NewPull, PullError, PulledFrom};
pub use restart::PatchError;
pub use stats::{NodeStats, SessionStats};
pub use threads::SessionWord;
use tracing::Traces;
pub use tracing::{TraceError, TraceRead};
pub use words::{Fact, Full, Limits, NewSession, NodeEvent, SessionId, Socket, Transmit};

/// A session that wants another turn at once gets it after this.
const MIN_STEP: Duration = Duration::from_millis(1);

struct Entry {
    session: Session,
    stream: StreamKey,
    incarnation: Option<String>,
    socket: Socket,
    source: Option<SourceId>,
    viewer: Option<ViewerId>,
    /// Addresses that lead here.
    addresses: VecDeque<SocketAddr>,
    /// As it stands in `timers`.
    deadline: Instant,
    /// Its tracks were told.
    introduced: bool,
    /// For a trace that begins later.
    keys: Option<SrtpKeys>,
}

pub struct Node {
    crypto: Crypto,
    limits: Limits,
    forwarder: Forwarder,
    /// Boxed: an entry has some kilobytes, and a map moves what it holds when it grows.
    sessions: HashMap<SessionId, Box<Entry>>,
    pulls: HashMap<SessionId, NewPull>,
    opening: HashMap<SessionId, Opening>,
    legs: HashMap<SessionId, Leg>,
    by_ufrag: HashMap<String, SessionId>,
    by_address: HashMap<SocketAddr, SessionId>,
    /// Who last asked validly from an address that leads to somebody else.
    claims: HashMap<SocketAddr, SessionId>,
    by_source: HashMap<SourceId, SessionId>,
    by_viewer: HashMap<ViewerId, SessionId>,
    timers: BTreeSet<(Instant, SessionId)>,
    pub transmits: Vec<Transmit>,
    pub events: VecDeque<NodeEvent>,
    /// Relays whose peer is proved and nominated: their own socket can be connected to it.
    pub settled: Vec<(SessionId, SocketAddr)>,
    /// Sessions that are gone; those of relays had a socket.
    pub ended: Vec<SessionId>,
    /// TCP connections to be closed when what is to be sent on them has left.
    pub hang_ups: Vec<SocketAddr>,
    /// TCP connections whose session went to that thread: they are to follow, with what waits to be sent on them.
    pub departures: Vec<(SocketAddr, ThreadNumber)>,
    /// TCP connections that are wanted.
    pub dials: Vec<Dial>,
    /// TCP connections on which a relay has begun: they deserve the better congestion control.
    pub relay_connections: Vec<SocketAddr>,
    unknown_datagrams: u64,
    lobby: Lobby,
    inboxes: Inboxes<SessionWord>,
    directory: Directory,
    /// Of the datagram that is being read.
    arrival: Arrival,
    /// Goes to another thread when its turn is over.
    leaving: Option<(SessionId, ThreadNumber)>,
    traces: Traces,
}

impl Node {
    #[must_use]
    pub fn new(crypto: Crypto, limits: Limits, config: ForwarderConfig, clock: WallClock, seed: u64) -> Self {
        Self {
            crypto,
            limits,
            forwarder: Forwarder::new(config, clock, seed),
            sessions: HashMap::new(),
            pulls: HashMap::new(),
            opening: HashMap::new(),
            legs: HashMap::new(),
            by_ufrag: HashMap::new(),
            by_address: HashMap::new(),
            claims: HashMap::new(),
            by_source: HashMap::new(),
            by_viewer: HashMap::new(),
            timers: BTreeSet::new(),
            transmits: Vec::new(),
            events: VecDeque::new(),
            settled: Vec::new(),
            ended: Vec::new(),
            hang_ups: Vec::new(),
            departures: Vec::new(),
            dials: Vec::new(),
            relay_connections: Vec::new(),
            unknown_datagrams: 0,
            lobby: Lobby::default(),
            inboxes: Inboxes::alone(),
            directory: Directory::default(),
            arrival: Arrival::default(),
            leaving: None,
            traces: Traces::new(clock),
        }
    }

    /// Take a session that a peer opened.
    ///
    /// # Errors
    /// `Full` at a limit; the session is dropped.
    pub fn add(&mut self, new: NewSession, now: Instant) -> Result<(), Full> {
        self.admit(new.id, now)?;
        self.insert(new, Socket::Shared, now);
        Ok(())
    }

    pub fn request_key_frame(&mut self, stream: &str, now: Instant) {
        self.forwarder.request_key_frame(stream, now);
        self.settle(now);
    }

    /// Which layer a viewer is to get; None: the best that its path carries. False: there is no such viewer.
    pub fn choose_layer(&mut self, id: SessionId, rid: Option<&str>, now: Instant) -> bool {
        let Some(entry) = self.sessions.get_mut(&id) else { return false };
        let Media::Outbound(spec) = &mut entry.session.media else { return false };
        spec.layer = rid.map(str::to_owned);
        if let Some(viewer) = entry.viewer {
            self.forwarder.choose_layer(viewer, rid, now);
        }
        self.settle(now);
        true
    }

    /// When `on_timeout` wants to be called.
    #[must_use]
    pub fn next_deadline(&mut self) -> Option<Instant> {
        let pulls =
            self.pulls.values().map(NewPull::deadline).chain(self.opening.values().map(Opening::deadline)).min();
        let timer = self.timers.first().map(|(at, _)| *at);
        [pulls, timer, self.forwarder.next_deadline(), self.lobby.since()].into_iter().flatten().min()
    }

    pub fn on_timeout(&mut self, now: Instant) {
        while let Some(&(at, id)) = self.timers.first()
            && at <= now
        {
            if self.legs.contains_key(&id) {
                self.on_leg_timeout(id, now);
                continue;
            }
            self.turn(id, now, |session| session.on_timeout(now));
            if let Some(entry) = self.sessions.get(&id) {
                // Whatever it says: not in this turn again.
                let next = entry.session.next_deadline().max(now + MIN_STEP);
                self.wake_at(id, next);
            }
        }
        self.drop_unanswered_pulls(now);
        self.drop_unanswered_links(now);
        if self.forwarder.next_deadline().is_some_and(|at| at <= now) {
            self.spare(|node| node.forwarder.on_timeout(now));
        }
        self.settle(now);
    }

    /// Send what is due.
    pub fn poll_transmit(&mut self, now: Instant, egress: &mut dyn Egress) -> Flow {
        let flow = if self.traces.is_empty() {
            self.forwarder.poll_transmit(now, egress)
        } else {
            self.forwarder.poll_transmit(now, &mut self.traces.watch(egress, &self.by_viewer, now))
        };
        self.settle(now);
        flow
    }

    fn admit(&self, id: SessionId, now: Instant) -> Result<(), Full> {
        if self.lobby.is_too_long(now) {
            return Err(Full::Handshakes);
        }
        self.directory.admit(id, self.me(), self.limits)
    }

    fn pending_handshakes(&self) -> usize {
        self.sessions.values().filter(|entry| !entry.session.is_connected()).count()
            + self.pulls.len()
            + self.opening.len()
    }

    fn insert(&mut self, new: NewSession, socket: Socket, now: Instant) {
        let NewSession { id, session, stream, incarnation } = new;
        let source = self.start_source(&session, &stream, incarnation.as_deref(), now);
        if let Some(source) = source {
            self.by_source.insert(source, id);
        }
        if socket == Socket::Shared {
            for ufrag in session.local_ufrags() {
                self.directory.note_ufrag(ufrag, self.inboxes.me());
                self.by_ufrag.insert(ufrag.to_owned(), id);
            }
        }
        let deadline = session.next_deadline();
        self.timers.insert((deadline, id));
        let addresses = VecDeque::new();
        let (viewer, introduced, keys) = (None, false, None);
        let entry =
            Entry { session, stream, incarnation, socket, source, viewer, addresses, deadline, introduced, keys };
        self.sessions.insert(id, Box::new(entry));
        self.settle(now);
    }

    fn start_source(
        &mut self,
        session: &Session,
        stream: &StreamKey,
        incarnation: Option<&str>,
        now: Instant,
    ) -> Option<SourceId> {
        let Media::Inbound(receiver) = &session.media else { return None };
        let kind = if session.role == Role::RelayIn { SourceKind::Relay } else { SourceKind::Publisher };
        Some(self.forwarder.start_source(stream, incarnation.unwrap_or_default(), kind, &receiver.specs(), now))
    }

    /// Let a session do something and take what comes of it. A panic over it ends it, and only it.
    fn turn(&mut self, id: SessionId, now: Instant, action: impl FnOnce(&mut Session)) {
        self.guard(id, now, |node| {
            let Some(entry) = node.sessions.get_mut(&id) else { return };
            action(&mut entry.session);
            node.take_outputs(id, now);
            if let Some((id, to)) = node.leaving.take() {
                node.hand_over(id, to, now);
            }
        });
        if let Some(entry) = self.sessions.get(&id) {
            let deadline = entry.session.next_deadline();
            self.wake_by(id, deadline);
        }
    }

    /// Wake the session not later than `at`; too early does no harm and is put right then.
    fn wake_by(&mut self, id: SessionId, at: Instant) {
        let Some(entry) = self.sessions.get_mut(&id) else { return };
        if at < entry.deadline {
            self.timers.remove(&(entry.deadline, id));
            entry.deadline = at;
            self.timers.insert((at, id));
        }
    }

    fn wake_at(&mut self, id: SessionId, at: Instant) {
        let Some(entry) = self.sessions.get_mut(&id) else { return };
        self.timers.remove(&(entry.deadline, id));
        entry.deadline = at;
        self.timers.insert((at, id));
    }

    fn tell(&mut self, id: SessionId, fact: Fact) {
        let of_session = self.sessions.get(&id).map(|entry| (&entry.stream, &entry.incarnation));
        let named = of_session.or_else(|| self.legs.get(&id).map(|leg| (&leg.stream, &leg.incarnation)));
        if let Some((stream, incarnation)) = named {
            let (stream, incarnation) = (stream.clone(), incarnation.clone());
            self.events.push_back(NodeEvent { session: id, stream, incarnation, fact });
        }
    }

    /// Before anything else is told of a source: its tracks as negotiated.
    fn introduce(&mut self, id: SessionId) {
        let of_session = self.sessions.get_mut(&id).map(|entry| (&mut entry.introduced, &entry.session.media));
        let of_leg = self.legs.get_mut(&id).map(|leg| (&mut leg.introduced, &leg.media));
        let Some((introduced, media)) = of_session.or(of_leg).filter(|(introduced, _)| !**introduced) else { return };
        *introduced = true;
        if let Media::Inbound(receiver) = media {
            let fact = Fact::Tracks(receiver.specs());
            self.tell(id, fact);
        }
    }

    /// Take what the forwarder wants of sources and tells.
    fn settle(&mut self, now: Instant) {
        // A layer that is not sent has no key frame to ask for.
        while let Some(request) = self.forwarder.poll_layer_request() {
            if let Some(id) = self.by_source.get(&request.source).copied() {
                self.turn(id, now, |session| session.want_layer(request.track, request.wanted));
                self.turn_leg(id, now, |receiver| receiver.want_layer(request.track, request.wanted));
            }
        }
        while let Some(request) = self.forwarder.poll_source_request() {
            if let Some(id) = self.by_source.get(&request.source).copied() {
                self.turn(id, now, |session| session.request_key_frame(request.track));
                self.turn_leg(id, now, |receiver| receiver.request_key_frame(request.track));
            }
        }
        while let Some(event) = self.forwarder.poll_event() {
            let (source, fact) = match event {
                ForwarderEvent::Active { source } => (source, Fact::Active),
                ForwarderEvent::Silent { source } => (source, Fact::Silent),
                ForwarderEvent::Tracks { source, tracks } => (source, Fact::Tracks(tracks)),
                ForwarderEvent::Layer { viewer, rid } => {
                    if let Some(id) = self.by_viewer.get(&viewer).copied() {
                        self.tell(id, Fact::Layer(rid));
                    }
                    continue;
                }
                ForwarderEvent::CodecChanged { viewer } => {
                    self.end_viewer(viewer, CloseReason::CodecChanged, now);
                    continue;
                }
                ForwarderEvent::TooLossy { viewer } => {
                    self.end_viewer(viewer, CloseReason::TooLossy, now);
                    continue;
                }
                ForwarderEvent::Failed { viewer } => {
                    self.end_viewer(viewer, CloseReason::Failed, now);
                    continue;
                }
                ForwarderEvent::SourceFailed { source } => {
                    if let Some(id) = self.by_source.get(&source).copied() {
                        self.fail(id, now);
                    }
                    continue;
                }
            };
            if let Some(id) = self.by_source.get(&source).copied() {
                self.introduce(id);
                self.tell(id, fact);
            }
        }
    }
}
