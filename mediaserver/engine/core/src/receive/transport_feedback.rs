//! When each packet of a publisher came, told to it, so that it can estimate what the path carries
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01, 3.1).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::rtcp;

/// Between two reports.
const INTERVAL: Duration = Duration::from_millis(75);
/// How far back a number is told of; what was longer in coming helps no estimate.
const HISTORY: u64 = 1000;
/// Most numbers in one packet: at two bytes each for the time and two bits for the status, 900 bytes.
const MAX_STATUSES: u64 = 400;
/// Reports of one turn.
const MAX_PACKETS: usize = 4;
/// Times are told in these.
const TICK_MICROS: i64 = 250;
/// The reference time of a packet, in ticks.
const REFERENCE: i64 = 256;

const FORMAT: u8 = 15;
/// Symbols of a packet's status.
const LOST: u16 = 0;
const SMALL: u16 = 1;
const LARGE: u16 = 2;
/// Symbols in a chunk that lists them with two bits each.
const LISTED: usize = 7;
/// Longest run of one symbol in a chunk.
const MAX_RUN: usize = 0x1fff;

#[derive(Debug)]
pub struct TransportFeedback {
    started: Instant,
    /// Transport-wide numbers, extended.
    arrived: BTreeMap<u64, Instant>,
    highest: Option<u64>,
    /// The first that is not told yet.
    next: u64,
    count: u8,
    due: Option<Instant>,
}

impl TransportFeedback {
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { started: now, arrived: BTreeMap::new(), highest: None, next: 0, count: 0, due: None }
    }

    /// An authentic packet with the transport-wide number `low` has come.
    pub fn on_packet(&mut self, low: u16, now: Instant) {
        let number = self.highest.map_or(0x1_0000 + u64::from(low), |highest| super::nearest(highest, low));
        let highest = self.highest.map_or(number, |highest| highest.max(number));
        if self.highest.is_none() {
            self.next = number;
        }
        self.highest = Some(highest);
        // One that comes late is told of with all that followed it; it was called lost before.
        let oldest = highest.saturating_sub(HISTORY).max(self.arrived.keys().next().copied().unwrap_or(0));
        if number < oldest {
            return;
        }
        self.next = self.next.min(number).max(oldest);
        self.arrived.entry(number).or_insert(now);
        self.due.get_or_insert(now + INTERVAL);
    }

    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// The packets that are due. `sender`: our SSRC, `media`: one of the peer's.
    pub fn write(&mut self, sender: u32, media: u32, now: Instant) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        if self.due.is_none_or(|due| due > now) {
            return packets;
        }
        self.due = None;
        let end = self.highest.map_or(0, |highest| highest + 1);
        while packets.len() < MAX_PACKETS && self.next < end {
            let Some(first) = self.arrived.range(self.next..).next().map(|(number, _)| *number) else { break };
            // What was lost before a long silence is not worth a packet of its own.
            self.next = self.next.max(first.saturating_sub(MAX_STATUSES / 2));
            packets.push(self.write_one(sender, media, end));
        }
        let forget = end.saturating_sub(HISTORY).min(self.next);
        self.arrived = self.arrived.split_off(&forget);
        packets
    }

    /// One report from `next` on, which moves behind it.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "low bits are meant, or it is bounded above"
    )]
    fn write_one(&mut self, sender: u32, media: u32, end: u64) -> Vec<u8> {
        let base = self.next;
        let mut times = self.arrived.range(base..end.min(base + MAX_STATUSES));
        let start = times.next().map_or(0, |(_, at)| self.ticks(*at));
        let reference = start.div_euclid(REFERENCE);
        let (mut symbols, mut deltas, mut before) = (Vec::new(), Vec::new(), reference * REFERENCE);
        for (&number, &at) in self.arrived.range(base..end.min(base + MAX_STATUSES)) {
            let ticks = self.ticks(at);
            let Ok(delta) = i16::try_from(ticks - before) else { break };
            symbols.resize((number - base) as usize, LOST);
            if let Ok(small) = u8::try_from(delta) {
                symbols.push(SMALL);
                deltas.push(small);
            } else {
                symbols.push(LARGE);
                deltas.extend(delta.to_be_bytes());
            }
            before = ticks;
        }
        self.next = base + symbols.len() as u64;
        let mut body = Vec::with_capacity(1024);
        body.extend_from_slice(&media.to_be_bytes());
        body.extend_from_slice(&(base as u16).to_be_bytes());
        body.extend_from_slice(&(symbols.len() as u16).to_be_bytes());
        body.extend_from_slice(&(((reference as u32) << 8) | u32::from(self.count)).to_be_bytes());
        self.count = self.count.wrapping_add(1);
        write_chunks(&mut body, &symbols);
        body.extend_from_slice(&deltas);
        let mut packet = Vec::new();
        rtcp::write_transport_feedback(&mut packet, FORMAT, sender, &body);
        packet
    }

    fn ticks(&self, at: Instant) -> i64 {
        let micros = at.saturating_duration_since(self.started).as_micros();
        i64::try_from(micros).unwrap_or(i64::MAX) / TICK_MICROS
    }
}

