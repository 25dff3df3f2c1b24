//! All streams and viewers of one data thread, sans-IO: decrypted source packets in, sealed datagrams out.
//!
//! Invariant: under one (key, SSRC, index) one byte string is ever sealed, whatever the sources do.
//!
//! How a shell drives it:
//! - `start_source` when a publication is negotiated, `on_source_packet` and `on_source_report` for what its session receives,
//!   `end_source` when it ends. A newer source of the same stream takes the stream over with its first packet. All packets of one
//!   read from the socket are given the same `now`: a burst that came together then leaves together.
//! - `add_viewer` once the session's keys are known (the stream need not have a source), `set_destination` as ICE decides,
//!   `on_viewer_datagram` with every SRTCP datagram of the viewer, `remove_viewer` at the end. Nobody else seals with these keys.
//! - After any of these, and after `on_timeout(now)` at `next_deadline()`: `poll_transmit`, `poll_source_request` until None,
//!   `poll_event` until None. After `Flow::Blocked`, `poll_transmit` again when the socket is writable.
//!
//! Fan-out: a source's bursts go into the stream's log once; each viewer reads the log at its own position and seals a burst only
//! when its turn to send has come. So what waits in a full node costs nothing, and what is cut has used no number.

mod layers;
mod mirrors;
#[cfg(test)]
mod nonces;
#[cfg(test)]
mod scenarios;
mod starts;
mod stats;
#[cfg(test)]
mod testing;
mod timers;
mod transmit;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::border::{
    ForwarderConfig, ForwarderEvent, KeyFrameRequest, LayerRequest, SourceId, SourceKind, SourcePacket, StreamKey,
    Totals, TrackSpec, ViewerId, ViewerSpec, WallClock,
};
use crate::inboxes::{Inboxes, MOST_THREADS};
use crate::negotiation::Kind;
use crate::outbox::Outbox;
use crate::outgoing::Beginnings;
use crate::pacing::Pacing;
use crate::random::Random;
use crate::replay;
use crate::slots::{Id, Slots};
use crate::source::{Burst, Source, SourceTrack};
use crate::srtp::SrtpKeys;
use crate::stream::Stream;
use crate::timed::Timed;
use crate::timeline;
use crate::turns::Turns;
use crate::viewer::{Hopeless, Restart, Viewer};
use mirrors::Mirrors;
pub use mirrors::{Begun, Remote, StreamWord};

#[derive(Debug)]
pub struct Forwarder {
    config: ForwarderConfig,
    clock: WallClock,
    random: Random,
    names: HashMap<StreamKey, Id>,
    streams: Timed<Stream>,
    sources: Timed<Source>,
    viewers: Slots<Viewer>,
    /// Viewers with something to send.
    turns: Turns,
    outbox: Outbox,
    pacing: Pacing,
    paced_until: Option<Instant>,
    /// When viewers want a turn for a replay or a probe; outdated entries are passed over.
    wake_times: BinaryHeap<Reverse<(Instant, ViewerId)>>,
    /// Room for bursts on their way from a source to its stream, and for a datagram to be opened in.
    bursts: Vec<Burst>,
    scratch: Vec<u8>,
    requests: VecDeque<KeyFrameRequest>,
    layer_requests: VecDeque<LayerRequest>,
    events: VecDeque<ForwarderEvent>,
    totals: Totals,
    /// Of the newest source.
    order: u64,
    mirrors: Mirrors,
}

impl Forwarder {
    /// `seed`: from the system's random source.
    #[must_use]
    pub fn new(config: ForwarderConfig, clock: WallClock, seed: u64) -> Self {
        Self {
            pacing: Pacing::new(config.way_out.clone(), config.spread_limit),
            config,
            clock,
            random: Random::new(seed),
            names: HashMap::new(),
            streams: Timed::default(),
            sources: Timed::default(),
            viewers: Slots::default(),
            turns: Turns::default(),
            outbox: Outbox::default(),
            paced_until: None,
            wake_times: BinaryHeap::new(),
            bursts: Vec::new(),
            scratch: Vec::new(),
            requests: VecDeque::new(),
            layer_requests: VecDeque::new(),
            events: VecDeque::new(),
            totals: Totals::default(),
            order: 0,
            mirrors: Mirrors::new(Inboxes::alone()),
        }
    }

    /// A publication has been negotiated. It takes the stream over from older ones with its first packet.
    pub fn start_source(
        &mut self,
        stream: &StreamKey,
        incarnation: &str,
        kind: SourceKind,
        tracks: &[TrackSpec],
        now: Instant,
    ) -> SourceId {
        let hold = match kind {
            SourceKind::Publisher => self.config.gather_publisher,
            SourceKind::Relay => self.config.gather_relay,
        };
        let tracks = tracks
            .iter()
            .enumerate()
            .map(|(at, spec)| SourceTrack::new(spec.clone(), ordinal(tracks, at), self.history(spec.kind), hold));
        let tracks = tracks.collect();
        let stream = self.stream(stream);
        self.order = self.next_order(now);
        let mut source = Source::new(stream, incarnation, self.order, tracks);
        source.layers_due = (kind == SourceKind::Relay).then_some(now);
        let source = SourceId(self.sources.insert(source));
        if let Some(stream) = self.streams.get_mut(stream) {
            stream.sources.push(source);
        }
        source
    }

