//! When a viewer gets sender reports: with the first packet, every 0.2 s for a second, then each second.

use std::time::{Duration, Instant};

const QUICK: Duration = Duration::from_millis(200);
const QUICK_REPORTS: u8 = 5;
const STEADY: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct ReportSchedule {
    next: Option<Instant>,
    quick: u8,
}

impl ReportSchedule {
    /// A track begins, or goes on with another source.
    pub fn restart(&mut self, now: Instant) {
        self.next = Some(now);
        self.quick = QUICK_REPORTS;
    }

    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        self.next.is_some_and(|next| next <= now)
    }

    pub fn sent(&mut self, now: Instant) {
        self.next = Some(now + if self.quick > 0 { QUICK } else { STEADY });
        self.quick = self.quick.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_come_quickly_at_first() {
        let start = Instant::now();
        let mut schedule = ReportSchedule::default();
        assert!(!schedule.is_due(start));
        schedule.restart(start);
        let mut sent = vec![];
        for ms in (0..4000).step_by(100) {
            let now = start + Duration::from_millis(ms);
            if schedule.is_due(now) {
                schedule.sent(now);
                sent.push(ms);
            }
        }
        assert_eq!(sent, [0, 200, 400, 600, 800, 1000, 2000, 3000]);
    }
}
