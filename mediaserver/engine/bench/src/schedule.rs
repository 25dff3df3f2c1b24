//! When which packet leaves the source: frames at their rate, a frame's packets through a pacer, sound beside them. Pure.
//!
//! Invariant: packets of one track leave in order, and none before its due time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::frames::{AUDIO_BYTES, FRAME_RATE, Frames, Pattern};
use crate::payload;

/// What the pacer lets through for each Mbit/s of the stream: libwebrtc's 2.5 times as much.
const PACED_BYTES_PER_SECOND: f64 = 2.5 * 1_000_000.0 / 8.0;
const SOUND_EVERY: Duration = Duration::from_millis(20);
/// Less often than this, and the server takes the publisher for lost.
const SIGN_OF_LIFE_EVERY: Duration = Duration::from_secs(2);
const NEVER: Duration = Duration::from_hours(24);
const VIDEO_CLOCK: u32 = 90_000;
const AUDIO_CLOCK: u32 = 48_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Track {
    Video,
    Audio,
}

/// A packet to send: everything but its sequence number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    pub track: Track,
    pub due: Instant,
    pub marker: bool,
    pub timestamp: u32,
    pub payload: Vec<u8>,
}

/// The packets of one stretch of sending.
#[derive(Debug)]
pub struct Schedule {
    pattern: Pattern,
    frames: Frames,
    /// RTP time zero.
    epoch: Instant,
    next_frame: Instant,
    next_sound: Instant,
    sound_every: Duration,
    pacer_free: Instant,
    number: u32,
    video: VecDeque<Packet>,
}

impl Schedule {
    pub fn new(pattern: Pattern, epoch: Instant, now: Instant) -> Self {
        Self {
            pattern,
            frames: Frames::new(pattern),
            epoch,
            next_frame: now,
            next_sound: now,
            sound_every: SOUND_EVERY,
            pacer_free: now,
            number: 0,
            video: VecDeque::new(),
        }
    }

    /// Nothing but a sound now and then: a publisher that is there, and next to no media.
    pub fn still(epoch: Instant, now: Instant) -> Self {
        let silent = Self::new(Pattern::Paced, epoch, now);
        Self { next_frame: now + NEVER, sound_every: SIGN_OF_LIFE_EVERY, ..silent }
    }

    /// The same with this many frames from one key frame to the next.
    pub fn with_gop(mut self, frames: u32) -> Self {
        self.frames.set_gop(frames);
        self
    }

    pub fn want_key(&mut self) {
        self.frames.want_key();
    }

    /// When `pop` has something next.
    pub fn deadline(&self) -> Instant {
        let video = self.video.front().map_or(self.next_frame, |packet| packet.due);
        video.min(self.next_sound)
    }

    /// The next packet that is due.
    pub fn pop(&mut self, now: Instant) -> Option<Packet> {
        if self.video.is_empty() && self.next_frame <= now {
            self.make_frame();
        }
        let video_due = self.video.front().map(|packet| packet.due).filter(|&due| due <= now);
        if self.next_sound <= now && video_due.is_none_or(|due| self.next_sound <= due) {
            return Some(self.make_sound());
        }
        video_due.and_then(|_| self.video.pop_front())
    }

    fn make_frame(&mut self) {
        let at = self.next_frame;
        self.next_frame += Duration::from_secs(1) / FRAME_RATE;
        self.number = self.number.wrapping_add(1);
        let payloads = payload::of_frame(&self.frames.next_frame(), self.number);
        let timestamp = rtp_time(at.saturating_duration_since(self.epoch), VIDEO_CLOCK);
        let last = payloads.len() - 1;
        for (index, payload) in payloads.into_iter().enumerate() {
            let due = self.pace(at, payload.len());
            self.video.push_back(Packet { track: Track::Video, due, marker: index == last, timestamp, payload });
        }
    }