    pub fn on_source_packet(&mut self, source: SourceId, track: usize, packet: SourcePacket, now: Instant) {
        let ntp = timeline::ntp(self.clock, now);
        let Some(entry) = self.sources.get_mut(source.0) else { return };
        let noticed = entry.on_packet(source, track, packet, (now, ntp), &mut self.bursts);
        if noticed.active {
            self.events.push_back(ForwarderEvent::Active { source });
        }
        self.go_on_air(source, now);
        if noticed.active {
            self.hear(source);
        }
        if noticed.tracks {
            self.tell_tracks(source);
        }
        self.distribute();
    }

    /// The source goes on in another codec, in the same numbers.
    pub fn retune(&mut self, source: SourceId, track: usize, spec: TrackSpec, now: Instant) {
        let Some(entry) = self.sources.get_mut(source.0) else { return };
        entry.retune(source, track, spec, now, &mut self.bursts);
        self.distribute();
        self.tell_tracks(source);
    }

    /// A sender report of the source. `ntp`: 32.32 seconds.
    pub fn on_source_report(&mut self, source: SourceId, track: usize, ntp: u64, rtp_timestamp: u32, now: Instant) {
        let local = timeline::ntp(self.clock, now);
        if let Some(source) = self.sources.get_mut(source.0) {
            source.timeline.on_report(track, ntp, rtp_timestamp, local);
        }
    }

    /// The publication is over. Its stream's viewers stay and wait for another.
    pub fn end_source(&mut self, source: SourceId, now: Instant) {
        if let Some(entry) = self.sources.get_mut(source.0) {
            entry.expire(source, now, true, &mut self.bursts);
            self.distribute();
        }
        self.forget_source(source);
    }

    /// The same without what it still holds.
    pub fn forget_source(&mut self, source: SourceId) {
        let Some(entry) = self.sources.remove(source.0) else { return };
        self.end_mirroring(source, &entry);
        if let Some(stream) = self.streams.get_mut(entry.stream) {
            stream.sources.retain(|other| *other != source);
            stream.on_air = stream.on_air.filter(|on_air| *on_air != source);
        }
        self.forget_unused(entry.stream);
    }

    /// `destination`: None until ICE has proved one; nothing is sent before, and nothing is queued up.
    pub fn add_viewer(
        &mut self,
        stream: &StreamKey,
        spec: ViewerSpec,
        keys: &SrtpKeys,
        destination: Option<SocketAddr>,
        now: Instant,
    ) -> ViewerId {
        let name = stream;
        let stream = self.stream(name);
        let random = &mut self.random;
        let beginnings = || Beginnings {
            number: random.first_number(),
            rtx_number: random.first_number(),
            timestamp: random.word(),
        };
        let mut viewer = Viewer::new(stream, spec, keys, &self.config, beginnings);
        viewer.destination = destination;
        let entry = self.streams.get_mut(stream);
        viewer.skip_to(entry.as_ref().map_or(0, |stream| stream.log_end()));
        let id = ViewerId(self.viewers.insert(viewer));
        let first = entry.as_ref().is_some_and(|entry| entry.viewers.is_empty());
        if let Some(entry) = entry {
            entry.viewers.push(id);
        }
        if first {
            self.watch(name);
        }
        self.restart(id, Restart::Join, now);
        id
    }

    /// Where the viewer's datagrams go from now on; None: nowhere until it is known.
    pub fn set_destination(&mut self, viewer: ViewerId, destination: Option<SocketAddr>, now: Instant) {
        let Some(entry) = self.viewers.get_mut(viewer.0) else { return };
        let found = entry.destination.is_none() && destination.is_some();
        entry.destination = destination;
        if found {
            let end = self.streams.get(entry.stream).map_or(0, Stream::log_end);
            entry.skip_to(end);
            self.restart(viewer, Restart::Join, now);
        }
    }

    /// An SRTCP datagram of the viewer, still sealed.
    pub fn on_viewer_datagram(&mut self, viewer: ViewerId, datagram: &[u8], now: Instant) {
        let ntp = timeline::ntp(self.clock, now);
        let Some(entry) = self.viewers.get_mut(viewer.0) else { return };
        let id = entry.stream;
        let Some(stream) = self.streams.get(id) else { return };
        self.scratch.clear();
        self.scratch.extend_from_slice(datagram);
        let Some(outcome) = entry.on_datagram(&mut self.scratch, stream, (now, ntp)) else {
            self.totals.rejected += 1;
            return;
        };
        if outcome.more {
            self.turns.push(viewer);
        }
        if let Some(restart) = outcome.restart {
            self.restart(viewer, restart, now);
        }
        if let Some(rid) = outcome.wants_layer {
            self.want_layer(id, &rid, now);
        }
        if let Some(hopeless) = outcome.hopeless {
            self.give_up(viewer, hopeless);
        }
    }

