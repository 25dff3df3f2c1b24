//! Spreads a frame's fan-out by the node's rate, but never for longer than a limit.
//!
//! Invariant: who waits does so until a whole burst may go. Waiting for one viewer's share at a time would cost a wake-up and a
//! system call for each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::replay::ReplayShare;

/// What may go at once: a millisecond of the node's rate is what a switch buffers easily, and each wait costs a wake-up. Of several threads
/// each waits for itself, so they may have two.
const BURST_TIME: Duration = Duration::from_millis(1);
/// Parts of a burst that a thread sends before it tells the others.
const TOLD_PARTS: f64 = 8.0;

/// The node's way out, which all data threads share.
#[derive(Debug, Clone)]
pub struct WayOut {
    bytes_per_second: f64,
    burst: Duration,
    /// When what was sent has left the node at its rate, in nanoseconds after `epoch`.
    busy_until: Arc<AtomicU64>,
    epoch: Instant,
    pub(crate) replays: ReplayShare,
}

impl WayOut {
    /// `megabits`: of all `threads` together, a second.
    #[must_use]
    pub fn new(megabits: u32, threads: usize) -> Self {
        let bytes_per_second = f64::from(megabits.max(1)) * 125_000.0;
        Self {
            bytes_per_second,
            burst: BURST_TIME * if threads > 1 { 2 } else { 1 },
            busy_until: Arc::default(),
            epoch: Instant::now(),
            replays: ReplayShare::new(bytes_per_second),
        }
    }

    #[allow(clippy::cast_possible_truncation)] // 584 years.
    fn since_epoch(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.epoch).as_nanos() as u64
    }
}

/// One data thread's part in it.
#[derive(Debug)]
pub struct Pacing {
    way_out: WayOut,
    limit: Duration,
    /// Bytes that the others do not know of yet, and how many they may not.
    untold: f64,
    most_untold: f64,
}

impl Pacing {
    #[must_use]
    pub fn new(way_out: WayOut, limit: Duration) -> Self {
        let most_untold = way_out.bytes_per_second * way_out.burst.as_secs_f64() / TOLD_PARTS;
        Self { way_out, limit, untold: 0.0, most_untold }
    }

    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Bytes of a burst.
    pub fn sent(&mut self, bytes: usize, now: Instant) {
        self.untold += bytes as f64;
        if self.untold < self.most_untold {
            return;
        }
        let takes = Duration::from_secs_f64(self.untold / self.way_out.bytes_per_second).as_nanos() as u64;
        self.untold = 0.0;
        let now = self.way_out.since_epoch(now);
        let later = |until: u64| Some(until.max(now) + takes);
        let _ = self.way_out.busy_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
    }

    /// None: what waits since `waiting_since` may go now; else when.
    #[must_use]
    pub fn hold(&self, waiting_since: Instant, now: Instant) -> Option<Instant> {
        let free = self.way_out.epoch + Duration::from_nanos(self.way_out.busy_until.load(Ordering::Relaxed));
        let latest = waiting_since + self.limit;
        let full = free.checked_sub(self.way_out.burst)? > now && latest > now;
        full.then(|| free.min(latest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn what_exceeds_the_rate_waits_but_not_beyond_the_limit() {
        let now = Instant::now() + Duration::from_secs(1);
        let mut pacing = Pacing::new(WayOut::new(8, 1), ms(8));
        assert_eq!(pacing.hold(now, now), None);
        pacing.sent(4000, now);
        assert_eq!(pacing.hold(now, now), Some(now + ms(4)));
        assert_eq!(pacing.hold(now, now + ms(3)), None);
        pacing.sent(400_000, now);
        assert_eq!(pacing.hold(now, now), Some(now + ms(8)));
        assert_eq!(pacing.hold(now, now + ms(8)), None);
    }

    #[test]
    fn threads_share_the_rate_whoever_sends() {
        let now = Instant::now() + Duration::from_secs(1);
        let way_out = WayOut::new(8, 2);
        let [mut busy, idle] = [(); 2].map(|()| Pacing::new(way_out.clone(), ms(8)));
        busy.sent(2000, now);
        assert_eq!([&busy, &idle].map(|each| each.hold(now, now)), [None; 2], "two milliseconds for two threads");
        busy.sent(2000, now);
        assert_eq!([&busy, &idle].map(|each| each.hold(now, now)), [Some(now + ms(4)); 2]);
        assert_eq!(idle.hold(now, now + ms(2)), None);
    }

    #[test]
    fn little_by_little_counts_as_much_as_at_once() {
        let now = Instant::now() + Duration::from_secs(1);
        let mut pacing = Pacing::new(WayOut::new(8, 1), ms(8));
        for _ in 0..40 {
            pacing.sent(100, now);
        }
        let until = pacing.hold(now, now).expect("as much as four milliseconds take");
        assert!(until > now + ms(3) && until <= now + ms(4), "{:?}", until - now);
    }
}
