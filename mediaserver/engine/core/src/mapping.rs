//! Which source packet a viewer's number stands for: a short list of segments.
//!
//! Within a segment the viewer's numbers follow the source's, gaps included; from segment to segment they are contiguous.
//! A segment never changes, so a number stands for the same packet for ever.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::border::SourceId;
use crate::negotiation::Codec;
use crate::picture::Shift;
use crate::ring::Packet;

/// Numbers further back than this are forgotten.
const DEPTH: u64 = 4096;
const MAX_SEGMENTS: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Extended number at the viewer of the source packet `first_source`.
    pub first_number: u64,
    pub source: SourceId,
    pub track: usize,
    pub first_source: u64,
    /// Viewer's timestamp less the source's, at the live edge.
    pub timestamp_offset: u32,
    /// None: everything of it is sent live.
    pub squeeze: Option<Squeeze>,
    pub pictures: Shift,
    pub codec: Codec,
    pub payload_type: u8,
    pub rtx_payload_type: Option<u8>,
}

/// Timestamps of what is sent faster than it was captured: the first is moved on by `ahead`, the next ones by ever less, until
/// they are those of the live edge again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Squeeze {
    /// The source's first timestamp.
    pub from: u32,
    /// Ticks.
    pub ahead: u32,
    /// How much faster, percent; above 100.
    pub speed: u32,
    /// Hz.
    pub clock_rate: u32,
    /// What arrives later has its own timestamp. (They wrap, and then `from` means nothing.)
    pub until: Instant,
}

impl Squeeze {
    /// Ticks by which the packet's timestamp is moved on.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Not below 0, and `ahead` at most while time goes forward.
    fn shift(&self, packet: &Packet) -> u32 {
        if packet.arrived > self.until {
            return 0;
        }
        let since = i64::from(packet.timestamp.wrapping_sub(self.from).cast_signed());
        let squeezed = (since * 100).div_euclid(i64::from(self.speed.max(101)));
        (i64::from(self.ahead) + squeezed - since).max(0) as u32
    }
}

impl Segment {
    /// The viewer's number of a source packet; None before the segment's beginning.
    #[must_use]
    pub fn number(&self, sequence: u64) -> Option<u64> {
        Some(self.first_number + sequence.checked_sub(self.first_source)?)
    }

    /// The viewer's timestamp of a source packet.
    #[must_use]
    pub fn timestamp(&self, packet: &Packet) -> u32 {
        let shift = self.squeeze.map_or(0, |squeeze| squeeze.shift(packet));
        packet.timestamp.wrapping_add(self.timestamp_offset).wrapping_add(shift)
    }

    /// When something with the packet's timestamp would have come had it been sent live.
    #[must_use]
    pub fn live_arrival(&self, packet: &Packet) -> Instant {
        self.squeeze.map_or(packet.arrived, |squeeze| {
            let nanos = u64::from(squeeze.shift(packet)) * 1_000_000_000 / u64::from(squeeze.clock_rate.max(1));
            packet.arrived + Duration::from_nanos(nanos)
        })
    }
}

#[derive(Debug)]
pub struct Mapping {
    /// Beside its owner in memory, for it is read for every packet.
    current: Option<Segment>,
    /// Those before it, oldest first.
    older: VecDeque<Segment>,
    /// One above the highest number in use.
    next_number: u64,
}

impl Mapping {
    /// `first_number`: random in 1…32,767 (RFC 3711 wants the roll-over counter to start at 0 on both sides).
    #[must_use]
    pub fn new(first_number: u64) -> Self {
        Self { current: None, older: VecDeque::new(), next_number: first_number }
    }

