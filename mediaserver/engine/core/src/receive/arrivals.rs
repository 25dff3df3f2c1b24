//! What one SSRC's packets say of the path: loss and jitter as receiver reports want them (RFC 3550, 6.4.1 and appendix A).

use std::time::{Duration, Instant};

use crate::rtcp::Reception;

#[derive(Debug)]
pub struct Arrivals {
    clock_rate: u32,
    started: Instant,
    first: u64,
    highest: u64,
    received: u64,
    /// As of the last report.
    expected_before: u64,
    received_before: u64,
    /// In 1/16 ticks of the clock.
    jitter: u64,
    transit: i64,
    /// Middle 32 bits of the latest sender report's time, and when it came.
    sender_report: Option<(u32, Instant)>,
}

impl Arrivals {
    /// `sequence`, `timestamp`: of the first packet.
    #[must_use]
    pub fn new(clock_rate: u32, sequence: u64, timestamp: u32, now: Instant) -> Self {
        Self {
            clock_rate,
            started: now,
            first: sequence,
            highest: sequence,
            received: 1,
            expected_before: 0,
            received_before: 0,
            jitter: 0,
            transit: -i64::from(timestamp),
            sender_report: None,
        }
    }

    /// A packet (never a repair on another SSRC).
    pub fn on_packet(&mut self, sequence: u64, timestamp: u32, now: Instant) {
        self.received += 1;
        self.first = self.first.min(sequence);
        self.highest = self.highest.max(sequence);
        let transit = self.ticks(now) - i64::from(timestamp);
        // Timestamps wrap: half a turn either way.
        #[allow(clippy::cast_possible_truncation, reason = "the low bits are meant")]
        let change = ((transit - self.transit) as i32).unsigned_abs();
        self.transit = transit;
        self.jitter = (self.jitter + u64::from(change)).saturating_sub((self.jitter + 8) >> 4);
    }

    #[allow(clippy::cast_possible_truncation, reason = "the middle 32 bits are meant")]
    pub fn on_sender_report(&mut self, ntp: u64, now: Instant) {
        self.sender_report = Some(((ntp >> 16) as u32, now));
    }

    /// The block of the report that goes out now.
    #[allow(clippy::cast_possible_truncation, reason = "fields wrap or are clamped")]
    pub fn report(&mut self, ssrc: u32, now: Instant) -> Reception {
        let expected = self.highest - self.first + 1;
        let interval = expected - self.expected_before;
        let lost = interval.saturating_sub(self.received - self.received_before);
        (self.expected_before, self.received_before) = (expected, self.received);
        let (last_report, delay) = match self.sender_report {
            Some((middle, at)) => (middle, short(now.saturating_duration_since(at))),
            None => (0, 0),
        };
        Reception {
            ssrc,
            fraction_lost: (lost * 256).checked_div(interval).unwrap_or(0).min(255) as u8,
            lost: (expected.cast_signed() - self.received.cast_signed()).clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest: self.highest as u32,
            jitter: (self.jitter >> 4) as u32,
            last_report,
            delay,
        }
    }

    fn ticks(&self, now: Instant) -> i64 {
        let since = now.saturating_duration_since(self.started).as_nanos();
        i64::try_from(since * u128::from(self.clock_rate) / 1_000_000_000).unwrap_or(i64::MAX / 2)
    }
}

/// In 1/65,536 s.
fn short(delay: Duration) -> u32 {
    u32::try_from((delay.as_nanos() << 16) / 1_000_000_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn reports_tell_loss_since_the_last_one_and_in_all() {
        let start = Instant::now();
        let mut arrivals = Arrivals::new(90_000, 65_530, 0, start);
        for sequence in 65_531..65_540 {
            if sequence != 65_535 {
                arrivals.on_packet(sequence, 0, start);
            }
        }
        arrivals.on_sender_report(0x1234_5678_9abc_def0, start);
        let report = arrivals.report(7, start + ms(500));
        let expected = Reception {
            ssrc: 7,
            fraction_lost: 25,
            lost: 1,
            highest: 65_539,
            jitter: 0,
            last_report: 0x5678_9abc,
            delay: 32_768,
        };
        assert_eq!(report, expected);
        arrivals.on_packet(65_535, 0, start);
        assert_eq!(arrivals.report(7, start).fraction_lost, 0, "nothing was expected");
        arrivals.on_packet(65_541, 0, start);
        let report = arrivals.report(7, start);
        assert_eq!((report.fraction_lost, report.lost), (128, 1));
    }

    #[test]
    fn jitter_grows_towards_the_mean_deviation_and_survives_the_wrap() {
        let start = Instant::now();
        let first = u32::MAX - 9_000;
        let mut arrivals = Arrivals::new(90_000, 0, first, start);
        for count in 1..200_u32 {
            let late = if count % 2 == 0 { 0 } else { 10 };
            let timestamp = first.wrapping_add(count * 1800);
            arrivals.on_packet(count.into(), timestamp, start + ms(u64::from(count) * 20 + late));
        }
        let jitter = arrivals.report(1, start).jitter;
        assert!((850..=900).contains(&jitter), "10 ms are 900 ticks: {jitter}");
    }
}
