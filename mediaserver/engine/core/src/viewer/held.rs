//! A viewer whose connection takes no more just now: video waits in the log, audio goes out before it.

use std::net::SocketAddr;

use super::{Outcome, Turn, Viewer};
use crate::negotiation::Kind;
use crate::source::Burst;
use crate::tcp::{self, Lane};

impl Viewer {
    /// Video that was on its way in the connection was too late: none is sent before a key frame.
    pub fn on_cut(&mut self) {
        self.replay = None;
        self.interrupt_video();
        self.stats.cut += 1;
    }

    /// Whether it is reached by a TCP connection.
    #[must_use]
    pub fn is_over_tcp(&self) -> bool {
        self.destination.and_then(tcp::number).is_some()
    }

    /// Whether `burst` waits in the log because the connection takes no video.
    pub(super) fn keeps_back(&self, burst: &Burst) -> bool {
        let goes_out = self.replay.is_none() && (self.plays_video() || burst.starts_key_frame);
        self.held && burst.kind == Kind::Video && goes_out
    }

    /// Whether the burst at the cursor went out before video that waited.
    pub(super) fn has_gone_ahead(&self, burst: &Burst) -> bool {
        burst.kind == Kind::Audio && self.cursor < self.ahead
    }

    /// Audio behind video that is kept back does not wait for it.
    pub(super) fn send_ahead(&mut self, destination: SocketAddr, turn: &mut Turn<'_>, outcome: &mut Outcome) {
        let end = turn.stream.log_end();
        for position in self.ahead.max(self.cursor)..end {
            if let Some(burst) = turn.stream.burst(position).filter(|burst| burst.kind == Kind::Audio) {
                self.send_burst(burst, destination, turn, outcome);
            }
        }
        self.ahead = end;
    }

    /// Of a burst.
    pub(super) fn lane(burst: &Burst) -> Lane {
        match burst.kind {
            Kind::Audio => Lane::Urgent,
            Kind::Video if burst.starts_key_frame => Lane::KeyFrame,
            Kind::Video => Lane::Video,
        }
    }
}
