//! Which frames a viewer gets whole, how late, and how long its picture stands.
//!
//! Invariant: a frame counts once, when the last of its packets has come, in whatever order they come.

use std::collections::BTreeMap;

use crate::latency::percentiles;

/// A picture that stands for longer is a freeze, µs: six frames, and as in docs/benchmarks/repair.md more than a repair takes.
const FREEZE: u64 = 183_000;
/// Frames that wait for packets; older ones never become whole.
const MOST_PARTIAL: usize = 256;

/// A slice's packet as it came; times in µs.
#[derive(Debug, Clone, Copy)]
pub struct Piece {
    pub sequence: u64,
    pub timestamp: u32,
    pub sent: u64,
    pub came: u64,
    pub begins: bool,
    pub completes: bool,
}

#[derive(Debug, Default)]
struct Partial {
    first: Option<u64>,
    last: Option<u64>,
    count: u64,
    sent: u64,
}

#[derive(Debug, Default)]
pub struct Pictures {
    partial: BTreeMap<u32, Partial>,
    /// From the first packet's leaving to the frame's being whole.
    late: Vec<u64>,
    shown: Option<u64>,
    freezes: u64,
    longest: u64,
}

impl Pictures {
    pub fn note(&mut self, piece: Piece) {
        let frame =
            self.partial.entry(piece.timestamp).or_insert_with(|| Partial { sent: piece.sent, ..Partial::default() });
        frame.count += 1;
        frame.sent = frame.sent.min(piece.sent);
        frame.first = frame.first.or(piece.begins.then_some(piece.sequence));
        frame.last = frame.last.or(piece.completes.then_some(piece.sequence));
        let whole =
            frame.first.zip(frame.last).is_some_and(|(first, last)| last.wrapping_sub(first) + 1 == frame.count);
        if whole {
            self.late.push(piece.came.saturating_sub(frame.sent));
            self.partial.remove(&piece.timestamp);
            self.stood_until(piece.came);
            self.shown = Some(piece.came);
        } else if self.partial.len() > MOST_PARTIAL {
            self.partial.pop_first();
        }
    }

    /// As `name=value` words, µs; then from the beginning again, the picture that is shown going on.
    pub fn words(&mut self, now: u64) -> String {
        self.stood_until(now);
        let Self { late, freezes, longest, .. } = std::mem::take(self);
        self.shown = Some(now);
        let [p50, p95, p99] = percentiles(&late);
        let frames = late.len();
        format!("frames={frames} whole_p50={p50} whole_p95={p95} whole_p99={p99} freezes={freezes} longest={longest}")
    }

    fn stood_until(&mut self, now: u64) {
        let stood = self.shown.map_or(0, |shown| now.saturating_sub(shown));
        self.longest = self.longest.max(stood);
        self.freezes += u64::from(stood > FREEZE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(sequence: u64, timestamp: u32, came: u64, (begins, completes): (bool, bool)) -> Piece {
        Piece { sequence, timestamp, sent: 1_000, came, begins, completes }
    }

    #[test]
    fn a_frame_is_whole_with_its_last_packet_whichever_that_is() {
        let mut pictures = Pictures::default();
        pictures.note(piece(7, 1, 2_000, (true, false)));
        pictures.note(piece(9, 1, 2_100, (false, true)));
        assert!(pictures.words(2_200).starts_with("frames=0 "));
        pictures.note(piece(7, 2, 5_000, (true, false)));
        pictures.note(piece(9, 2, 5_100, (false, true)));
        pictures.note(piece(8, 2, 6_000, (false, false)));
        pictures.note(piece(10, 3, 6_500, (true, true)));
        assert_eq!(
            pictures.words(7_000),
            "frames=2 whole_p50=5000 whole_p95=5500 whole_p99=5500 freezes=0 longest=3800"
        );
    }

    #[test]
    fn a_picture_that_stands_is_a_freeze_also_while_it_still_does() {
        let mut pictures = Pictures::default();
        for (sequence, came) in [(1, 10_000), (2, 43_000), (3, 300_000)] {
            pictures.note(piece(sequence, u32::try_from(sequence).unwrap(), came, (true, true)));
        }
        assert!(pictures.words(700_000).ends_with("freezes=2 longest=400000"));
        assert!(
            pictures.words(800_000).ends_with("frames=0 whole_p50=0 whole_p95=0 whole_p99=0 freezes=0 longest=100000")
        );
    }
}
