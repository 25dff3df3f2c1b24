//! One clock for all tracks of a publication: which RTP timestamp was captured when, in our own time.
//!
//! The publisher's sender reports say it in the publisher's time; one offset brings all tracks into ours, so that they stay in
//! step. Until a track has a report, its packets' arrival stands in.

use std::time::{Duration, Instant};

use crate::border::WallClock;

/// Between 1900 (NTP) and 1970 (Unix), s.
const UNIX_EPOCH_IN_NTP: u64 = 2_208_988_800;
const SECOND: i64 = 1 << 32;
/// A publisher's clock that is further off than this was set, and is believed at once.
const CLOCK_STEP: i64 = 5 * SECOND;
/// How far one report may move the offset: well below what lip-sync shows.
const MAX_CREEP: i64 = SECOND / 1000;
/// How long a track takes from its arrival's line to its report's.
const BLEND: i64 = 2 * SECOND;

/// NTP time, 32.32 seconds, of an instant.
#[must_use]
pub fn ntp(clock: WallClock, now: Instant) -> u64 {
    let since_epoch = now
        .checked_duration_since(clock.at)
        .map_or_else(|| clock.since_unix_epoch.saturating_sub(clock.at - now), |later| clock.since_unix_epoch + later);
    let fraction = (u64::from(since_epoch.subsec_nanos()) << 32) / 1_000_000_000;
    (since_epoch.as_secs() + UNIX_EPOCH_IN_NTP) << 32 | fraction
}

/// 1/65,536 s, as in receiver reports.
#[must_use]
pub fn from_short(delay: u32) -> Duration {
    Duration::from_nanos(u64::from(delay) * 1_000_000_000 / 65_536)
}

/// Timestamp ticks in an NTP span.
fn ticks(span: i64, rate: u32) -> i64 {
    i64::try_from((i128::from(span) * i128::from(rate)) >> 32).unwrap_or(i64::MAX)
}

/// NTP span of timestamp ticks.
fn span(ticks: i32, rate: u32) -> i64 {
    (i64::from(ticks) << 32) / i64::from(rate.max(1))
}

/// `later - earlier`, over the wrap of the NTP era.
#[allow(clippy::cast_possible_wrap)] // That is the point.
fn difference(later: u64, earlier: u64) -> i64 {
    later.wrapping_sub(earlier) as i64
}

/// One track: `timestamp` was captured at `at`, and the rest follows at the clock rate. The time is the publisher's once there
/// was a report, else ours.
#[derive(Debug, Clone, Copy)]
struct Line {
    rate: u32,
    at: u64,
    timestamp: u32,
    from_report: bool,
    /// Where the line was less where it is, fading from `blend_from` on.
    blend: i64,
    blend_from: u64,
}

impl Line {
    fn at(rate: u32, at: u64, timestamp: u32, from_report: bool) -> Self {
        Self { rate, at, timestamp, from_report, blend: 0, blend_from: at }
    }

    /// When `timestamp` was captured.
    #[allow(clippy::cast_possible_wrap)] // Timestamps wrap; half a turn either way.
    fn captured(&self, timestamp: u32) -> u64 {
        self.at.wrapping_add_signed(span(timestamp.wrapping_sub(self.timestamp) as i32, self.rate))
    }

    /// The timestamp of what is captured at `now`.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Timestamps wrap.
    fn timestamp(&self, now: u64) -> u32 {
        let elapsed = difference(now, self.at).saturating_sub(self.remaining_blend(now));
        self.timestamp.wrapping_add(ticks(elapsed, self.rate) as u32)
    }

    fn remaining_blend(&self, now: u64) -> i64 {
        let left = BLEND.saturating_sub(difference(now, self.blend_from)).clamp(0, BLEND);
        i64::try_from(i128::from(self.blend) * i128::from(left) / i128::from(BLEND)).unwrap_or(0)
    }

    /// Keeps the reference near, so that half a turn of the timestamp is never reached.
    fn move_reference(&mut self, timestamp: u32) {
        self.at = self.captured(timestamp);
        self.timestamp = timestamp;
    }
}

#[derive(Debug, Clone)]
pub struct Timeline {
    rates: Vec<u32>,
    lines: Vec<Option<Line>>,
    /// Our time less the publisher's.
    offset: Option<i64>,
}