#[allow(clippy::cast_possible_truncation, reason = "a run is bounded")]
fn write_chunks(body: &mut Vec<u8>, mut symbols: &[u16]) {
    while let Some(&first) = symbols.first() {
        let run = symbols.iter().take_while(|symbol| **symbol == first).count().min(MAX_RUN);
        let (chunk, taken) = if run >= LISTED || run == symbols.len() {
            (first << 13 | run as u16, run)
        } else {
            let listed = &symbols[..symbols.len().min(LISTED)];
            let bits = (0..LISTED).fold(0, |bits, at| bits << 2 | listed.get(at).copied().unwrap_or(LOST));
            (0xc000 | bits, listed.len())
        };
        body.extend_from_slice(&chunk.to_be_bytes());
        symbols = &symbols[taken..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// (base number, feedback count, ticks of each packet or None) of one report.
    fn read(packet: &[u8]) -> (u16, u8, Vec<Option<i64>>) {
        assert_eq!((packet[0], packet[1]), (0x80 | packet[0] & 0x20 | FORMAT, 205));
        assert_eq!((usize::from(u16::from_be_bytes([packet[2], packet[3]])) + 1) * 4, packet.len());
        let end = packet.len() - if packet[0] & 0x20 == 0 { 0 } else { usize::from(packet[packet.len() - 1]) };
        let half = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
        let (base, count, reference) =
            (half(12), usize::from(half(14)), i64::from(half(16)) << 8 | i64::from(packet[18]));
        let (mut symbols, mut at) = (Vec::new(), 20);
        while symbols.len() < count {
            let chunk = half(at);
            at += 2;
            if chunk & 0x8000 == 0 {
                symbols.extend(vec![chunk >> 13; usize::from(chunk & 0x1fff)]);
            } else {
                symbols.extend((0..7).map(|place| chunk >> (12 - 2 * place) & 3));
            }
        }
        let mut ticks = reference * REFERENCE;
        let mut times = Vec::new();
        for symbol in &symbols[..count] {
            let delta = match *symbol {
                SMALL => Some(i64::from(packet[at])),
                LARGE => Some(i64::from(half(at).cast_signed())),
                _ => None,
            };
            at += usize::from(*symbol);
            ticks += delta.unwrap_or(0);
            times.push(delta.map(|_| ticks));
        }
        assert!(at <= end && end - at < 4, "nothing is left over: {at} {end}");
        (base, packet[19], times)
    }

    #[test]
    fn arrivals_are_told_with_their_times_and_gaps() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut feedback = TransportFeedback::new(start);
        for (number, ms) in [(65_534, 100), (65_535, 101), (1, 140), (0, 141)] {
            feedback.on_packet(number, at(ms));
        }
        assert_eq!(feedback.deadline(), Some(at(175)));
        assert_eq!(feedback.write(1, 2, at(174)), Vec::<Vec<u8>>::new());
        let packets = feedback.write(1, 2, at(175));
        assert_eq!(packets.len(), 1);
        assert_eq!(packets[0][4..12], [0, 0, 0, 1, 0, 0, 0, 2]);
        assert_eq!(read(&packets[0]), (65_534, 0, vec![Some(400), Some(404), Some(564), Some(560)]));
        feedback.on_packet(4, at(200));
        feedback.on_packet(2, at(210));
        assert_eq!(read(&feedback.write(1, 2, at(275))[0]), (2, 1, vec![Some(840), None, Some(800)]));
        feedback.on_packet(3, at(300));
        let again = read(&feedback.write(1, 2, at(375))[0]);
        assert_eq!(again, (3, 2, vec![Some(1200), Some(800)]), "late: told with what followed");
        assert_eq!(feedback.deadline(), None);
    }

    #[test]
    fn whatever_arrives_is_told_truly_and_within_bounds() {
        for seed in 0..40 {
            let mut random = Random::new(seed);
            let start = Instant::now();
            let mut feedback = TransportFeedback::new(start);
            let (mut number, mut micros) = (u64::from(random.word() % 70_000), 0_u64);
            let mut truth: BTreeMap<u16, i64> = BTreeMap::new();
            for _ in 0..3000 {
                number += u64::from(if random.word().is_multiple_of(50) { random.word() % 700 } else { 1 });
                micros += u64::from(random.word() % if random.word().is_multiple_of(400) { 20_000_000 } else { 3000 });
                let number = number - u64::from(random.word() % 20).min(number);
                #[allow(clippy::cast_possible_truncation)] // Low bits are meant.
                let low = number as u16;
                let now = start + Duration::from_micros(micros);
                if !random.word().is_multiple_of(10) {
                    feedback.on_packet(low, now);
                    let ticks = i64::try_from(micros).unwrap() / TICK_MICROS;
                    truth.entry(low).or_insert(ticks);
                    if ticks - truth[&low] > 40_000_000 / TICK_MICROS {
                        truth.insert(low, ticks);
                    }
                }
                for packet in feedback.write(1, 2, now) {
                    assert!(packet.len() < 1100, "{}", packet.len());
                    let (base, _, times) = read(&packet);
                    for (at, time) in (0..).zip(&times) {
                        if let Some(time) = time {
                            assert_eq!(truth.get(&base.wrapping_add(at)), Some(time), "seed {seed}");
                        }
                    }
                }
                assert!(feedback.arrived.len() <= 3000);
            }
        }
    }
}
