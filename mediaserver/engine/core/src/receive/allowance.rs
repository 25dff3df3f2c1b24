//! How much a publisher may send: what goes beyond it is not passed on, and who stays beyond it is ended.
//!
//! Invariant: in any time what passes is at most the rate times that time and one `BURST` of it.

use std::time::{Duration, Instant};

/// What may come at once, in time at the rate: key frames of high bit rates, and what was held up on the way.
const BURST: Duration = Duration::from_secs(1);
/// Too much for so long, without `CALM`, is too much for good.
const PATIENCE: Duration = Duration::from_secs(3);
/// So long without too much, and it is as if nothing had been.
const CALM: Duration = Duration::from_secs(1);

/// What is to be done with a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Passes,
    /// Too much; it counts as lost.
    Over,
    /// Too much, and for too long.
    Ends,
}

#[derive(Debug)]
pub struct Allowance {
    bytes_per_second: f64,
    /// Bytes that may come now.
    left: f64,
    filled: Option<Instant>,
    /// First and latest refusal that have no `CALM` between them.
    over: Option<(Instant, Instant)>,
}

impl Allowance {
    #[must_use]
    pub fn new(megabits: u32) -> Self {
        let bytes_per_second = f64::from(megabits.max(1)) * 125_000.0;
        Self { bytes_per_second, left: bytes_per_second * BURST.as_secs_f64(), filled: None, over: None }
    }

    /// An authentic datagram of `bytes` has come.
    #[allow(clippy::cast_precision_loss)] // Of a datagram.
    pub fn take(&mut self, bytes: usize, now: Instant) -> Verdict {
        let since = self.filled.replace(now).map_or(Duration::ZERO, |filled| now.saturating_duration_since(filled));
        let depth = self.bytes_per_second * BURST.as_secs_f64();
        self.left = (self.left + since.as_secs_f64() * self.bytes_per_second).min(depth);
        if self.left >= bytes as f64 {
            self.left -= bytes as f64;
            return Verdict::Passes;
        }
        let (first, _) = self.over.filter(|(_, latest)| now < *latest + CALM).unwrap_or((now, now));
        self.over = Some((first, now));
        if now >= first + PATIENCE { Verdict::Ends } else { Verdict::Over }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    const SIZE: usize = 1_000;

    /// Seconds until the end, of 60, and the bytes that passed; a datagram of `SIZE` after each of `pauses` (µs).
    fn run(megabits: u32, mut pause: impl FnMut(Duration) -> u64) -> (Option<f64>, f64, f64) {
        let start = Instant::now();
        let mut allowance = Allowance::new(megabits);
        let (mut at, mut passed) = (Duration::ZERO, 0.0);
        while at < Duration::from_mins(1) {
            match allowance.take(SIZE, start + at) {
                Verdict::Passes => passed += 1_000.0,
                Verdict::Over => {}
                Verdict::Ends => return (Some(at.as_secs_f64()), passed, at.as_secs_f64()),
            }
            at += Duration::from_micros(pause(at));
        }
        (None, passed, at.as_secs_f64())
    }

    #[test]
    fn at_the_rate_everything_passes_and_beyond_it_the_end_comes_after_the_burst_and_the_patience() {
        assert_eq!(run(8, |_| 1_000), (None, 60_000_000.0, 60.0));
        let (ends, passed, _) = run(8, |_| 500);
        let (ends, most) = (ends.unwrap(), 1_000_000.0 * (ends.unwrap() + 1.0));
        assert!((3.9..4.1).contains(&ends), "the burst lasts for 1 s at twice the rate: {ends}");
        assert!(passed <= most, "{passed}");
    }

    #[test]
    fn what_passes_is_bounded_whatever_comes() {
        for seed in 0..100 {
            let mut random = Random::new(seed);
            let rate = 1 + random.word() % 20;
            let mean = u64::from(1 + random.word() % 20_000);
            let (_, passed, lasted) = run(rate, |_| u64::from(random.word()) % (2 * mean));
            assert!(passed <= f64::from(rate) * 125_000.0 * (lasted + 1.0), "seed {seed}");
        }
    }

    #[test]
    fn key_frames_of_more_than_a_second_of_the_rate_are_cut_but_end_nobody() {
        // 1.5 MB at once every 4 s, the rest at a tenth of the rate of 1 MB/s: too much for a moment, calm for longer than that.
        let (ends, _, _) = run(8, |at| if at.as_millis() % 4_000 < 15 { 10 } else { 10_000 });
        assert_eq!(ends, None);
    }
}
