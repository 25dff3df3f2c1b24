//! How often a source is asked for a key frame, whoever wants one: at most once a second, over time once in 4 s.

use std::time::{Duration, Instant};

const SPACING: Duration = Duration::from_secs(1);
const SUSTAINED: Duration = Duration::from_secs(4);
const BURST: u32 = 4;

#[derive(Debug)]
pub struct PliBudget {
    /// Wanted, and not before this.
    wanted: Option<Instant>,
    last_asked: Option<Instant>,
    tokens: u32,
    refilled: Option<Instant>,
}

impl Default for PliBudget {
    fn default() -> Self {
        Self { wanted: None, last_asked: None, tokens: BURST, refilled: None }
    }
}

impl PliBudget {
    /// Someone waits for a key frame; none is expected before `not_before`.
    pub fn want(&mut self, not_before: Instant) {
        self.wanted = Some(self.wanted.map_or(not_before, |wanted| wanted.min(not_before)));
    }

    pub fn on_key_frame(&mut self) {
        self.wanted = None;
    }

    /// Somebody else is asked from now on, or the same one who has come back: what the last one was asked in vain does not count.
    pub fn renew(&mut self) {
        *self = Self { wanted: self.wanted, ..Self::default() };
    }

    /// Whether to ask now. It is repeated until the key frame comes.
    #[must_use]
    pub fn ask(&mut self, now: Instant) -> bool {
        let due = self.deadline().is_some_and(|deadline| deadline <= now);
        if due {
            self.refill(now);
            self.tokens = self.tokens.saturating_sub(1);
            self.last_asked = Some(now);
        }
        due
    }

    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let wanted = self.wanted?;
        let spaced = self.last_asked.map_or(wanted, |last| wanted.max(last + SPACING));
        let refill = self.refilled.filter(|_| self.tokens == 0).map(|at| at + SUSTAINED);
        Some(refill.map_or(spaced, |refill| spaced.max(refill)))
    }

    fn refill(&mut self, now: Instant) {
        let since = *self.refilled.get_or_insert(now);
        let gained = now.saturating_duration_since(since).as_secs() / SUSTAINED.as_secs();
        let gained = u32::try_from(gained).unwrap_or(BURST);
        self.tokens = (self.tokens + gained.min(BURST)).min(BURST);
        self.refilled = Some(if self.tokens == BURST { now } else { since + SUSTAINED * gained });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_at_once_then_each_second_then_every_four_until_it_comes() {
        let start = Instant::now();
        let mut budget = PliBudget::default();
        assert!(!budget.ask(start));
        budget.want(start);
        let asked = |budget: &mut PliBudget, range: std::ops::Range<u64>| -> Vec<u64> {
            range.filter(|&tenth| budget.ask(start + Duration::from_millis(tenth * 100))).collect()
        };
        assert_eq!(asked(&mut budget, 0..200), [0, 10, 20, 30, 40, 80, 120, 160]);
        budget.on_key_frame();
        assert_eq!(asked(&mut budget, 200..300), []);
        assert_eq!(budget.deadline(), None);
        budget.want(start + Duration::from_millis(30_500));
        assert_eq!(asked(&mut budget, 300..310), [305]);
    }
}