impl Timeline {
    /// `rates`: clock rate of each track, Hz.
    #[must_use]
    pub fn new(rates: Vec<u32>) -> Self {
        Self { lines: vec![None; rates.len()], rates, offset: None }
    }

    /// A packet of `track` arrived at `now` (NTP, our time).
    #[allow(clippy::cast_possible_wrap)] // Timestamps wrap.
    pub fn on_packet(&mut self, track: usize, timestamp: u32, now: u64) {
        let Some(slot) = self.lines.get_mut(track) else { return };
        let Some(line) = slot else {
            *slot = Some(Line::at(self.rates[track], now, timestamp, false));
            return;
        };
        let offset = self.offset.filter(|_| line.from_report).unwrap_or(0);
        let off = difference(now, line.captured(timestamp).wrapping_add_signed(offset));
        if off.saturating_abs() > CLOCK_STEP {
            // They have begun anew, as with another SSRC: what was known says nothing of them.
            *slot = Some(Line::at(self.rates[track], now, timestamp, false));
            return;
        }
        if line.timestamp.wrapping_sub(timestamp) as i32 > 0 {
            return;
        }
        line.move_reference(timestamp);
        if !line.from_report {
            let late = difference(now, line.at);
            // Nothing arrives before it is captured: earliness corrects at once, lateness creeps (clocks drift).
            line.at = line.at.wrapping_add_signed(if late < 0 { late } else { late / 1024 });
        }
    }

    /// A sender report of `track` arrived at `now`: what has `timestamp` was captured at `ntp` (publisher's time).
    pub fn on_report(&mut self, track: usize, ntp: u64, timestamp: u32, now: u64) {
        // Publishers without a clock send 0 (RFC 3550, 6.4.1).
        if ntp == 0 || track >= self.lines.len() {
            return;
        }
        let sample = difference(now, ntp);
        let offset = match self.offset {
            Some(offset) if sample.saturating_sub(offset).saturating_abs() < CLOCK_STEP => {
                offset + ((sample - offset) / 64).clamp(-MAX_CREEP, MAX_CREEP)
            }
            // The first line of all stays where its packets put it.
            None => self.lines[track].map_or(sample, |line| difference(line.captured(timestamp), ntp)),
            Some(_) => sample,
        };
        self.offset = Some(offset);
        let mut line = Line::at(self.rates[track], ntp, timestamp, true);
        match self.lines[track] {
            Some(old) if old.from_report => (line.blend, line.blend_from) = (old.blend, old.blend_from),
            Some(old) => {
                let shift = difference(old.captured(timestamp), ntp.wrapping_add_signed(offset));
                line.blend = if shift.saturating_abs() < CLOCK_STEP { shift } else { 0 };
                line.blend_from = now.wrapping_sub(offset.cast_unsigned());
            }
            None => {}
        }
        self.lines[track] = Some(line);
    }