    #[must_use]
    pub fn current(&self) -> Option<&Segment> {
        self.current.as_ref()
    }

    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.next_number
    }

    /// Go on with another source, or elsewhere in the same: `segment.first_number` is set here.
    pub fn start(&mut self, segment: Segment) {
        let last = self.current.replace(Segment { first_number: self.next_number, ..segment });
        self.older.extend(last);
        while self.older.len() >= MAX_SEGMENTS || self.oldest_is_deep() {
            self.older.pop_front();
        }
    }

    /// Whether every number that the oldest stands for is forgotten.
    fn oldest_is_deep(&self) -> bool {
        let next = self.older.get(1).or(self.current.as_ref().filter(|_| !self.older.is_empty()));
        next.is_some_and(|next| next.first_number + DEPTH < self.next_number)
    }

    /// `number` was sent.
    pub fn advance(&mut self, number: u64) {
        self.next_number = self.next_number.max(number + 1);
    }

    /// (extended number, segment, source number) that the low bits of a sent number stand for.
    #[must_use]
    pub fn resolve(&self, low: u16) -> Option<(u64, Segment, u64)> {
        let highest = self.next_number.checked_sub(1)?;
        #[allow(clippy::cast_possible_truncation)] // The low bits are meant.
        let behind = (highest as u16).wrapping_sub(low);
        let number = highest.checked_sub(behind.into()).filter(|_| u64::from(behind) < DEPTH)?;
        let mut newest_first = self.current.iter().chain(self.older.iter().rev());
        let segment = newest_first.find(|segment| segment.first_number <= number)?;
        Some((number, *segment, segment.first_source + (number - segment.first_number)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::Slots;

    fn segment(source: SourceId, first_source: u64) -> Segment {
        Segment {
            first_number: 0,
            source,
            track: 0,
            first_source,
            timestamp_offset: 0,
            squeeze: None,
            pictures: Shift::default(),
            codec: Codec::H264,
            payload_type: 96,
            rtx_payload_type: None,
        }
    }

    #[test]
    fn squeezed_timestamps_begin_at_the_live_edge_grow_slower_and_end_on_it() {
        let now = Instant::now();
        let until = now + Duration::from_secs(30);
        let mut slots = Slots::default();
        let source = SourceId(slots.insert(()));
        // 2 s behind, four times as fast: met after 2.67 s of the source's time. The timestamps wrap meanwhile.
        let from = u32::MAX - 90_000;
        let squeeze = Squeeze { from, ahead: 180_000, speed: 400, clock_rate: 90_000, until };
        let segment = Segment { timestamp_offset: 7, squeeze: Some(squeeze), ..segment(source, 0) };
        let at = |frame: u32, arrived| {
            let packet = crate::ring::packet(0, from.wrapping_add(frame * 3000), b"", arrived);
            segment.timestamp(&packet).wrapping_sub(from).wrapping_sub(7)
        };
        let stamps: Vec<u32> = (0..100).map(|frame| at(frame, now)).collect();
        assert_eq!((stamps[0], stamps[1], stamps[40]), (180_000, 180_750, 210_000));
        assert_eq!(stamps[79..83], [239_250, 240_000, 243_000, 246_000]);
        assert!(stamps.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(at(40, until + Duration::from_nanos(1)), 120_000, "long after, whatever the timestamps have become");
        let first = crate::ring::packet(0, from, b"", now);
        assert_eq!(segment.live_arrival(&first), now + Duration::from_secs(2));
    }

    #[test]
    fn numbers_are_contiguous_over_segments_and_stand_for_one_packet() {
        let mut slots = Slots::default();
        let (a, b) = (SourceId(slots.insert(())), SourceId(slots.insert(())));
        let mut mapping = Mapping::new(65_530);
        assert_eq!(mapping.resolve(65_529), None);
        mapping.start(segment(a, 1000));
        for sequence in [1000, 1001, 1005] {
            mapping.advance(mapping.current().unwrap().number(sequence).unwrap());
        }
        mapping.start(segment(b, 7));
        mapping.advance(mapping.current().unwrap().number(8).unwrap());
        let resolved = |low| mapping.resolve(low).map(|(number, s, sequence)| (number, s.source, sequence));
        assert_eq!(resolved(65_530), Some((65_530, a, 1000)));
        assert_eq!(resolved(65_533), Some((65_533, a, 1003)));
        assert_eq!(resolved(0), Some((65_536, b, 7)));
        assert_eq!(resolved(1), Some((65_537, b, 8)));
        assert_eq!((resolved(2), resolved(65_529)), (None, None));
        assert_eq!(mapping.current().unwrap().number(6), None);
    }
}
