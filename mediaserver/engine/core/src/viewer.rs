//! One session that we send to: its place in the stream's log, its tracks, what it asks for.

mod feedback;
mod held;
mod layers;
mod reports;
mod resend;
mod start;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::border::{ForwarderConfig, ViewerId, ViewerSpec, ViewerStats};
use crate::lossiness::Lossiness;
use crate::mapping::Segment;
use crate::negotiation::Kind;
use crate::outbox::Outbox;
use crate::outgoing::{Admission, Beginnings, Outgoing, Stamps};
use crate::repair::Repairs;
use crate::replay::Replay;
use crate::report_schedule::ReportSchedule;
use crate::ring::Packet;
use crate::slots::Id;
use crate::source::{Burst, Source};
use crate::srtp::{IndexUse, Opener, Sealer, SrtpKeys};
use crate::stream::Stream;
use crate::tcp::Lane;
use crate::timed::Timed;
use layers::Layers;
pub use layers::{Playing, Switch, Why};
pub use start::Restart;

#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "facts that have nothing to do with one another")]
pub struct Viewer {
    pub stream: Id,
    pub relay: bool,
    pub destination: Option<SocketAddr>,
    /// Its entry among the timers; others are outdated.
    pub timed_for: Option<Instant>,
    pub reports: ReportSchedule,
    cname: String,
    /// Beside the viewer in memory, for they are read at every turn.
    tracks: SmallVec<[Outgoing; 2]>,
    sealer: Sealer,
    /// Away from what every turn reads.
    opener: Box<Opener>,
    repairs: Repairs,
    /// Its connection takes no video just now; what is to come waits in the log.
    held: bool,
    /// Position in the stream's log.
    cursor: u64,
    /// Before this position audio has gone out ahead of video that waits.
    ahead: u64,
    /// Catches up with `cursor`; video comes from there meanwhile.
    replay: Option<Replay>,
    last_replay: Option<Instant>,
    /// Its codec is known to be none of the viewer's.
    estranged: bool,
    stamps: Stamps,
    lossiness: Lossiness,
    layers: Layers,
    stats: ViewerStats,
    last_sent: Option<Instant>,
    last_video: Option<Instant>,
}

/// What a turn needs besides the viewer.
pub struct Turn<'a> {
    pub id: ViewerId,
    pub stream: &'a Stream,
    pub sources: &'a Timed<Source>,
    pub outbox: &'a mut Outbox,
    pub config: &'a ForwarderConfig,
    pub now: Instant,
    /// NTP, our time.
    pub ntp: u64,
    /// The connection to the viewer takes no video just now.
    pub behind: bool,
}

/// What a turn or a datagram found out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// There is more to send.
    pub more: bool,
    /// A key frame of this track of the source's is missed.
    pub wants_key_frame: Option<usize>,
    /// One of this layer is asked for, by another node.
    pub wants_layer: Option<String>,
    /// It should go on from a key frame that has been: an old one helps as well.
    pub restart: Option<Restart>,
    pub hopeless: Option<Hopeless>,
}

/// Why a viewer has nothing to expect any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hopeless {
    /// The stream has become something that it has no codec for.
    Estranged,
    /// It loses too much for too long.
    TooLossy,
    /// Serving it panicked.
    Failed,
}

impl Viewer {
    #[must_use]
    pub fn new(
        stream: Id,
        spec: ViewerSpec,
        keys: &SrtpKeys,
        config: &ForwarderConfig,
        mut beginnings: impl FnMut() -> Beginnings,
    ) -> Self {
        let tracks = spec.tracks.into_iter().map(|track| Outgoing::new(track, beginnings(), config.playout_delay));
        Self {
            stream,
            relay: spec.relay,
            destination: None,
            timed_for: None,
            reports: ReportSchedule::default(),
            cname: spec.cname,
            tracks: tracks.collect(),
            sealer: Sealer::new(keys),
            opener: Box::new(Opener::new(keys)),
            repairs: Repairs::default(),
            held: false,
            cursor: 0,
            ahead: 0,
            replay: None,
            last_replay: None,
            estranged: false,
            stamps: Stamps::default(),
            lossiness: Lossiness::default(),
            layers: Layers::wishing(spec.layer),
            stats: ViewerStats::default(),
            last_sent: None,
            last_video: None,
        }
    }

    /// Go on with what comes next; what was not sent until now never is.
    pub fn skip_to(&mut self, position: u64) {
        if position > self.cursor || self.replay.is_some() {
            self.tracks.iter_mut().for_each(Outgoing::interrupt);
        }
        self.cursor = position;
        self.replay = None;
    }

