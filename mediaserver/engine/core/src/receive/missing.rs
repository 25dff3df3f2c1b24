//! Which numbers of one track are missing, and when each is asked for.
//!
//! Invariant: a number is asked for at most once in a round trip, and never once it is here or given up. Nothing is held back
//! meanwhile: what arrives late goes through at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::srtp::{IndexState, IndexWindow};

/// How long a packet may be overtaken before it counts as lost.
const GRACE: Duration = Duration::from_millis(3);
/// A repair that is later than the round trip by this is asked for again.
const MARGIN: Duration = Duration::from_millis(5);
/// Never ask faster than the peer can tell an answer from a repetition.
const MIN_SPACING: Duration = Duration::from_millis(10);
/// How long a repair is worth asking for; a viewer's buffer is rarely longer.
const WINDOW: Duration = Duration::from_millis(1200);
/// The same once a key frame has come: nothing behind it needs the number any more.
const AFTER_KEY_FRAME: Duration = Duration::from_millis(200);
/// Asks at an even pace; then each waits twice as long, so that a dead path is not hammered.
const EVEN_ASKS: u32 = 5;
/// Most numbers that a gap may have to be repaired; a longer one is left to the next key frame.
const MAX_GAP: u64 = 512;
const MAX_HOLES: usize = 1024;

/// What became of a packet's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// The highest so far.
    Next,
    /// The highest so far, after a gap too long for repairs.
    Jump,
    /// Late; asked for so often. `waited`: since it was asked for the one time.
    Late { asked: u32, waited: Option<Duration> },
    /// It is here already, or too old to tell.
    Repeated,
}

/// What is due at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Due {
    /// Ascending.
    pub ask: Vec<u64>,
    pub given_up: u64,
    /// Something was given up that only a key frame makes good.
    pub needs_key_frame: bool,
}

#[derive(Debug)]
struct Hole {
    next_ask: Instant,
    useful_until: Instant,
    asked: u32,
    last_asked: Option<Instant>,
    superseded: bool,
}

#[derive(Debug, Default)]
pub struct Missing {
    seen: IndexWindow,
    holes: BTreeMap<u64, Hole>,
    /// Not later than anything is due.
    deadline: Option<Instant>,
    /// Holes that fell out because there were too many.
    dropped: u64,
}

impl Missing {
    #[must_use]
    pub fn highest(&self) -> Option<u64> {
        self.seen.highest()
    }

    /// A packet with this number has come, by itself or as a repair.
    pub fn on_packet(&mut self, sequence: u64, now: Instant) -> Arrival {
        if self.seen.state(sequence) != IndexState::Fresh {
            return Arrival::Repeated;
        }
        let highest = self.seen.highest();
        self.seen.mark(sequence);
        match highest {
            Some(highest) if sequence < highest => self.fill(sequence, now),
            Some(highest) if sequence - highest - 1 > MAX_GAP => {
                self.holes.clear();
                Arrival::Jump
            }
            Some(highest) => {
                self.open(highest + 1..sequence, now);
                Arrival::Next
            }
            None => Arrival::Next,
        }
    }

    /// A key frame has come whose packets are `sequence` and above.
    pub fn on_key_frame(&mut self, sequence: u64, now: Instant) {
        let until = now + AFTER_KEY_FRAME;
        for (_, hole) in self.holes.range_mut(..sequence) {
            hole.useful_until = hole.useful_until.min(until);
            hole.superseded = true;
        }
        if !self.holes.is_empty() {
            self.wake_by(until);
        }
    }

    /// When `due` has something.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// What is to be asked for and what is given up. `round_trip`: to the peer.
    pub fn due(&mut self, now: Instant, round_trip: Duration) -> Due {
        let mut due = Due { given_up: self.dropped, needs_key_frame: self.dropped > 0, ..Due::default() };
        self.dropped = 0;
        if self.deadline.is_none_or(|deadline| deadline > now) {
            return due;
        }
        self.holes.retain(|&sequence, hole| {
            let kept = hole.useful_until > now;
            if !kept {
                due.given_up += 1;
                due.needs_key_frame |= !hole.superseded;
            } else if hole.next_ask <= now {
                hole.ask(now, round_trip);
                due.ask.push(sequence);
            }
            kept
        });
        self.deadline = self.holes.values().map(|hole| hole.next_ask.min(hole.useful_until)).min();
        due
    }

    /// Another SSRC takes the track over: what was missing of the old one never comes.
    pub fn forget(&mut self) {
        self.holes.clear();
    }

    fn open(&mut self, gap: std::ops::Range<u64>, now: Instant) {
        if gap.is_empty() {
            return;
        }
        for sequence in gap {
            let (next_ask, useful_until) = (now + GRACE, now + WINDOW);
            self.holes.insert(sequence, Hole { next_ask, useful_until, asked: 0, last_asked: None, superseded: false });
        }
        while self.holes.len() > MAX_HOLES {
            self.holes.pop_first();
            self.dropped += 1;
        }
        self.wake_by(now + GRACE);
    }

