//! What comes too late to be worth showing: over TCP everything arrives at last, and a frame that is a second old only makes
//! all that follow it as late.
//!
//! Lateness is a packet's transit less the shortest lately, by its timestamp and our clock: no two clocks are compared.
//! Invariant: video goes on after a gap only with a key frame that is in time.

use std::time::{Duration, Instant};

use crate::negotiation::Kind;

/// With a path of 100 ms and what sending takes, a viewer is less than a second behind.
const LIMIT: Duration = Duration::from_millis(600);
/// How long a transit is remembered: twice this at most. Clocks drift apart by a millisecond and a half meanwhile.
const HALF_WINDOW: Duration = Duration::from_secs(15);
/// All that comes is late for so long: not the path is slow, for the sender keeps its queue short, but time was set anew.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two requests for the key frame that is waited for.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// What is to be done with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Passes,
    /// The same, and nothing connects it with what has passed before.
    Resumes,
    /// `ask`: for a key frame.
    Drops {
        ask: bool,
    },
}

/// Of one track.
#[derive(Debug)]
pub struct Punctuality {
    kind: Kind,
    clock_rate: u32,
    /// The latest packet: its timestamp, how far from the first it is in ticks, and when the first one came.
    latest: Option<(u32, i64, Instant)>,
    /// Microseconds, in this half of the window and the one before, and when this one began.
    shortest: Option<(i64, i64, Instant)>,
    late_since: Option<Instant>,
    waits: bool,
    asked: Option<Instant>,
}

impl Punctuality {
    /// `clock_rate`: Hz.
    #[must_use]
    pub fn new(kind: Kind, clock_rate: u32) -> Self {
        Self { kind, clock_rate, latest: None, shortest: None, late_since: None, waits: false, asked: None }
    }

    /// A packet has come. `begins`: a key frame begins with it.
    pub fn judge(&mut self, timestamp: u32, begins: bool, now: Instant) -> Verdict {
        if self.is_late(timestamp, now) {
            self.waits = self.kind == Kind::Video;
            return Verdict::Drops { ask: false };
        }
        if !self.waits {
            return Verdict::Passes;
        }
        if begins {
            (self.waits, self.asked) = (false, None);
            return Verdict::Resumes;
        }
        let ask = self.asked.is_none_or(|asked| now >= asked + ASK_EVERY);
        if ask {
            self.asked = Some(now);
        }
        Verdict::Drops { ask }
    }

    fn is_late(&mut self, timestamp: u32, now: Instant) -> bool {
        let transit = self.transit(timestamp, now);
        let late = transit - self.shortest_with(transit, now) > micros(LIMIT);
        if !late {
            self.late_since = None;
        } else if now >= *self.late_since.get_or_insert(now) + PATIENCE {
            self.late_since = None;
            self.shortest = Some((transit, transit, now));
            return false;
        }
        late
    }

    /// From an arbitrary beginning, µs.
    fn transit(&mut self, timestamp: u32, now: Instant) -> i64 {
        let (before, ticks, began) = self.latest.unwrap_or((timestamp, 0, now));
        let ticks = ticks + i64::from(timestamp.wrapping_sub(before).cast_signed());
        self.latest = Some((timestamp, ticks, began));
        micros(now.saturating_duration_since(began)) - ticks * 1_000_000 / i64::from(self.clock_rate.max(1))
    }