    /// Since when the next burst waits.
    #[must_use]
    pub fn waiting_since(&self, stream: &Stream) -> Option<Instant> {
        let live = stream.burst(self.cursor.max(stream.log_start())).map(|burst| burst.emitted);
        let Some(replay) = &self.replay else { return live };
        Some(live.map_or(replay.due, |live| live.min(replay.due)))
    }

    /// Begin to fetch the keys that a turn seals with.
    #[inline]
    pub fn prefetch_keys(&self) {
        self.sealer.prefetch_keys();
    }

    #[inline]
    pub fn prefetch_marks(&self) {
        self.sealer.prefetch_marks();
    }

    /// When it wants a turn without anything new in the log.
    #[must_use]
    pub fn next_timer(&self) -> Option<Instant> {
        let replay = self.replay.as_ref().filter(|_| !self.held).map(|replay| replay.due);
        replay.into_iter().chain(self.layers.probe).min()
    }

    /// Seal what is due: repairs, one burst, reports.
    pub fn turn(&mut self, turn: &mut Turn<'_>) -> Outcome {
        let Some(destination) = self.destination else {
            self.skip_to(turn.stream.log_end());
            return Outcome::default();
        };
        self.stamps.leave_at(turn.ntp);
        self.held = turn.behind;
        turn.outbox.close_run();
        while let Some(repair) = self.repairs.next() {
            if !turn.behind {
                self.send_repair(repair, destination, turn);
            }
        }
        turn.outbox.close_run();
        let mut outcome = Outcome { restart: self.cut_late(turn), ..Outcome::default() };
        if let Some(switch) = self.review_on_air(turn) {
            outcome.restart = outcome.restart.or(Some(Restart::Switch(switch)));
        }
        let went_on = self.go_on(destination, turn, &mut outcome);
        if self.replay.is_some() && !turn.behind {
            self.go_on_replaying(destination, turn, &mut outcome);
        }
        if !turn.behind {
            self.send_probe(destination, turn);
        }
        // Only with media: they tell of it, and a turn of their own would cost as much as a frame.
        if self.last_sent == Some(turn.now) && self.reports.is_due(turn.now) {
            self.send_report(destination, turn);
        }
        let replay_is_due = self.replay.as_ref().is_some_and(|replay| replay.due <= turn.now && !turn.behind);
        outcome.more = (went_on && self.cursor < turn.stream.log_end()) || replay_is_due;
        outcome
    }

    /// The next burst of video, and the sounds before and after it: they are little, and a turn of their own costs as much. False:
    /// there was nothing.
    fn go_on(&mut self, destination: SocketAddr, turn: &mut Turn<'_>, outcome: &mut Outcome) -> bool {
        let stream = turn.stream;
        let (mut went_on, mut video) = (false, false);
        loop {
            self.pass_over(stream);
            let Some(burst) = stream.burst(self.cursor) else { return went_on };
            if video && burst.kind == Kind::Video {
                return went_on;
            }
            if self.keeps_back(burst) {
                self.send_ahead(destination, turn, outcome);
                return went_on;
            }
            let left = self.has_gone_ahead(burst);
            self.cursor += 1;
            video |= burst.kind == Kind::Video;
            went_on = true;
            if !left && !self.replays(burst) {
                self.send_burst(burst, destination, turn, outcome);
            }
        }
    }

    /// Which layer it gets, by what is on air.
    fn review_on_air(&mut self, turn: &Turn<'_>) -> Option<Switch> {
        let id = turn.stream.on_air?;
        self.review_layers(id, turn.sources.get(id.0)?, turn.now)
    }

    /// Bursts of layers that it does not get.
    fn pass_over(&mut self, stream: &Stream) {
        while let Some(burst) = stream.burst(self.cursor)
            && burst.rid.is_some()
            && self.hears(burst).is_none()
        {
            self.cursor += 1;
        }
    }