    fn give_up(&mut self, viewer: ViewerId, hopeless: Hopeless) {
        self.events.push_back(match hopeless {
            Hopeless::Estranged => ForwarderEvent::CodecChanged { viewer },
            Hopeless::TooLossy => ForwarderEvent::TooLossy { viewer },
            Hopeless::Failed => ForwarderEvent::Failed { viewer },
        });
    }

    /// End a viewer; `say_bye`: an RTCP BYE leaves with the next `poll_transmit`.
    pub fn remove_viewer(&mut self, viewer: ViewerId, say_bye: bool, now: Instant) {
        let Some(mut entry) = self.viewers.remove(viewer.0) else { return };
        if say_bye {
            entry.send_bye(viewer, &mut self.outbox);
        }
        if let Some(stream) = self.streams.get_mut(entry.stream) {
            stream.viewers.retain(|other| *other != viewer);
            if stream.viewers.is_empty() {
                self.unwatch(entry.stream, now);
            }
        }
        self.forget_unused(entry.stream);
    }

    #[must_use]
    pub fn viewers_of(&self, stream: &str) -> Vec<ViewerId> {
        self.find(stream).map(|stream| stream.viewers.clone()).unwrap_or_default()
    }

    /// Ask the source on air for a key frame, within the stream's budget.
    pub fn request_key_frame(&mut self, stream: &str, now: Instant) {
        if let Some(&stream) = self.names.get(stream) {
            self.want_key_frame(stream, None, now);
        }
    }

    /// A key frame that a source's peer is to be asked for.
    pub fn poll_source_request(&mut self) -> Option<KeyFrameRequest> {
        self.requests.pop_front()
    }

    pub fn poll_event(&mut self) -> Option<ForwarderEvent> {
        self.events.pop_front()
    }

    fn find(&self, stream: &str) -> Option<&Stream> {
        self.streams.get(*self.names.get(stream)?)
    }

    /// The stream of this name, made when it is not there.
    fn stream(&mut self, name: &StreamKey) -> Id {
        if let Some(&id) = self.names.get(name) {
            return id;
        }
        let id = self.streams.insert(Stream::new(name.clone()));
        self.names.insert(name.clone(), id);
        id
    }

    fn forget_unused(&mut self, stream: Id) {
        if self.streams.get(stream).is_some_and(Stream::is_unused)
            && let Some(stream) = self.streams.remove(stream)
        {
            self.names.remove(&stream.name);
        }
    }

    /// How far back a track's packets are kept: who starts with an old key frame may miss some of that too.
    fn history(&self, kind: Kind) -> Duration {
        self.config.history + if kind == Kind::Video { replay::LONGEST } else { Duration::ZERO }
    }

    /// Grows with every source that any thread of the node starts: by time, then by thread.
    fn next_order(&self, now: Instant) -> u64 {
        let nanos = u64::try_from(now.saturating_duration_since(self.clock.at).as_nanos()).unwrap_or(u64::MAX);
        let ours = |tick: u64| tick.saturating_mul(MOST_THREADS as u64) + self.mirrors.me() as u64;
        ours(nanos.min(u64::MAX / (2 * MOST_THREADS as u64))).max(self.order + MOST_THREADS as u64)
    }

    fn tell_tracks(&mut self, source: SourceId) {
        if let Some(entry) = self.sources.get(source.0) {
            let tracks = entry.tracks.iter().map(|track| track.spec.clone()).collect();
            self.events.push_back(ForwarderEvent::Tracks { source, tracks });
            self.show_tracks(source);
        }
    }

    /// The stream's source, if it is newer than the one on air.
    fn go_on_air(&mut self, source: SourceId, now: Instant) {
        if !self.take_over(source) {
            return;
        }
        let Some(id) = self.sources.get(source.0).map(|source| source.stream) else { return };
        if self.streams.get(id).is_some_and(|stream| !stream.viewers.is_empty()) {
            self.want_key_frame(id, None, now);
        }
    }

    /// It is there, for the first time or again.
    fn hear(&mut self, source: SourceId) {
        let Some(stream) = self.sources.get(source.0).map(|source| source.stream) else { return };
        if let Some(stream) = self.streams.get_mut(stream).filter(|stream| stream.on_air == Some(source)) {
            stream.is_heard();
        }
    }

    /// True: it is the stream's source from now on.
    fn take_over(&mut self, source: SourceId) -> bool {
        let Some(entry) = self.sources.get(source.0) else { return false };
        let Some(stream) = self.streams.get_mut(entry.stream) else { return false };
        let current = stream.on_air.and_then(|current| self.sources.get(current.0));
        let newer = current.is_none_or(|current| current.order < entry.order);
        if newer {
            stream.on_air = Some(source);
            stream.wished.clear();
            stream.is_heard();
        }
        newer
    }
}

/// Which of the tracks of its kind the one at `at` is; layers stand for one track together.
fn ordinal(tracks: &[TrackSpec], at: usize) -> usize {
    let whole = |other: &&TrackSpec| other.kind == tracks[at].kind && other.layer.is_none();
    tracks[..at].iter().filter(whole).count()
}