    fn shortest_with(&mut self, transit: i64, now: Instant) -> i64 {
        let (mut here, mut before, mut began) = self.shortest.unwrap_or((transit, transit, now));
        if now >= began + HALF_WINDOW {
            (here, before, began) = (transit, here, now);
        }
        here = here.min(transit);
        self.shortest = Some((here, before, began));
        here.min(before)
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    const FRAME: u64 = 33;
    const DROPS: Verdict = Verdict::Drops { ask: false };

    /// Video of 30 frames a second whose timestamps wrap.
    struct Path {
        punctuality: Punctuality,
        start: Instant,
        /// What the sender's clock was set by.
        set: u64,
    }

    impl Path {
        fn new() -> Self {
            Self { punctuality: Punctuality::new(Kind::Video, 90_000), start: Instant::now(), set: 0 }
        }

        /// Frame `number` arrives `transit` ms after its capture.
        fn take(&mut self, number: u64, transit: u64, begins: bool) -> Verdict {
            let captured = number * FRAME;
            let timestamp =
                u32::MAX.wrapping_sub(90_000).wrapping_add(u32::try_from((captured + self.set) * 90).unwrap());
            self.punctuality.judge(timestamp, begins, self.start + Duration::from_millis(captured + transit))
        }
    }

    #[test]
    fn what_stood_still_for_long_is_dropped_up_to_a_key_frame_in_time() {
        let mut path = Path::new();
        assert!((0..60).all(|number| path.take(number, 40 + number % 50, false) == Verdict::Passes));
        assert_eq!(path.take(60, 640, false), Verdict::Passes);
        assert_eq!(path.take(61, 641, false), DROPS);
        assert_eq!(path.take(62, 700, true), DROPS, "a key frame may be as late");
        assert_eq!(path.take(63, 300, false), Verdict::Drops { ask: true });
        assert_eq!(path.take(64, 280, false), DROPS, "asked for already");
        assert_eq!(path.take(63 + 31, 280, false), Verdict::Drops { ask: true }, "and again after a second");
        assert_eq!(path.take(95, 280, true), Verdict::Resumes);
        assert_eq!(path.take(96, 280, false), Verdict::Passes);
    }

    #[test]
    fn sound_goes_on_with_the_first_that_is_in_time() {
        let (mut sound, start) = (Punctuality::new(Kind::Audio, 48_000), Instant::now());
        let mut take = |ms: u64, transit: u64| {
            let at = start + Duration::from_millis(ms + transit);
            sound.judge(u32::try_from(ms * 48).unwrap(), false, at)
        };
        assert_eq!([take(0, 40), take(20, 700), take(40, 640)], [Verdict::Passes, DROPS, Verdict::Passes]);
    }

    #[test]
    fn a_clock_that_was_set_back_stops_nothing_for_longer_than_five_seconds() {
        let mut path = Path::new();
        path.set = 60_000;
        assert_eq!(path.take(0, 40, true), Verdict::Passes);
        path.set = 50_000;
        let first = (1..400).find(|number| path.take(*number, 40, true) != DROPS).unwrap();
        assert!((5_000..5_100).contains(&((first - 1) * FRAME)), "{first}");
        assert_eq!(path.take(first + 1, 40, false), Verdict::Passes);
    }

    #[test]
    fn a_path_that_became_longer_is_as_long_as_it_is_after_half_a_minute() {
        let mut path = Path::new();
        path.take(0, 40, true);
        assert!((1..1000).all(|number| path.take(number, 600, false) == Verdict::Passes));
        assert_eq!(path.take(1000, 1150, false), Verdict::Passes, "600 is what it takes now");
    }

    #[test]
    fn nothing_passes_that_is_later_than_the_limit_and_all_is_in_order_whatever_comes() {
        for seed in 0..200 {
            let (mut path, mut random) = (Path::new(), Random::new(seed));
            let (mut stood, mut resumed) = (0_u64, true);
            path.take(0, 40, true);
            for number in 1..800 {
                stood = stood.saturating_sub(FRAME);
                if stood == 0 && random.word() % 40 == 0 {
                    stood += u64::from(random.word() % 1500);
                }
                let begins = random.word() % 30 == 0;
                let late = stood > 600;
                match path.take(number, 40 + stood, begins) {
                    Verdict::Passes => assert!(resumed && !late, "{seed}"),
                    Verdict::Resumes => {
                        assert!(!resumed && begins && !late, "{seed}");
                        resumed = true;
                    }
                    Verdict::Drops { .. } => {
                        assert!(late || !resumed && !begins, "{seed}");
                        resumed = false;
                    }
                }
            }
        }
    }
}
