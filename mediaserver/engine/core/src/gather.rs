//! Holds the video packets of one timestamp for a moment, so that a frame leaves as one burst.

use std::time::{Duration, Instant};

use crate::ring::Packet;

#[derive(Debug)]
pub struct Gather {
    hold: Duration,
    held: Vec<Packet>,
    since: Option<Instant>,
}

impl Gather {
    #[must_use]
    pub fn new(hold: Duration) -> Self {
        Self { hold, held: Vec::new(), since: None }
    }

    #[must_use]
    pub fn holds(&self, sequence: u64) -> bool {
        self.held.iter().any(|packet| packet.sequence == sequence)
    }

    /// Take a packet; returns the bursts that it completes, oldest first.
    pub fn push(&mut self, packet: Packet) -> [Vec<Packet>; 2] {
        let other = self.held.first().is_some_and(|held| held.timestamp != packet.timestamp);
        if other && self.held.first().is_some_and(|held| packet.sequence < held.sequence) {
            return [vec![packet], Vec::new()];
        }
        let before = if other { self.take() } else { Vec::new() };
        self.since.get_or_insert(packet.arrived);
        let at = self.held.partition_point(|held| held.sequence < packet.sequence);
        self.held.insert(at, packet);
        // The marker ends the frame, unless something before it is still on its way.
        let complete = self.held.last().is_some_and(|last| last.marker) && self.contiguous();
        let after = if complete { self.take() } else { Vec::new() };
        [before, after]
    }

    /// What has been held long enough.
    pub fn expired(&mut self, now: Instant) -> Vec<Packet> {
        if self.deadline().is_some_and(|deadline| deadline <= now) { self.take() } else { Vec::new() }
    }

    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.since.map(|since| since + self.hold)
    }

    fn contiguous(&self) -> bool {
        self.held.windows(2).all(|pair| pair[0].sequence + 1 == pair[1].sequence)
    }

    fn take(&mut self) -> Vec<Packet> {
        self.since = None;
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::packet;

    fn numbers(bursts: &[Vec<Packet>]) -> Vec<Vec<u64>> {
        bursts.iter().filter(|b| !b.is_empty()).map(|b| b.iter().map(|p| p.sequence).collect()).collect()
    }

    #[test]
    fn a_frame_leaves_at_its_marker_the_next_timestamp_or_the_time_limit() {
        let now = Instant::now();
        let mut gather = Gather::new(Duration::from_millis(5));
        let mut push = |sequence, timestamp, marker, ms| {
            let p = Packet { marker, ..packet(sequence, timestamp, b"", now + Duration::from_millis(ms)) };
            numbers(&gather.push(p))
        };
        assert_eq!(push(1, 0, false, 0), Vec::<Vec<u64>>::new());
        assert_eq!(push(2, 0, true, 1), [[1, 2]]);
        assert_eq!(push(3, 9, false, 2), Vec::<Vec<u64>>::new());
        assert_eq!(push(4, 18, false, 3), [[3]]);
        assert_eq!(push(6, 18, true, 4), Vec::<Vec<u64>>::new());
        assert_eq!(push(5, 18, false, 5), [[4, 5, 6]]);
        assert_eq!(push(8, 27, false, 6), Vec::<Vec<u64>>::new());
        assert_eq!(push(7, 18, false, 6), [[7]], "late: not held, and does not end what is held");
        assert_eq!(push(9, 27, false, 6), Vec::<Vec<u64>>::new());
        assert!(gather.holds(8) && gather.holds(9));
        assert_eq!(gather.expired(now + Duration::from_millis(10)), []);
        assert_eq!(numbers(&[gather.expired(now + Duration::from_millis(11))]), [[8, 9]]);
        assert_eq!(gather.deadline(), None);
    }
}
