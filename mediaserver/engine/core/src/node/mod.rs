//! All sessions of one data thread, sans-IO: demultiplexing, their life, and what passes between them and the forwarder.
//!
//! Invariant: a session is in `sessions` exactly as long as it is in the maps that lead to it; `remove` is the only way out.

mod connections;
mod demux;
mod dial;
mod directory;
mod inlet;
mod legs;
mod links;
mod lobby;
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
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::border::{ForwarderConfig, ForwarderEvent, SourceId, SourceKind, StreamKey, ViewerId, WallClock};
use crate::dtls::Crypto;
use crate::egress::{Egress, Flow};
use crate::forwarder::Forwarder;
use crate::inboxes::{Inboxes, ThreadNumber};
use crate::session::{CloseReason, Media, Output, Role, Session};
use crate::srtp::SrtpKeys;
use crate::tcp;
use crate::trace::Direction;
use demux::Arrival;
pub use dial::Dial;
pub use directory::Directory;
pub use inlet::{Course, Inlet};
use legs::Leg;
pub use legs::{LegError, NewLeg};
use links::Opening;
pub use links::accept as accept_link;
use lobby::Lobby;
pub use pull::{NewPull, PullError};
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

    /// End a session and tell the peer. False: there is none.
    pub fn close(&mut self, id: SessionId, now: Instant) -> bool {
        if self.pulls.remove(&id).is_some() {
            self.directory.gone(id);
            self.ended.push(id);
            return true;
        }
        if self.close_leg(id, now) {
            return true;
        }
        self.end_legs(id, CloseReason::PeerClosed, now);
        if self.forget_opening(id) {
            return true;
        }
        let known = self.sessions.contains_key(&id);
        self.goodbye(id, now);
        known
    }

    /// End all sessions of a stream.
    pub fn drop_stream(&mut self, stream: &str, now: Instant) {
        let of_stream = self.sessions.iter().filter(|(_, entry)| &*entry.stream == stream);
        let ids: Vec<SessionId> = of_stream.map(|(id, _)| *id).collect();
        let pulls = self.pulls.iter().filter(|(_, pull)| &*pull.stream == stream).map(|(id, _)| *id);
        let legs = self.legs.iter().filter(|(_, leg)| &*leg.stream == stream).map(|(id, _)| *id);
        for id in pulls.chain(legs).chain(ids).collect::<Vec<_>>() {
            self.close(id, now);
        }
    }

    /// End everything, with an event for each.
    pub fn shut_down(&mut self, now: Instant) {
        let ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        for id in ids.into_iter().chain(self.opening.keys().copied().collect::<Vec<_>>()) {
            self.end_legs(id, CloseReason::Shutdown, now);
            self.tell(id, Fact::Closed(CloseReason::Shutdown));
            self.forget_opening(id);
            self.goodbye(id, now);
        }
        for (id, _) in self.pulls.drain() {
            self.directory.gone(id);
        }
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
    pub fn next_deadline(&self) -> Option<Instant> {
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
            self.forwarder.on_timeout(now);
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

    /// Let a session do something and take what comes of it. A panic in it ends it, and only it.
    fn turn(&mut self, id: SessionId, now: Instant, action: impl FnOnce(&mut Session)) {
        let Some(entry) = self.sessions.get_mut(&id) else { return };
        if catch_unwind(AssertUnwindSafe(|| action(&mut entry.session))).is_err() {
            self.fail(id, now);
            return;
        }
        self.take_outputs(id, now);
        if let Some((id, to)) = self.leaving.take() {
            self.hand_over(id, to, now);
        }
        if let Some(entry) = self.sessions.get(&id) {
            let deadline = entry.session.next_deadline();
            self.wake_by(id, deadline);
        }
    }

    /// A mistake of ours in a session's work ends that session.
    pub(super) fn fail(&mut self, id: SessionId, now: Instant) {
        self.end_legs(id, CloseReason::Failed, now);
        self.tell(id, Fact::Closed(CloseReason::Failed));
        self.remove_leg(id, now, false);
        self.remove(id, now, false);
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

    fn take_outputs(&mut self, id: SessionId, now: Instant) {
        while let Some(output) = self.sessions.get_mut(&id).and_then(|entry| entry.session.poll_output()) {
            self.take_output(id, output, now);
        }
    }

    fn take_output(&mut self, id: SessionId, output: Output, now: Instant) {
        let Some(entry) = self.sessions.get_mut(&id) else { return };
        match output {
            Output::Transmit { to, datagram } => {
                self.traces.datagram(id, Direction::Out, to, &datagram, now);
                self.transmits.push(Transmit { socket: entry.socket, to, datagram });
            }
            Output::Packet { track, packet } => self.forward(id, now, |forwarder, source| {
                forwarder.on_source_packet(source, track, packet, now);
            }),
            Output::Retuned { track, spec } => self.forward(id, now, |forwarder, source| {
                forwarder.retune(source, track, spec, now);
            }),
            Output::Report { track, ntp, rtp_timestamp } => self.forward(id, now, |forwarder, source| {
                forwarder.on_source_report(source, track, ntp, rtp_timestamp, now);
            }),
            Output::Moved => {
                let stream = entry.stream.clone();
                self.forwarder.on_source_moved(&stream, now);
            }
            Output::NeedsKeyFrame { track } => {
                if let Some(source) = entry.source {
                    self.forwarder.on_source_gap(source, track, now);
                }
            }
            Output::Connected(keys) => {
                if let Media::Outbound(spec) = &entry.session.media {
                    let (spec, remote) = (spec.clone(), entry.session.remote());
                    let viewer = self.forwarder.add_viewer(&entry.stream, spec, &keys, remote, now);
                    entry.viewer = Some(viewer);
                    self.by_viewer.insert(viewer, id);
                }
                self.relay_connections.extend(entry.session.relay_connection());
                self.directory.connected(id);
                self.traces.connected(id, &keys, now);
                entry.keys = Some(keys);
                self.tell(id, Fact::Connected);
                self.start_legs(id, now);
            }
            Output::Nominated(address) => {
                self.traces.event(id, "nominated", &tcp::plain(address), now);
                self.on_nominated(id, address, now);
            }
            Output::Proved(address) => {
                self.traces.event(id, "proved", &tcp::plain(address), now);
                self.on_proved(id, address);
            }
            Output::RoundTrip(measured) => self.note_round_trip(id, measured),
            Output::Forgotten { ufrag } => {
                self.by_ufrag.remove(&ufrag);
                self.directory.forget_ufrag(&ufrag);
            }
            Output::Closed(reason) => {
                self.traces.event(id, "closed", &reason.name(), now);
                self.end_legs(id, reason, now);
                self.tell(id, Fact::Closed(reason));
                self.remove(id, now, true);
            }
        }
    }

    /// What a source has sent goes to the forwarder. A panic over it ends the source's session, and only it.
    fn forward(&mut self, id: SessionId, now: Instant, action: impl FnOnce(&mut Forwarder, SourceId)) {
        let of_leg = self.legs.get(&id).and_then(|leg| leg.source);
        let Some(source) = self.sessions.get(&id).and_then(|entry| entry.source).or(of_leg) else { return };
        let forwarder = &mut self.forwarder;
        if catch_unwind(AssertUnwindSafe(|| action(forwarder, source))).is_err() {
            self.forwarder.forget_source(source);
            self.fail(id, now);
        }
    }

    fn on_nominated(&mut self, id: SessionId, address: SocketAddr, now: Instant) {
        let Some(entry) = self.sessions.get(&id) else { return };
        if let Some(viewer) = entry.viewer {
            self.forwarder.set_destination(viewer, Some(address), now);
        }
        if let Socket::Own(id) = entry.socket {
            self.settled.push((id, address));
        } else if self.arrival.by != self.me() && !entry.session.is_connected() && tcp::number(address).is_none() {
            self.leaving = Some((id, self.arrival.by));
        }
        self.redirect_legs(id, address, now);
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

    fn goodbye(&mut self, id: SessionId, now: Instant) {
        self.part(id, now);
        self.settle(now);
    }

    fn part(&mut self, id: SessionId, now: Instant) {
        // The forwarder's BYE first: after DTLS is closed nobody listens.
        if let Some(viewer) = self.sessions.get_mut(&id).and_then(|entry| entry.viewer.take()) {
            self.by_viewer.remove(&viewer);
            self.forwarder.remove_viewer(viewer, true, now);
        }
        self.turn(id, now, Session::close);
        self.remove(id, now, false);
    }

    /// End the session of a viewer that has nothing to expect any more.
    fn end_viewer(&mut self, viewer: ViewerId, reason: CloseReason, now: Instant) {
        if let Some(id) = self.by_viewer.get(&viewer).copied() {
            if self.legs.contains_key(&id) {
                self.end_leg(id, reason, now);
                return;
            }
            self.tell(id, Fact::Closed(reason));
            self.part(id, now);
        }
    }

    fn remove(&mut self, id: SessionId, now: Instant, say_bye: bool) {
        let Some(entry) = self.sessions.remove(&id) else { return };
        self.traces.session_ended(id, now);
        self.timers.remove(&(entry.deadline, id));
        for ufrag in entry.session.local_ufrags() {
            self.by_ufrag.remove(ufrag);
            self.directory.forget_ufrag(ufrag);
        }
        for address in &entry.addresses {
            self.forget_address(*address, id);
        }
        self.hang_ups.extend(entry.addresses.iter().filter(|address| tcp::number(**address).is_some()));
        if let Some(viewer) = entry.viewer {
            self.by_viewer.remove(&viewer);
            self.forwarder.remove_viewer(viewer, say_bye, now);
        }
        if let Some(source) = entry.source {
            self.by_source.remove(&source);
            self.forwarder.end_source(source, now);
        }
        self.directory.gone(id);
        self.ended.push(id);
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
            };
            if let Some(id) = self.by_source.get(&source).copied() {
                self.introduce(id);
                self.tell(id, fact);
            }
        }
    }
}
