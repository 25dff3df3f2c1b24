//! How sessions end: asked to, with their stream, with the process, by a mistake of ours.

use std::time::Instant;

use super::{Fact, Node, SessionId};
use crate::border::ViewerId;
use crate::session::{CloseReason, Session};
use crate::tcp;

impl Node {
    /// End a session and tell the peer. False: there is none.
    pub fn close(&mut self, id: SessionId, now: Instant) -> bool {
        if self.pulls.remove(&id).is_some() {
            self.directory.gone(id);
            self.ended.push(id);
            return true;
        }
        if self.close_leg(id, now) {
            return true;
        }
        self.end_legs(id, CloseReason::PeerClosed, now);
        if self.forget_opening(id) {
            return true;
        }
        let known = self.sessions.contains_key(&id);
        self.goodbye(id, now);
        known
    }

    /// End all sessions of a stream.
    pub fn drop_stream(&mut self, stream: &str, now: Instant) {
        let of_stream = self.sessions.iter().filter(|(_, entry)| &*entry.stream == stream);
        let ids: Vec<SessionId> = of_stream.map(|(id, _)| *id).collect();
        let pulls = self.pulls.iter().filter(|(_, pull)| &*pull.stream == stream).map(|(id, _)| *id);
        let legs = self.legs.iter().filter(|(_, leg)| &*leg.stream == stream).map(|(id, _)| *id);
        for id in pulls.chain(legs).chain(ids).collect::<Vec<_>>() {
            self.close(id, now);
        }
    }

    /// End everything, with an event for each.
    pub fn shut_down(&mut self, now: Instant) {
        let ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        for id in ids.into_iter().chain(self.opening.keys().copied().collect::<Vec<_>>()) {
            self.end_legs(id, CloseReason::Shutdown, now);
            self.tell(id, Fact::Closed(CloseReason::Shutdown));
            self.forget_opening(id);
            self.goodbye(id, now);
        }
        for (id, _) in self.pulls.drain() {
            self.directory.gone(id);
        }
    }

    pub(super) fn goodbye(&mut self, id: SessionId, now: Instant) {
        self.part(id, now);
        self.settle(now);
    }

    fn part(&mut self, id: SessionId, now: Instant) {
        // The forwarder's BYE first: after DTLS is closed nobody listens.
        if let Some(viewer) = self.sessions.get_mut(&id).and_then(|entry| entry.viewer.take()) {
            self.leave_forwarder((Some(viewer), None), true, now);
        }
        self.turn(id, now, Session::close);
        self.remove(id, now, false);
    }

    /// End the session of a viewer that has nothing to expect any more.
    pub(super) fn end_viewer(&mut self, viewer: ViewerId, reason: CloseReason, now: Instant) {
        if let Some(id) = self.by_viewer.get(&viewer).copied() {
            if self.legs.contains_key(&id) {
                self.end_leg(id, reason, now);
                return;
            }
            self.tell(id, Fact::Closed(reason));
            self.part(id, now);
        }
    }

    pub(super) fn remove(&mut self, id: SessionId, now: Instant, say_bye: bool) {
        let Some(entry) = self.sessions.remove(&id) else { return };
        self.traces.session_ended(id, now);
        self.timers.remove(&(entry.deadline, id));
        for ufrag in entry.session.local_ufrags() {
            self.by_ufrag.remove(ufrag);
            self.directory.forget_ufrag(ufrag);
        }
        for address in &entry.addresses {
            self.forget_address(*address, id);
        }
        self.hang_ups.extend(entry.addresses.iter().filter(|address| tcp::number(**address).is_some()));
        self.leave_forwarder((entry.viewer, entry.source), say_bye, now);
        self.directory.gone(id);
        self.ended.push(id);
    }
}
