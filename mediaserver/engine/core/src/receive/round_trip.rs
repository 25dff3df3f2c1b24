//! The round trip to a peer, from whatever shows it: answered checks, answered NACKs.

use std::time::Duration;

/// While nothing has shown it.
const UNKNOWN: Duration = Duration::from_millis(100);
/// Above this it is not a path but a confused peer.
const LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub struct RoundTrip(Option<Duration>);

impl RoundTrip {
    pub fn sample(&mut self, measured: Duration) {
        if measured < LIMIT {
            self.0 = Some(self.0.map_or(measured, |known| (known * 7 + measured) / 8));
        }
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
