//! How long packets take from the source to a viewer: the source stamps each slice's payload when it sends it.
//!
//! Both are processes of one machine and read the same clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// Most samples between two resets: the bench's stretches are far shorter.
const MOST: usize = 1 << 18;

/// Wall-clock time, µs since 1970.
pub fn micros_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Transit times of packets that begin a frame and of those that complete one, µs.
#[derive(Debug, Default)]
pub struct Transits {
    first: Vec<u64>,
    last: Vec<u64>,
}

impl Transits {
    /// A slice's packet that left at `sent` has come. `begins`, `completes`: a frame.
    pub fn note(&mut self, sent: u64, now: u64, begins: bool, completes: bool) {
        let transit = now.saturating_sub(sent);
        for (samples, counts) in [(&mut self.first, begins), (&mut self.last, completes)] {
            if counts && samples.len() < MOST {
                samples.push(transit);
            }
        }
    }

    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// As `name=value` words, µs.
    pub fn words(&self) -> String {
        let [first, last] = [&self.first, &self.last].map(|samples| percentiles(samples));
        let [first50, first95, first99] = first;
        let [last50, last95, last99] = last;
        let first = format!("first_p50={first50} first_p95={first95} first_p99={first99}");
        format!("{first} last_p50={last50} last_p95={last95} last_p99={last99}")
    }
}

/// Median, 95th and 99th percentile, nearest rank; 0 without samples.
pub fn percentiles(samples: &[u64]) -> [u64; 3] {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let rank = |percent: usize| (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    [50, 95, 99].map(|percent| sorted.get(rank(percent)).copied().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_and_last_packets_of_frames_are_told_apart() {
        let mut transits = Transits::default();
        for (sent, now, begins, completes) in
            [(0, 10, true, false), (5, 9, false, false), (6, 8, false, true), (10, 40, true, true)]
        {
            transits.note(sent, now, begins, completes);
        }
        assert_eq!(transits.words(), "first_p50=10 first_p95=30 first_p99=30 last_p50=2 last_p95=30 last_p99=30");
        transits.forget();
        assert_eq!(transits.words(), "first_p50=0 first_p95=0 first_p99=0 last_p50=0 last_p95=0 last_p99=0");
    }
}