    /// When a packet of `bytes` leaves that is ready at `at`.
    #[allow(clippy::cast_precision_loss)] // Bytes of a packet.
    fn pace(&mut self, at: Instant, bytes: usize) -> Instant {
        if self.pattern == Pattern::Burst {
            return at;
        }
        let rate = PACED_BYTES_PER_SECOND * self.pattern.megabits() as f64;
        let due = self.pacer_free.max(at);
        self.pacer_free = due + Duration::from_secs_f64(bytes as f64 / rate);
        due
    }

    fn make_sound(&mut self) -> Packet {
        let due = self.next_sound;
        self.next_sound += self.sound_every;
        self.number = self.number.wrapping_add(1);
        let timestamp = rtp_time(due.saturating_duration_since(self.epoch), AUDIO_CLOCK);
        Packet {
            track: Track::Audio,
            due,
            marker: false,
            timestamp,
            payload: payload::of_sound(AUDIO_BYTES, self.number),
        }
    }
}

#[allow(clippy::cast_possible_truncation)] // RTP time wraps.
fn rtp_time(elapsed: Duration, clock: u32) -> u32 {
    (elapsed.as_micros() * u128::from(clock) / 1_000_000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(pattern: Pattern, seconds: u64) -> (Instant, Vec<Packet>) {
        let start = Instant::now();
        let mut schedule = Schedule::new(pattern, start, start);
        let mut packets = Vec::new();
        while schedule.deadline() < start + Duration::from_secs(seconds) {
            let now = schedule.deadline();
            packets.extend(std::iter::from_fn(|| schedule.pop(now)));
        }
        (start, packets)
    }

    fn spread_of_each_frame(packets: &[Packet]) -> Vec<Duration> {
        let video: Vec<&Packet> = packets.iter().filter(|packet| packet.track == Track::Video).collect();
        video.chunk_by(|a, b| a.timestamp == b.timestamp).map(|f| f[f.len() - 1].due - f[0].due).collect()
    }

    #[test]
    fn a_still_source_only_shows_that_it_is_there() {
        let start = Instant::now();
        let mut schedule = Schedule::still(start, start);
        let packets: Vec<Packet> = std::iter::from_fn(|| schedule.pop(start + Duration::from_secs(5))).collect();
        let times: Vec<u64> = packets.iter().map(|packet| (packet.due - start).as_secs()).collect();
        assert_eq!(times, [0, 2, 4]);
        assert!(packets.iter().all(|packet| packet.track == Track::Audio));
    }

    #[test]
    fn about_170_packets_a_second_leave_50_of_them_sound() {
        for pattern in [Pattern::Paced, Pattern::Burst] {
            let (_, packets) = sent(pattern, 60);
            let sound = packets.iter().filter(|packet| packet.track == Track::Audio).count();
            assert_eq!(sound, 60 * 50, "{pattern:?}");
            assert!((166..=176).contains(&(packets.len() / 60)), "{pattern:?}: {}", packets.len() / 60);
        }
    }

    #[test]
    fn a_paced_frame_takes_about_ten_milliseconds_and_a_burst_none() {
        let (_, paced) = sent(Pattern::Paced, 1);
        let spreads = spread_of_each_frame(&paced);
        assert!(spreads[0] > Duration::from_millis(45), "the key frame: {:?}", spreads[0]);
        let (shortest, longest) = (spreads[3..25].iter().min().unwrap(), spreads[3..25].iter().max().unwrap());
        assert!(*shortest > Duration::from_millis(5) && *longest < Duration::from_millis(14));
        let (_, burst) = sent(Pattern::Burst, 1);
        assert!(spread_of_each_frame(&burst).iter().all(Duration::is_zero));
    }

    #[test]
    fn both_tracks_tell_the_same_time() {
        let (start, packets) = sent(Pattern::Burst, 3);
        for packet in packets {
            let clock = if packet.track == Track::Video { VIDEO_CLOCK } else { AUDIO_CLOCK };
            assert_eq!(packet.timestamp, rtp_time(packet.due - start, clock));
        }
    }
}
