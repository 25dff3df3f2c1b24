//! When a viewer loses so much that nothing helps: it is told so rather than kept on a path that carries nothing.

use std::time::{Duration, Instant};

/// More than this of what was sent is lost, in 1/256: 30 %.
const LIMIT: u8 = 76;
/// For so long.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub struct Lossiness {
    since: Option<Instant>,
}

impl Lossiness {
    /// A report says that this fraction was lost lately, in 1/256. True: it has been too much for too long.
    #[must_use]
    pub fn note(&mut self, fraction_lost: u8, now: Instant) -> bool {
        if fraction_lost <= LIMIT {
            self.since = None;
            return false;
        }
        now.saturating_duration_since(*self.since.get_or_insert(now)) >= PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    #[allow(clippy::cast_possible_truncation)] // Below 100.
    fn only_ten_seconds_above_the_limit_without_a_break_are_too_much() {
        for seed in 0..300 {
            let mut random = Random::new(seed);
            let (start, mut lossiness) = (Instant::now(), Lossiness::default());
            let (mut at, mut bad_since) = (0_u64, None);
            for _ in 0..60 {
                at += u64::from(random.word() % 3000);
                let fraction =
                    if random.word().is_multiple_of(12) { LIMIT } else { LIMIT + 1 + (random.word() % 100) as u8 };
                let ends = lossiness.note(fraction, start + Duration::from_millis(at));
                bad_since = if fraction > LIMIT { bad_since.or(Some(at)) } else { None };
                assert_eq!(ends, bad_since.is_some_and(|since| at - since >= 10_000), "seed {seed}");
            }
        }
    }
}
