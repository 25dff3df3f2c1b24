//! What a viewer sees of the packets that come: complete frames, their times on the screen, freezes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A picture that stands for longer than this is frozen: five frames and more.
const FREEZE: Duration = Duration::from_millis(183);

/// What a source's packet says in its payload, behind the NAL header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    pub frame: u32,
    pub index: u16,
    pub count: u16,
}

impl Mark {
    pub fn write(self, payload: &mut [u8]) {
        payload[1..5].copy_from_slice(&self.frame.to_be_bytes());
        payload[5..7].copy_from_slice(&self.index.to_be_bytes());
        payload[7..9].copy_from_slice(&self.count.to_be_bytes());
    }

    pub fn read(payload: &[u8]) -> Option<Self> {
        let half = |at: usize| Some(u16::from_be_bytes(payload.get(at..at + 2)?.try_into().ok()?));
        let frame = u32::from_be_bytes(payload.get(1..5)?.try_into().ok()?);
        Some(Self { frame, index: half(5)?, count: half(7)? })
    }
}

struct Frame {
    missing: u16,
    key: bool,
    complete: Option<Instant>,
}

pub struct Picture {
    frames: BTreeMap<u32, Frame>,
}

/// Of one run, from the first frame shown on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// Share of the frames that came whole, sooner or later.
    pub complete: f64,
    /// Frames shown a second.
    pub rate: f64,
    pub freezes_a_minute: f64,
    pub longest_freeze: Duration,
}

impl Picture {
    pub fn new() -> Self {
        Self { frames: BTreeMap::new() }
    }

    pub fn on_packet(&mut self, payload: &[u8], now: Instant) {
        let Some(mark) = Mark::read(payload) else { return };
        let key = payload[0] & 31 == 5;
        let frame = self.frames.entry(mark.frame).or_insert(Frame { missing: mark.count, key, complete: None });
        frame.missing = frame.missing.saturating_sub(1);
        if frame.missing == 0 {
            frame.complete.get_or_insert(now);
        }
    }

    /// `captured`: when each frame of the source was; `behind`: how much later a viewer shows one that came in time.
    #[allow(clippy::cast_precision_loss)] // Some thousand frames.
    pub fn seen(&self, captured: &[Instant], behind: Duration) -> Option<Seen> {
        let first = *self.frames.keys().next()?;
        let total = captured.len() - first as usize;
        let complete = self.frames.values().filter(|frame| frame.complete.is_some()).count();
        let shown = self.shown(captured, behind);
        let span = shown.last()?.saturating_duration_since(*shown.first()?);
        let gaps = || shown.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| *gap > FREEZE);
        Some(Seen {
            complete: complete as f64 / total as f64,
            rate: (shown.len() - 1) as f64 / span.as_secs_f64(),
            freezes_a_minute: gaps().count() as f64 * 60.0 / span.as_secs_f64(),
            longest_freeze: gaps().max().unwrap_or_default(),
        })
    }

    /// When frames are shown: in order, each after the one it needs; a key frame that is there ends the wait for one that is not.
    fn shown(&self, captured: &[Instant], behind: Duration) -> Vec<Instant> {
        let mut shown: Vec<Instant> = Vec::new();
        let mut at = self.frames.iter().find(|(_, frame)| frame.key).map_or(0, |(number, _)| *number);
        while (at as usize) < captured.len() {
            let own = self.frames.get(&at).and_then(|frame| frame.complete);
            let next_key = self.frames.range(at + 1..).find(|(_, f)| f.key && f.complete.is_some());
            match (own, next_key) {
                (Some(own), Some((&key, frame))) if frame.complete.is_some_and(|complete| complete < own) => at = key,
                (Some(own), _) => {
                    let due = (captured[at as usize] + behind).max(own);
                    shown.push(shown.last().map_or(due, |last| due.max(*last)));
                    at += 1;
                }
                (None, Some((&key, _))) => at = key,
                (None, None) => break,
            }
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_late_frame_stops_the_picture_and_a_lost_one_until_the_key_frame() {
        let start = Instant::now();
        let captured: Vec<Instant> = (0..60).map(|frame| start + ms(frame * 33)).collect();
        for (lost, late, complete, freezes, longest) in
            [(None, 0, 1.0, 0, ms(0)), (None, 400, 1.0, 1, ms(333)), (Some(20), 0, 59.0 / 60.0, 1, ms(11 * 33))]
        {
            let mut picture = Picture::new();
            for (frame, at) in (0..).zip(&captured) {
                for index in 0..2 {
                    let mut payload = vec![if frame % 30 == 0 { 0x65 } else { 0x41 }; 20];
                    Mark { frame, index, count: 2 }.write(&mut payload);
                    let lost = lost == Some(frame) && index == 1;
                    if !lost {
                        picture.on_packet(&payload, *at + if frame == 40 { ms(late) } else { ms(0) });
                    }
                }
            }
            let seen = picture.seen(&captured, ms(100)).unwrap();
            assert!((seen.complete - complete).abs() < 1e-9, "{seen:?}");
            assert_eq!((seen.freezes_a_minute > 0.0, seen.longest_freeze), (freezes > 0, longest), "{seen:?}");
        }
    }
}
