//! A viewer behind the live edge catches up from the stream's log, faster than live but not as fast as it could.
//!
//! It gets video alone at a cursor of its own; all else it gets live meanwhile. The packets are those of the ring, so repairs
//! know them; their timestamps are squeezed (`mapping::Squeeze`) so that the last one lands on the live timeline. Another node,
//! which is sent each layer apart, catches up with all of them at once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use smallvec::{SmallVec, smallvec};

use crate::border::SourceId;
use crate::negotiation::Kind;
use crate::source::Burst;
use crate::stream::Stream;

/// Nobody starts further back than either of these.
pub const LONGEST: Duration = Duration::from_secs(2);
pub const LARGEST: usize = 1_000_000;
/// Speeds in percent of live: at most, and below which catching up takes too long to be worth it.
const FASTEST: u32 = 400;
const SLOWEST: u32 = 150;
/// A viewer this little behind has nothing to catch up with.
const AT_THE_EDGE: Duration = Duration::from_millis(100);
/// Rates are not judged by less than this: a key frame alone would look like a fast stream.
const SHORTEST_JUDGED: Duration = Duration::from_millis(250);
/// What all replays together may take of the node's way out.
const SHARE: f64 = 0.5;

/// A track of what is caught up with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The source's.
    pub track: usize,
    /// Position of its first burst.
    pub from: u64,
    /// The track's timestamp of what is captured now.
    pub live: u32,
}

/// What lies between a position in the log and the live edge: of one track, or of several layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    pub position: u64,
    pub age: Duration,
    /// Of video.
    pub bytes: usize,
    pub source: SourceId,
    /// At least one.
    pub parts: SmallVec<[Part; 1]>,
}

impl Backlog {
    #[must_use]
    pub fn of(part: Part, source: SourceId, age: Duration, bytes: usize) -> Self {
        Self { position: part.from, age, bytes, source, parts: smallvec![part] }
    }

    /// Both, of the same source.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.position = self.position.min(other.position);
        self.age = self.age.max(other.age);
        self.bytes += other.bytes;
        self.parts.extend(other.parts);
        self
    }

    #[must_use]
    pub fn is_within(&self, age: Duration) -> bool {
        self.age <= age && self.bytes <= LARGEST
    }
}

/// Timestamp ticks in a time.
#[must_use]
#[allow(clippy::cast_possible_truncation)] // Timestamps wrap.
pub fn ticks(time: Duration, rate: u32) -> u32 {
    (time.as_nanos() * u128::from(rate) / 1_000_000_000) as u32
}

/// One viewer's replay.
#[derive(Debug)]
pub struct Replay {
    /// Position in the log of the burst that is next.
    pub cursor: u64,
    /// When it is due.
    pub due: Instant,
    pub speed: u32,
    source: SourceId,
    /// At least one.
    parts: SmallVec<[Part; 1]>,
    /// The viewer has everything before the first burst: that need not be a key frame.
    pub resumes: bool,
    began: Instant,
    /// When the burst was live that was sent at `began`.
    from: Instant,
}

/// Where a replay stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// At a burst, due at `due`.
    Ahead,
    /// At a newer key frame: what lay before it is left out.
    Skipped,
    /// At the live edge.
    Done,
    /// The log does not reach back that far any more, or it is too late.
    Lost,
}

impl Replay {
    #[must_use]
    pub fn new(backlog: Backlog, speed: u32, resumes: bool, now: Instant) -> Self {
        let from = now.checked_sub(backlog.age).unwrap_or(now);
        let Backlog { position: cursor, source, parts, .. } = backlog;
        Self { cursor, due: now, speed, source, parts, resumes, began: now, from }
    }

    /// Whether bursts like this are among what is replayed: of the layers where there are some, of another source's video too.
    #[must_use]
    pub fn covers(&self, burst: &Burst) -> bool {
        burst.kind == Kind::Video
            && (burst.rid.is_none() || burst.source == self.source && self.part(burst.track).is_some())
    }

    /// Whether the burst at the cursor is.
    #[must_use]
    pub fn has(&self, burst: &Burst) -> bool {
        self.covers(burst) && self.part(burst.track).is_none_or(|part| part.from <= self.cursor)
    }

    /// The source's timestamp, on the burst's track, of what is captured now.
    #[must_use]
    pub fn live(&self, burst: &Burst) -> u32 {
        self.part(burst.track).unwrap_or(&self.parts[0]).live
    }

