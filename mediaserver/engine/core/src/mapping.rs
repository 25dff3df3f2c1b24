//! Which source packet a viewer's number stands for: a short list of segments.
//!
//! Within a segment the viewer's numbers follow the source's, gaps included; from segment to segment they are contiguous.
//! A segment never changes, so a number stands for the same packet for ever.

use std::collections::VecDeque;

use crate::border::SourceId;

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
    /// Viewer's timestamp less the source's.
    pub timestamp_offset: u32,
    pub payload_type: u8,
    pub rtx_payload_type: Option<u8>,
}

impl Segment {
    /// The viewer's number of a source packet; None before the segment's beginning.
    #[must_use]
    pub fn number(&self, sequence: u64) -> Option<u64> {
        Some(self.first_number + sequence.checked_sub(self.first_source)?)
    }
}

#[derive(Debug)]
pub struct Mapping {
    segments: VecDeque<Segment>,
    /// One above the highest number in use.
    next_number: u64,
}

impl Mapping {
    /// `first_number`: random in 1…32,767 (RFC 3711 wants the roll-over counter to start at 0 on both sides).
    #[must_use]
    pub fn new(first_number: u64) -> Self {
        Self { segments: VecDeque::new(), next_number: first_number }
    }

    #[must_use]
    pub fn current(&self) -> Option<&Segment> {
        self.segments.back()
    }

    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.next_number
    }

    /// Go on with another source, or elsewhere in the same: `segment.first_number` is set here.
    pub fn start(&mut self, segment: Segment) {
        self.segments.push_back(Segment { first_number: self.next_number, ..segment });
        while self.segments.len() > MAX_SEGMENTS || self.second_is_deep() {
            self.segments.pop_front();
        }
    }

    fn second_is_deep(&self) -> bool {
        self.segments.get(1).is_some_and(|second| second.first_number + DEPTH < self.next_number)
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
        let segment = self.segments.iter().rev().find(|segment| segment.first_number <= number)?;
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
            payload_type: 96,
            rtx_payload_type: None,
        }
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