    fn fill(&mut self, sequence: u64, now: Instant) -> Arrival {
        let Some(hole) = self.holes.remove(&sequence) else { return Arrival::Late { asked: 0, waited: None } };
        let waited = hole.last_asked.filter(|_| hole.asked == 1).map(|at| now.saturating_duration_since(at));
        Arrival::Late { asked: hole.asked, waited }
    }

    fn wake_by(&mut self, at: Instant) {
        self.deadline = Some(self.deadline.map_or(at, |deadline| deadline.min(at)));
    }
}

impl Hole {
    fn ask(&mut self, now: Instant, round_trip: Duration) {
        self.asked += 1;
        self.last_asked = Some(now);
        let doublings = self.asked.saturating_sub(EVEN_ASKS).min(8);
        let next = now + (round_trip + MARGIN).max(MIN_SPACING) * (1 << doublings);
        // An ask whose answer comes too late helps nobody.
        let answerable = next + round_trip <= self.useful_until;
        self.next_ask = if answerable { next } else { self.useful_until };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(84);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// (ms, numbers asked for, given up) until `end`.
    fn asks(missing: &mut Missing, start: Instant, end: u64) -> Vec<(u64, Vec<u64>, u64)> {
        let at = |ms| missing_due(missing, start, ms);
        (0..end).map(at).filter(|(_, ask, given_up)| !ask.is_empty() || *given_up > 0).collect()
    }

    fn missing_due(missing: &mut Missing, start: Instant, at: u64) -> (u64, Vec<u64>, u64) {
        let due = missing.due(start + ms(at), RTT);
        (at, due.ask, due.given_up)
    }

    #[test]
    fn a_gap_is_asked_for_after_the_grace_then_each_round_trip_and_given_up_in_the_end() {
        let start = Instant::now();
        let mut missing = Missing::default();
        assert_eq!(missing.on_packet(10, start), Arrival::Next);
        assert_eq!(missing.on_packet(13, start), Arrival::Next);
        let asked = asks(&mut missing, start, 2000);
        let times: Vec<u64> = asked.iter().map(|(at, ..)| *at).collect();
        assert_eq!(times, [3, 92, 181, 270, 359, 448, 626, 982, 1200]);
        assert!(asked[..8].iter().all(|(_, ask, given_up)| *ask == [11, 12] && *given_up == 0));
        assert_eq!(asked[8], (1200, vec![], 2));
        assert_eq!(missing.deadline(), None);
        assert_eq!(missing.on_packet(11, start + ms(1300)), Arrival::Late { asked: 0, waited: None }, "goes through");
        assert_eq!(missing.on_packet(11, start + ms(1301)), Arrival::Repeated);
    }

    #[test]
    fn reordering_is_not_asked_for_and_a_repair_ends_the_asking() {
        let start = Instant::now();
        let mut missing = Missing::default();
        for sequence in [1, 3, 5] {
            missing.on_packet(sequence, start);
        }
        assert_eq!(missing.on_packet(2, start + ms(2)), Arrival::Late { asked: 0, waited: None });
        assert_eq!(missing.due(start + ms(3), RTT).ask, [4]);
        assert_eq!(missing.on_packet(4, start + ms(90)), Arrival::Late { asked: 1, waited: Some(ms(87)) });
        assert_eq!(missing.on_packet(4, start + ms(91)), Arrival::Repeated, "the original, overtaken by its repair");
        assert_eq!(asks(&mut missing, start, 2000), []);
    }

    #[test]
    fn a_key_frame_behind_a_hole_makes_it_worth_little() {
        let start = Instant::now();
        let mut missing = Missing::default();
        missing.on_packet(1, start);
        missing.on_packet(3, start);
        missing.on_key_frame(3, start + ms(10));
        let asked = asks(&mut missing, start, 2000);
        assert_eq!(asked, [(3, vec![2], 0), (92, vec![2], 0), (210, vec![], 1)]);
        missing.on_packet(5, start);
        missing.on_key_frame(2, start);
        let last = (0..2000).map(|at| missing.due(start + ms(at), RTT)).rfind(|due| due.given_up > 0).unwrap();
        assert!(last.needs_key_frame, "the key frame came before it");
    }

    #[test]
    fn long_gaps_and_long_outages_stay_bounded() {
        let start = Instant::now();
        let mut missing = Missing::default();
        missing.on_packet(0, start);
        assert_eq!(missing.on_packet(MAX_GAP + 2, start), Arrival::Jump);
        assert_eq!(missing.deadline(), None);
        for round in 1..=10 {
            missing.on_packet((MAX_GAP + 1) * round + MAX_GAP + 2, start);
            assert!(missing.holes.len() <= MAX_HOLES);
        }
        let due = missing.due(start + ms(5), RTT);
        assert_eq!((due.ask.len(), due.needs_key_frame), (MAX_HOLES, true));
        assert_eq!(due.given_up, MAX_GAP * 10 - MAX_HOLES as u64);
    }
}