    /// The track, or the first of them.
    #[must_use]
    pub fn track(&self) -> usize {
        self.parts[0].track
    }

    fn part(&self, track: usize) -> Option<&Part> {
        self.parts.iter().find(|part| part.track == track)
    }

    /// A key frame from which the rest is enough: of several layers each would have another.
    fn newer_key_frame(&self, stream: &Stream, edge: u64) -> Option<u64> {
        let [part] = self.parts.as_slice() else { return None };
        stream.newest_key_frame(Some(part.track)).filter(|key| self.cursor < *key && *key < edge)
    }

    /// Find the next video burst before `edge`, the viewer's position in the live log; more than `late_limit` too late is too late.
    pub fn advance(&mut self, stream: &Stream, edge: u64, now: Instant, late_limit: Duration) -> Progress {
        let newer = self.newer_key_frame(stream, edge);
        if let Some(burst) = newer.and_then(|key| stream.burst(key)) {
            self.cursor = newer.unwrap_or(self.cursor);
            (self.due, self.began, self.from) = (now, now, burst.emitted);
            return Progress::Skipped;
        }
        while self.cursor < edge {
            match stream.burst(self.cursor) {
                None => return Progress::Lost,
                Some(burst) if self.has(burst) => {
                    let lived = burst.emitted.saturating_duration_since(self.from);
                    self.due = self.began + lived * 100 / self.speed.max(1);
                    let late = now.saturating_duration_since(self.due) > late_limit;
                    return if late { Progress::Lost } else { Progress::Ahead };
                }
                Some(_) => self.cursor += 1,
            }
        }
        Progress::Done
    }
}

/// What all replays take together, on whatever thread.
#[derive(Debug, Clone)]
pub struct ReplayShare {
    bytes_per_second: f64,
    /// Until when at the latest, and how many bytes a second.
    running: Arc<Mutex<Vec<(Instant, f64)>>>,
}

impl ReplayShare {
    /// Of a way out with so many bytes a second.
    #[must_use]
    pub fn new(bytes_per_second: f64) -> Self {
        Self { bytes_per_second: bytes_per_second * SHARE, running: Arc::default() }
    }

    /// How fast, in percent, a backlog may be caught up with; what that takes is noted. None: not worth it now.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Sums of bytes; at most FASTEST.
    pub fn take(&self, backlog: &Backlog, now: Instant) -> Option<u32> {
        if backlog.age <= AT_THE_EDGE {
            return Some(FASTEST);
        }
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|(until, _)| *until > now);
        let taken: f64 = running.iter().map(|(_, rate)| rate).sum();
        let live_rate = backlog.bytes as f64 / backlog.age.max(SHORTEST_JUDGED).as_secs_f64();
        let affordable = 100.0 * (self.bytes_per_second - taken) / live_rate.max(1.0);
        let speed = affordable.clamp(0.0, f64::from(FASTEST)) as u32;
        if speed < SLOWEST {
            return None;
        }
        running.push((now + backlog.age * 100 / (speed - 100), live_rate * f64::from(speed) / 100.0));
        Some(speed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backlog(ms: u64, bytes: usize) -> Backlog {
        let source = SourceId(crate::slots::Slots::default().insert(()));
        Backlog::of(Part { track: 0, from: 0, live: 0 }, source, Duration::from_millis(ms), bytes)
    }

    #[test]
    fn replays_share_half_of_the_way_out_and_a_slow_one_is_not_begun() {
        let now = Instant::now();
        // 1 Mbyte/s for all replays; each stream has 100 kbyte/s.
        let share = ReplayShare::new(2_000_000.0);
        let two_seconds = backlog(2000, 200_000);
        assert_eq!([(); 4].map(|()| share.take(&two_seconds, now)), [Some(400), Some(400), Some(200), None]);
        assert_eq!(
            share.take(&backlog(50, 50_000), now),
            Some(400),
            "at the live edge there is nothing to catch up with"
        );
        // The first two are done after a third of their 2 s, the third after as long as it was behind.
        let later = now + Duration::from_millis(700);
        assert_eq!([(); 3].map(|()| share.take(&two_seconds, later)), [Some(400), Some(400), None]);
    }

    #[test]
    fn a_backlog_is_bounded_in_time_and_bytes() {
        assert!(backlog(2000, LARGEST).is_within(LONGEST));
        assert!(!backlog(2001, 1).is_within(LONGEST) && !backlog(1, LARGEST + 1).is_within(LONGEST));
    }
}
