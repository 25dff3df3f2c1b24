//! Mistakes of ours that end in a panic: each ends the session that it is about, or the work that nobody's session stands for, and
//! nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::{Fact, Node, SessionId};
use crate::border::{SourceId, ViewerId};
use crate::session::CloseReason;

impl Node {
    /// Do something for a session. A panic over it is the session's end.
    pub(super) fn guard(&mut self, id: SessionId, now: Instant, work: impl FnOnce(&mut Self)) {
        if catch_unwind(AssertUnwindSafe(|| work(self))).is_err() {
            self.fail(id, now);
        }
    }

    /// Do something where no session is at hand, or none that may be blamed. None: it has panicked, and stays undone.
    pub(super) fn spare<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> Option<T> {
        catch_unwind(AssertUnwindSafe(|| work(self))).ok()
    }

    /// What a session, or a leg, that is over has in the forwarder goes.
    pub(super) fn leave_forwarder(
        &mut self,
        (viewer, source): (Option<ViewerId>, Option<SourceId>),
        say_bye: bool,
        now: Instant,
    ) {
        if let Some(viewer) = viewer {
            self.by_viewer.remove(&viewer);
            self.spare(|node| node.forwarder.remove_viewer(viewer, say_bye, now));
        }
        if let Some(source) = source {
            self.by_source.remove(&source);
            if self.spare(|node| node.forwarder.end_source(source, now)).is_none() {
                self.forwarder.forget_source(source);
            }
        }
    }

    /// A mistake of ours in a session's work ends that session.
    pub(super) fn fail(&mut self, id: SessionId, now: Instant) {
        self.end_legs(id, CloseReason::Failed, now);
        self.tell(id, Fact::Closed(CloseReason::Failed));
        self.remove_leg(id, now, false);
        self.remove(id, now, false);
        // Also of one that was neither here nor there.
        self.directory.gone(id);
    }
}