    /// Leave out what waited too long. Where video is interrupted by that, how it may go on.
    fn cut_late(&mut self, turn: &Turn<'_>) -> Option<Restart> {
        let playing = self.replay.is_none() && self.plays_video();
        let mut from = None;
        let overtaken = self.cursor < turn.stream.log_start();
        if overtaken {
            self.skip_to(turn.stream.log_start());
        }
        while let Some(burst) = turn.stream.burst(self.cursor)
            && turn.now.saturating_duration_since(burst.emitted) > turn.config.late_limit
        {
            let heard = self.hears(burst).filter(|_| !self.has_gone_ahead(burst));
            if burst.kind == Kind::Video && heard.is_some() {
                from = from.or(Some(self.cursor));
            }
            self.cursor += 1;
            if self.replays(burst) {
                continue;
            }
            if let Some(at) = heard {
                self.tracks[at].interrupt();
            }
        }
        let cut = playing && !self.plays_video();
        self.stats.cut += u64::from(cut);
        cut.then_some(Restart::Cut(from.filter(|_| !overtaken)))
    }

    fn send_burst(&mut self, burst: &Burst, destination: SocketAddr, turn: &mut Turn<'_>, outcome: &mut Outcome) {
        let Some(at) = self.hears(burst) else { return };
        if self.layers.target == Some(burst.track) && burst.rid.is_some() {
            self.layers.take_target(burst);
        }
        let offset = self.layer_offset(at, burst, turn);
        let (segment, follow) = match self.tracks[at].admit(burst, self.replay.as_ref(), offset) {
            Admission::Continue(segment) => (segment, &[][..]),
            Admission::Begin(segment) => {
                self.reports.restart(turn.now);
                (segment, &burst.follow[..])
            }
            Admission::Wait => {
                outcome.wants_key_frame = Some(burst.track);
                return;
            }
            Admission::Unplayable => {
                self.stats.unplayable += burst.packets.len() as u64;
                // What comes before the first key frame may be a last word of somebody else.
                if burst.starts_key_frame && !self.estranged {
                    self.estranged = true;
                    outcome.hopeless = Some(Hopeless::Estranged);
                }
                return;
            }
        };
        let mut last = None;
        turn.outbox.lane = Self::lane(burst);
        // What is replayed is old by intention.
        turn.outbox.since = Some(burst.emitted).filter(|_| self.replay.is_none() || burst.kind == Kind::Audio);
        for packet in burst.packets.iter().chain(follow) {
            let Some(number) = self.tracks[at].number(&segment, packet) else { continue };
            let start = turn.outbox.bytes.len();
            if self.seal(at, &segment, packet, number, turn.outbox) {
                self.tracks[at].count(packet, number);
                turn.outbox.commit(turn.id, destination, start);
                last = Some(packet);
            }
        }
        turn.outbox.lane = Lane::Urgent;
        turn.outbox.since = None;
        if let Some(last) = last {
            self.tracks[at].note(&segment, last);
        }
        self.note_burst(at, burst, turn.now);
    }

    fn note_burst(&mut self, at: usize, burst: &Burst, now: Instant) {
        self.last_sent = Some(now);
        if burst.kind == Kind::Video {
            let gap = self.last_video.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
            self.stats.longest_gap = self.stats.longest_gap.max(gap);
            self.last_video = Some(now);
            if burst.starts_key_frame {
                self.tracks[at].last_key_frame = Some(now);
            }
        }
    }

    /// Append a packet of the live stream to the arena. False: it has been sent before.
    fn seal(&mut self, at: usize, segment: &Segment, packet: &Packet, number: u64, outbox: &mut Outbox) -> bool {
        let start = outbox.bytes.len();
        let unsealed = self.tracks[at].write(&mut outbox.bytes, segment, packet, number, &mut self.stamps);
        let sealed = self.sealer.seal_rtp(&mut outbox.bytes, start, unsealed, number, IndexUse::First);
        if sealed {
            self.stats.packets += 1;
            self.stats.bytes += (outbox.bytes.len() - start) as u64;
        }
        sealed
    }

    #[must_use]
    pub fn stats(&self, now: Instant) -> ViewerStats {
        let media_age = self.last_sent.map(|last| now.saturating_duration_since(last));
        ViewerStats { remote: self.destination, media_age, estimate: self.layers.estimate(), ..self.stats.clone() }
    }
}

/// Which of `tracks` is for the burst: where layers have tracks of their own that layer's, else by kind and order.
fn index_of(tracks: &[Outgoing], burst: &Burst) -> Option<usize> {
    let mut of_kind = tracks.iter().enumerate().filter(|(_, track)| track.kind == burst.kind);
    match &burst.rid {
        Some(rid) if tracks.iter().any(|track| track.rid.is_some()) => {
            of_kind.find(|(_, track)| track.rid.as_deref() == Some(rid)).map(|(at, _)| at)
        }
        _ => of_kind.map(|(at, _)| at).nth(burst.ordinal),
    }
}
