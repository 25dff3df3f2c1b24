//! What a viewer asked for again: nothing twice within its round trip, and no more than a share of its bytes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// While the round trip is not known.
const DEFAULT_RTT: Duration = Duration::from_millis(50);
/// Never ask faster than a receiver can tell.
const MIN_RTT: Duration = Duration::from_millis(10);
const MAX_WAITING: usize = 512;
const MAX_REMEMBERED: usize = 1024;
/// Repairs in percent of what was sent, and what is free of that in the beginning.
const SHARE: u64 = 15;
const FREE_BYTES: u64 = 32 * 1024;

/// A packet to be sent again: track of the viewer, extended number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repair {
    pub track: usize,
    pub number: u64,
}

#[derive(Debug, Default)]
pub struct Repairs {
    waiting: VecDeque<Repair>,
    asked: VecDeque<(Repair, Instant)>,
    spent: u64,
}

impl Repairs {
    /// The viewer misses `repair`. `rtt`: its round trip, when known.
    pub fn want(&mut self, repair: Repair, rtt: Option<Duration>, now: Instant) {
        let pause = rtt.unwrap_or(DEFAULT_RTT).max(MIN_RTT);
        while self.asked.front().is_some_and(|(_, at)| *at + pause <= now) || self.asked.len() >= MAX_REMEMBERED {
            self.asked.pop_front();
        }
        let known = self.asked.iter().any(|(asked, _)| *asked == repair);
        if !known && self.waiting.len() < MAX_WAITING {
            self.asked.push_back((repair, now));
            self.waiting.push_back(repair);
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn next(&mut self) -> Option<Repair> {
        self.waiting.pop_front()
    }

    /// Whether `bytes` of repair are within the share of the `sent` bytes; takes them when so.
    pub fn spend(&mut self, bytes: usize, sent: u64) -> bool {
        let after = self.spent + bytes as u64;
        let within = after <= FREE_BYTES + sent / 100 * SHARE;
        if within {
            self.spent = after;
        }
        within
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_repeated_within_the_round_trip() {
        let now = Instant::now();
        let mut repairs = Repairs::default();
        let rtt = Some(Duration::from_millis(80));
        let one = Repair { track: 0, number: 1 };
        for (ms, expected) in [(0, Some(one)), (79, None), (80, Some(one)), (159, None)] {
            repairs.want(one, rtt, now + Duration::from_millis(ms));
            assert_eq!(repairs.next(), expected, "{ms} ms");
        }
        repairs.want(Repair { track: 1, number: 1 }, rtt, now);
        assert!(!repairs.is_empty());
    }

    #[test]
    fn repairs_keep_to_their_share() {
        let mut repairs = Repairs::default();
        let granted = (0..1000).filter(|_| repairs.spend(1000, 1_000_000)).count();
        assert_eq!(granted, 182);
    }
}
