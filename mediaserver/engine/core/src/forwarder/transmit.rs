//! Turns of the viewers: sealing into the outbox, and from there to the sockets.

use std::cmp::Reverse;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::Forwarder;
use crate::border::{ForwarderEvent, ViewerId};
use crate::egress::{Egress, Flow};
use crate::timeline;
use crate::viewer::Turn;

impl Forwarder {
    /// Send what waits, viewers in turn, until nothing is left, the socket is full, or the node's rate is used up.
    pub fn poll_transmit(&mut self, now: Instant, egress: &mut dyn Egress) -> Flow {
        self.on_timeout(now);
        if !self.outbox.flush(egress, &mut self.totals) {
            return Flow::Blocked;
        }
        let ntp = timeline::ntp(self.clock, now);
        self.paced_until = None;
        while let Some(&id) = self.queue.front() {
            if let Some(until) = self.hold(id, now) {
                self.paced_until = Some(until);
                break;
            }
            self.queue.pop_front();
            self.take_turn(id, now, ntp);
            if self.outbox.is_full() && !self.outbox.flush(egress, &mut self.totals) {
                return Flow::Blocked;
            }
        }
        match (self.outbox.flush(egress, &mut self.totals), self.paced_until) {
            (false, _) => Flow::Blocked,
            (true, Some(_)) => Flow::Paced,
            (true, None) => Flow::Idle,
        }
    }

    /// Until when the rate keeps this viewer's burst back.
    fn hold(&self, id: ViewerId, now: Instant) -> Option<Instant> {
        let viewer = self.viewers.get(id.0)?;
        let since = viewer.waiting_since(self.streams.get(viewer.stream)?)?;
        self.pacing.hold(since, now)
    }

    fn take_turn(&mut self, id: ViewerId, now: Instant, ntp: u64) {
        let Some(viewer) = self.viewers.get_mut(id.0) else { return };
        viewer.queued = false;
        let Some(stream) = self.streams.get(viewer.stream) else { return };
        let before = self.outbox.bytes.len();
        let (outbox, config) = (&mut self.outbox, &self.config);
        let mut turn = Turn { id, stream, sources: &self.sources, outbox, config, now, ntp };
        // What it has written but not committed leaves with nobody.
        let Ok(outcome) = catch_unwind(AssertUnwindSafe(|| viewer.turn(&mut turn))) else {
            viewer.destination = None;
            self.events.push_back(ForwarderEvent::Broken { viewer: id });
            return;
        };
        self.pacing.sent(self.outbox.bytes.len() - before, now);
        if outcome.more {
            viewer.queued = true;
            self.queue.push_back(id);
        }
        if let Some(next) = viewer.next_timer().filter(|next| viewer.timed_for.is_none_or(|timed| *next < timed)) {
            viewer.timed_for = Some(next);
            self.wake_times.push(Reverse((next, id)));
        }
        let stream = viewer.stream;
        if let Some(hopeless) = outcome.hopeless {
            self.give_up(id, hopeless);
        }
        if let Some(restart) = outcome.restart {
            self.restart(id, restart, now);
        } else if outcome.wants_key_frame {
            self.want_key_frame(stream, now);
        }
    }
}
