//! The packets of one layer, as far back as repairs may ask: sized in time, bounded in bytes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::border::ExtensionValues;
use crate::picture;

/// More numbers than this in one step and the ring begins anew.
pub const MAX_JUMP: u64 = 4096;
/// Payload bytes that a ring holds at most.
const MAX_BYTES: usize = 16 << 20;

/// A source packet with all that decides its bytes to a viewer. Never changes once it is in the ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Extended by the cycles.
    pub sequence: u64,
    pub timestamp: u32,
    pub marker: bool,
    pub payload: Arc<[u8]>,
    pub extensions: ExtensionValues,
    /// RTP padding that makes it as long as its neighbours.
    pub padding: u8,
    /// Sent with a burst that holds (part of) a key frame.
    pub key_frame: bool,
    /// Where the payload has its picture id.
    pub picture: Option<picture::Place>,
    pub arrived: Instant,
}

/// The place of one number.
#[derive(Debug)]
struct Slot {
    /// When the number was first reached: a hole is kept as long as a packet, for its repair may come late.
    since: Instant,
    packet: Option<Arc<Packet>>,
}

#[derive(Debug)]
pub struct Ring {
    /// From `first` on.
    packets: VecDeque<Slot>,
    first: u64,
    bytes: usize,
    history: Duration,
}

impl Ring {
    #[must_use]
    pub fn new(history: Duration) -> Self {
        Self { packets: VecDeque::new(), first: 0, bytes: 0, history }
    }

    #[must_use]
    pub fn get(&self, sequence: u64) -> Option<&Arc<Packet>> {
        let at = usize::try_from(sequence.checked_sub(self.first)?).ok()?;
        self.packets.get(at)?.packet.as_ref()
    }

    /// The highest number so far.
    #[must_use]
    pub fn highest(&self) -> Option<u64> {
        (!self.packets.is_empty()).then(|| self.first + self.packets.len() as u64 - 1)
    }

    /// All packets above `sequence`, missing ones left out.
    #[must_use]
    pub fn above(&self, sequence: u64) -> Vec<Arc<Packet>> {
        let at = usize::try_from((sequence + 1).saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.packets.iter().skip(at).filter_map(|slot| slot.packet.clone()).collect()
    }

    /// False: it is there already, or older than the ring.
    pub fn insert(&mut self, packet: Arc<Packet>) -> bool {
        self.forget(packet.arrived);
        let sequence = packet.sequence;
        if self.highest().is_none_or(|highest| sequence > highest + MAX_JUMP) {
            self.packets.clear();
            self.bytes = 0;
            self.first = sequence;
        }
        let Some(at) = sequence.checked_sub(self.first).and_then(|at| usize::try_from(at).ok()) else { return false };
        while self.packets.len() <= at {
            self.packets.push_back(Slot { since: packet.arrived, packet: None });
        }
        let slot = &mut self.packets[at].packet;
        if slot.is_some() {
            return false;
        }
        self.bytes += packet.payload.len();
        *slot = Some(packet);
        true
    }

    fn forget(&mut self, now: Instant) {
        let old = |slot: &Slot| now.saturating_duration_since(slot.since) > self.history;
        // The newest stays: it says where the numbers are.
        while self.packets.len() > 1 && (self.bytes > MAX_BYTES || old(&self.packets[0])) {
            let gone = self.packets.pop_front().and_then(|slot| slot.packet);
            self.bytes -= gone.map_or(0, |packet| packet.payload.len());
            self.first += 1;
        }
    }
}

#[cfg(test)]
pub(crate) fn packet(sequence: u64, timestamp: u32, payload: &[u8], arrived: Instant) -> Packet {
    Packet {
        sequence,
        timestamp,
        marker: false,
        payload: payload.into(),
        extensions: ExtensionValues::default(),
        padding: 0,
        key_frame: false,
        picture: None,
        arrived,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_takes_each_packet_once_and_forgets_by_time() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let put = |ring: &mut Ring, sequence, ms| ring.insert(Arc::new(packet(sequence, 0, b"", at(ms))));
        let mut ring = Ring::new(Duration::from_millis(100));
        assert!(put(&mut ring, 10, 0) && put(&mut ring, 13, 10) && put(&mut ring, 12, 20));
        assert!(!put(&mut ring, 13, 20) && !put(&mut ring, 9, 20));
        assert_eq!((ring.highest(), ring.get(11), ring.get(12).map(|p| p.sequence)), (Some(13), None, Some(12)));
        assert!(put(&mut ring, 14, 105));
        assert_eq!((ring.get(10), ring.get(12).is_some()), (None, true));
        assert!(put(&mut ring, 14 + MAX_JUMP + 1, 110));
        assert_eq!(ring.get(14), None);
    }

    #[test]
    fn what_was_missed_while_nothing_came_for_long_still_fits_in() {
        let start = Instant::now();
        let put = |ring: &mut Ring, sequence, ms| {
            ring.insert(Arc::new(packet(sequence, 0, b"", start + Duration::from_millis(ms))))
        };
        let mut ring = Ring::new(Duration::from_millis(100));
        assert!(put(&mut ring, 10, 0) && put(&mut ring, 20, 5000) && put(&mut ring, 21, 5001));
        assert!((11..20).all(|sequence| put(&mut ring, sequence, 5050)));
        assert!(put(&mut ring, 22, 5101) && ring.get(11).is_none() && ring.get(21).is_some());
    }

    #[test]
    fn the_ring_is_bounded_in_bytes_too() {
        let now = Instant::now();
        let mut ring = Ring::new(Duration::from_secs(1));
        for sequence in 0..40 {
            assert!(ring.insert(Arc::new(packet(sequence, 0, &vec![0; 1 << 20], now))));
        }
        assert_eq!((ring.get(22), ring.get(23).is_some(), ring.bytes), (None, true, 17 << 20));
        assert!(ring.insert(Arc::new(packet(40 + MAX_JUMP, 0, b"", now))));
        assert_eq!(ring.bytes, 0);
    }
}
