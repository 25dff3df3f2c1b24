//! The round trip to a peer, from whatever shows it: answered checks, answered NACKs.

use std::time::Duration;

/// While nothing has shown it.
const UNKNOWN: Duration = Duration::from_millis(100);
/// Above this it is not a path but a confused peer.
const LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub struct RoundTrip(Option<Duration>);

impl RoundTrip {
    /// Falls quickly and rises slowly: what was late was held up by more than the path.
    pub fn sample(&mut self, measured: Duration) {
        if measured >= LIMIT {
            return;
        }
        self.0 = Some(match self.0 {
            None => measured,
            Some(known) if measured < known => (known + measured) / 2,
            Some(known) => (known * 7 + measured) / 8,
        });
    }

    #[must_use]
    pub fn known(&self) -> Option<Duration> {
        self.0
    }

    #[must_use]
    pub fn or_default(&self) -> Duration {
        self.0.unwrap_or(UNKNOWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_falls_quickly_rises_slowly_and_takes_no_nonsense() {
        let ms = Duration::from_millis;
        let mut round_trip = RoundTrip::default();
        assert_eq!((round_trip.known(), round_trip.or_default()), (None, UNKNOWN));
        for (measured, known) in [(400, 400), (100, 250), (100, 175), (335, 195), (6000, 195)] {
            round_trip.sample(ms(measured));
            assert_eq!(round_trip.known(), Some(ms(known)), "{measured}");
        }
    }
}
