//! Turns of the viewers: sealing into the outbox, and from there to the sockets.

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::time::Instant;

use super::Forwarder;
use crate::border::ViewerId;
use crate::egress::{Egress, Flow};
use crate::tcp;
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
            let connection = self.connection_of(id);
            self.take_turn(id, (now, ntp), connection.is_some_and(|connection| egress.is_behind(connection)));
            // Whether a connection can take more is known only after it has taken this.
            let full = self.outbox.is_full() || connection.is_some();
            if full && !self.outbox.flush(egress, &mut self.totals) {
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

    fn connection_of(&self, id: ViewerId) -> Option<SocketAddr> {
        self.viewers.get(id.0)?.destination.filter(|destination| tcp::number(*destination).is_some())
    }

    /// The viewer's connection takes video again.
    pub fn on_writable(&mut self, viewer: ViewerId) {
        if let Some(entry) = self.viewers.get_mut(viewer.0).filter(|entry| !entry.queued) {
            entry.queued = true;
            self.queue.push_back(viewer);
        }
    }

    /// What the viewer's connection had not taken in time was dropped.
    pub fn on_cut(&mut self, viewer: ViewerId, now: Instant) {
        let Some(entry) = self.viewers.get_mut(viewer.0) else { return };
        entry.on_cut();
        let stream = entry.stream;
        self.want_key_frame(stream, now);
    }

    fn take_turn(&mut self, id: ViewerId, (now, ntp): (Instant, u64), behind: bool) {
        let Some(viewer) = self.viewers.get_mut(id.0) else { return };
        viewer.queued = false;
        let Some(stream) = self.streams.get(viewer.stream) else { return };
        let before = self.outbox.bytes.len();
        let (outbox, config) = (&mut self.outbox, &self.config);
        let outcome = viewer.turn(&mut Turn { id, stream, sources: &self.sources, outbox, config, now, ntp, behind });
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