    /// The source's timestamp of what is captured at `now` (NTP, our time); None before the track's first packet.
    #[must_use]
    pub fn timestamp(&self, track: usize, now: u64) -> Option<u32> {
        let line = self.lines.get(track)?.as_ref()?;
        let offset = self.offset.filter(|_| line.from_report).unwrap_or(0);
        Some(line.timestamp(now.wrapping_sub(offset.cast_unsigned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 4_000_000_000 << 32;
    const PUBLISHER: u64 = 3_000_000_000 << 32;

    fn ms(ms: u64) -> u64 {
        (ms << 32) / 1000
    }

    /// Milliseconds of media between what video and audio say is captured now.
    fn skew(timeline: &Timeline, now: u64, video: u32, audio: u32) -> f64 {
        let since = |track, zero: u32, rate: f64| {
            let ticks = timeline.timestamp(track, now).unwrap().wrapping_sub(zero).cast_signed();
            f64::from(ticks) * 1000.0 / rate
        };
        since(0, video, 90_000.0) - since(1, audio, 48_000.0)
    }

    #[test]
    fn ntp_counts_from_1900_and_back_before_the_reading() {
        let at = Instant::now() + Duration::from_secs(10);
        let clock = WallClock { at, since_unix_epoch: Duration::from_secs(100) };
        assert_eq!(ntp(clock, at + Duration::from_millis(500)), (2_208_989_000 - 100) << 32 | 1 << 31);
        assert_eq!(ntp(clock, at.checked_sub(Duration::from_secs(1)).unwrap()), (2_208_988_899) << 32);
    }

    #[test]
    fn before_reports_arrival_stands_in_and_lateness_of_a_packet_hardly_moves_it() {
        let mut timeline = Timeline::new(vec![90_000, 48_000]);
        assert_eq!(timeline.timestamp(0, START), None);
        timeline.on_packet(0, 500, START);
        timeline.on_packet(0, 500 + 90_000, START + ms(1100));
        let at_two_seconds = timeline.timestamp(0, START + ms(2000)).unwrap();
        assert!((500 + 180_000 - 10..=500 + 180_000).contains(&at_two_seconds), "{at_two_seconds}");
    }

    #[test]
    fn reports_of_both_tracks_bring_them_in_step_smoothly() {
        // Video comes 300 ms later than audio captured at the same time; timestamps begin anywhere, video's wraps.
        let (video, audio) = (u32::MAX - 45_000, 77_u32);
        let mut timeline = Timeline::new(vec![90_000, 48_000]);
        timeline.on_packet(1, audio, START);
        timeline.on_packet(0, video, START + ms(300));
        assert!((skew(&timeline, START + ms(300), video, audio) + 300.0).abs() < 1.0);
        timeline.on_report(1, PUBLISHER, audio, START + ms(310));
        timeline.on_report(0, PUBLISHER, video, START + ms(320));
        let mut last = skew(&timeline, START + ms(321), video, audio);
        assert!((last + 300.0).abs() < 2.0, "{last}");
        for at in (340..2400).step_by(20) {
            let next = skew(&timeline, START + ms(at), video, audio);
            assert!((-0.5..5.0).contains(&(next - last)), "{at} ms: {last} {next}");
            last = next;
        }
        assert!(last.abs() < 0.1, "{last}");
    }

    #[test]
    fn a_day_of_reports_from_a_drifting_clock_stays_in_step_and_on_time() {
        let mut timeline = Timeline::new(vec![90_000, 48_000]);
        for second in 0..86_400_u64 {
            // 50 ppm fast, seen through up to 40 ms of delay.
            let theirs = PUBLISHER + ms(second * 1000) + ms(second * 1000) / 20_000;
            let (now, jitter) = (START + ms(second * 1000), ms(second * 7 % 40));
            let stamp = |rate: u64| {
                u32::try_from(((u128::from(theirs - PUBLISHER) * u128::from(rate)) >> 32) & 0xffff_ffff).unwrap()
            };
            let (video, audio) = (stamp(90_000), stamp(48_000));
            timeline.on_packet(0, video, now + jitter);
            timeline.on_packet(1, audio, now + jitter);
            timeline.on_report(0, theirs, video, now + jitter);
            timeline.on_report(1, theirs, audio, now + jitter);
            if second > 10 {
                assert!(skew(&timeline, now + ms(40), video, audio).abs() < 0.1, "{second}");
                let behind = video.wrapping_sub(timeline.timestamp(0, now).unwrap()).cast_signed();
                assert!(behind.abs() < 90 * 60, "{second}: {behind}");
            }
        }
    }

    #[test]
    fn timestamps_that_begin_anew_are_believed_before_the_next_report_says_so() {
        let mut timeline = Timeline::new(vec![90_000]);
        timeline.on_packet(0, 5, START);
        timeline.on_report(0, PUBLISHER, 5, START);
        for leap in [3_000_000_000_u32, 2_000_000] {
            timeline.on_packet(0, leap, START + ms(1000));
            assert_eq!(timeline.timestamp(0, START + ms(1000)), Some(leap));
            timeline.on_report(0, PUBLISHER + ms(1000), leap, START + ms(1000));
        }
    }

    #[test]
    fn reports_of_any_value_are_survived() {
        let mut random = crate::random::Random::new(1);
        let mut timeline = Timeline::new(vec![90_000, 0]);
        let mut any = || u64::from(random.word()) << 32 | u64::from(random.word());
        for round in 0..10_000_usize {
            let (ntp, now) = (any(), any());
            let ntp = if round % 3 == 0 { now ^ 1 << 63 } else { ntp };
            timeline.on_report(round % 3, ntp, u32::try_from(any() >> 32).unwrap(), now);
            timeline.on_packet(round % 2, u32::try_from(any() >> 32).unwrap(), any());
            let _ = timeline.timestamp(round % 2, any());
        }
    }
}
