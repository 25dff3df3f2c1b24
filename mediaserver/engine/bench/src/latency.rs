//! How long packets take from the source to a viewer: the source stamps each slice's payload when it sends it.
//!
//! Both are processes of one machine and read the same clock.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::payload::Part;

/// Most samples between two resets: the bench's stretches are far shorter.
const MOST: usize = 1 << 18;

/// Wall-clock time, µs since 1970.
pub fn micros_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Transit times of packets that begin a frame, of those that complete one, and of sounds, µs.
#[derive(Debug, Default)]
pub struct Transits {
    first: Vec<u64>,
    last: Vec<u64>,
    sound: Vec<u64>,
}

impl Transits {
    /// A packet that left at `sent` has come. `completes`: a frame, if it is of one.
    pub fn note(&mut self, sent: u64, now: u64, part: Part, completes: bool) {
        let transit = now.saturating_sub(sent);
        let (begins, sounds) = (part == Part::Slice { begins: true }, part == Part::Sound);
        let kinds = [(&mut self.first, begins), (&mut self.last, completes && !sounds), (&mut self.sound, sounds)];
        for (samples, counts) in kinds {
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
        let kinds = [("first", &self.first), ("last", &self.last), ("sound", &self.sound)];
        let words = kinds.map(|(name, samples)| {
            let [p50, p95, p99] = percentiles(samples);
            format!("{name}_p50={p50} {name}_p95={p95} {name}_p99={p99}")
        });
        words.join(" ")
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
    fn first_and_last_packets_of_frames_and_sounds_are_told_apart() {
        let mut transits = Transits::default();
        let [begins, goes_on] = [true, false].map(|begins| Part::Slice { begins });
        for (sent, now, part, completes) in [
            (0, 10, begins, false),
            (5, 9, goes_on, false),
            (6, 8, goes_on, true),
            (10, 40, begins, true),
            (10, 17, Part::Sound, true),
        ] {
            transits.note(sent, now, part, completes);
        }
        let sound = "sound_p50=7 sound_p95=7 sound_p99=7";
        let expected = format!("first_p50=10 first_p95=30 first_p99=30 last_p50=2 last_p95=30 last_p99=30 {sound}");
        assert_eq!(transits.words(), expected);
        transits.forget();
        assert!(transits.words().split(' ').all(|word| word.ends_with("=0")));
    }
}
