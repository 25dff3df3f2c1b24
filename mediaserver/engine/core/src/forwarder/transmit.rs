//! Turns of the viewers: sealing into the outbox, and from there to the sockets.

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::Forwarder;
use crate::border::ViewerId;
use crate::egress::{Egress, Flow};
use crate::tcp;
use crate::timeline;
use crate::viewer::{Hopeless, Outcome, Turn, Viewer};

/// How many turns before a viewer's own it is fetched from memory: itself, then its keys, then where its next numbers are marked. What the
/// kernel does between turns leaves little of it in the caches.
const FETCHED_BEFORE: [usize; 3] = [7, 4, 2];

impl Forwarder {
    /// Send what waits, viewers in turn, until nothing is left, the socket is full, or the node's rate is used up.
    pub fn poll_transmit(&mut self, now: Instant, egress: &mut dyn Egress) -> Flow {
        self.on_timeout(now);
        if !self.outbox.flush(egress, &mut self.totals) {
            return Flow::Blocked;
        }
        let ntp = timeline::ntp(self.clock, now);
        self.paced_until = None;
        while let Some(id) = self.turns.after(0) {
            if let Some(until) = self.hold(id, now) {
                self.paced_until = Some(until);
                break;
            }
            self.turns.pop();
            self.fetch_ahead();
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

    /// Have what the next turns read on its way from memory.
    fn fetch_ahead(&self) {
        let [viewer, keys, marks] = FETCHED_BEFORE.map(|turns| self.turns.after(turns - 1));
        if let Some(id) = viewer {
            self.viewers.prefetch(id.0);
        }
        if let Some(viewer) = keys.and_then(|id| self.viewers.get(id.0)) {
            viewer.prefetch_keys();
        }
        if let Some(viewer) = marks.and_then(|id| self.viewers.get(id.0)) {
            viewer.prefetch_marks();
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
        self.turns.push(viewer);
    }

    /// What the viewer's connection had not taken in time was dropped.
    pub fn on_cut(&mut self, viewer: ViewerId, now: Instant) {
        let Some(entry) = self.viewers.get_mut(viewer.0) else { return };
        entry.on_cut();
        let stream = entry.stream;
        let track = entry.layer().map(|playing| playing.track);
        self.want_key_frame(stream, track, now);
    }

    fn take_turn(&mut self, id: ViewerId, (now, ntp): (Instant, u64), behind: bool) {
        let layer = self.viewers.get(id.0).and_then(Viewer::layer);
        let before = self.outbox.bytes.len();
        let turn = |viewer: &mut Viewer, turn: &mut Turn<'_>| {
            turn.behind = behind;
            viewer.turn(turn)
        };
        let Some(outcome) = self.serve(id, now, ntp, turn) else { return };
        let Some(viewer) = self.viewers.get_mut(id.0) else { return };
        self.pacing.sent(self.outbox.bytes.len() - before, now);
        if outcome.more {
            self.turns.push(id);
        }
        if let Some(next) = viewer.next_timer().filter(|next| viewer.timed_for.is_none_or(|timed| *next < timed)) {
            viewer.timed_for = Some(next);
            self.wake_times.push(Reverse((next, id)));
        }
        let stream = viewer.stream;
        if let Some(hopeless) = outcome.hopeless {
            self.give_up(id, hopeless);
        }
        self.tell_layer(id, layer);
        if let Some(restart) = outcome.restart {
            self.restart(id, restart, now);
        } else if outcome.wants_key_frame.is_some() {
            self.want_key_frame(stream, outcome.wants_key_frame, now);
        }
    }

    /// Let a viewer do something. A panic over it is its end, and nobody else's.
    pub(super) fn serve(
        &mut self,
        id: ViewerId,
        now: Instant,
        ntp: u64,
        action: impl FnOnce(&mut Viewer, &mut Turn<'_>) -> Outcome,
    ) -> Option<Outcome> {
        let viewer = self.viewers.get_mut(id.0)?;
        let stream = self.streams.get(viewer.stream)?;
        let (outbox, config) = (&mut self.outbox, &self.config);
        let mut turn = Turn { id, stream, sources: &self.sources, outbox, config, now, ntp, behind: false };
        let outcome = catch_unwind(AssertUnwindSafe(|| action(viewer, &mut turn))).ok();
        if outcome.is_none() {
            self.outbox.drop_begun();
            self.give_up(id, Hopeless::Failed);
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use crate::border::ForwarderEvent;
    use crate::forwarder::testing::{VIDEO_SSRC, World, browser};
    use crate::srtp::SrtpProfile;

    #[test]
    fn a_panic_over_one_viewer_is_its_end_and_the_others_play_on() {
        let mut world = World::new(1);
        let mut publication = world.publish(100, 0);
        let [unlucky, other] = [0, 1].map(|_| world.join(browser(true), SrtpProfile::AeadAes128Gcm));
        world.play(&mut publication, 3, 30);
        world.events();
        let before = world.player(other).numbers(VIDEO_SSRC).len();
        let outcome = world.forwarder.serve(unlucky, world.now, 0, |_, turn| {
            turn.outbox.bytes.extend([9; 50]);
            panic!("a test's own panic");
        });
        assert_eq!((outcome, world.events()), (None, vec![ForwarderEvent::Failed { viewer: unlucky }]));
        world.forwarder.remove_viewer(unlucky, true, world.now);
        world.play(&mut publication, 2, 30);
        assert_eq!(world.player(other).numbers(VIDEO_SSRC).len(), before + 8, "and all of it is authentic");
    }
}
