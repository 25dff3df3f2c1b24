//! Spreads a frame's fan-out by the node's rate, but never for longer than a limit.
//!
//! Invariant: who waits does so until a whole burst may go. Waiting for one viewer's share at a time would cost a wake-up and a
//! system call for each.

use std::time::{Duration, Instant};

/// What may go at once: a millisecond of the node's rate is what a switch buffers easily, and each wait costs a wake-up.
const BURST_TIME: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub struct Pacing {
    bytes_per_second: f64,
    /// When what was sent has left the node at its rate.
    busy_until: Option<Instant>,
    limit: Duration,
}

impl Pacing {
    #[must_use]
    pub fn new(megabits: u32, limit: Duration) -> Self {
        Self { bytes_per_second: f64::from(megabits.max(1)) * 125_000.0, busy_until: None, limit }
    }

    #[allow(clippy::cast_precision_loss)] // Bytes of a burst.
    pub fn sent(&mut self, bytes: usize, now: Instant) {
        let from = self.busy_until.map_or(now, |until| until.max(now));
        self.busy_until = Some(from + Duration::from_secs_f64(bytes as f64 / self.bytes_per_second));
    }

    /// None: what waits since `waiting_since` may go now; else when.
    #[must_use]
    pub fn hold(&self, waiting_since: Instant, now: Instant) -> Option<Instant> {
        let (free, latest) = (self.busy_until?, waiting_since + self.limit);
        let full = free.checked_sub(BURST_TIME)? > now && latest > now;
        full.then(|| free.min(latest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exceeds_the_rate_waits_but_not_beyond_the_limit() {
        let now = Instant::now() + Duration::from_secs(1);
        let ms = Duration::from_millis;
        let mut pacing = Pacing::new(8, ms(8));
        assert_eq!(pacing.hold(now, now), None);
        pacing.sent(4000, now);
        assert_eq!(pacing.hold(now, now), Some(now + ms(4)));
        assert_eq!(pacing.hold(now, now + ms(3)), None);
        pacing.sent(400_000, now);
        assert_eq!(pacing.hold(now, now), Some(now + ms(8)));
        assert_eq!(pacing.hold(now, now + ms(8)), None);
    }
}
