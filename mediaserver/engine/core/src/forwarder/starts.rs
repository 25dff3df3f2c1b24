//! Viewers that begin, or begin again: from the stream's log where that reaches far enough, else with the next key frame.

use std::time::{Duration, Instant};

use super::Forwarder;
use crate::border::ViewerId;
use crate::replay::{self, Backlog};
use crate::slots::Id;
use crate::viewer::Restart;

/// A running viewer's wish is answered from the log when the key frame is not older than this: it has most of it already.
const FRESH_ENOUGH: Duration = Duration::from_secs(1);

impl Forwarder {
    /// Have a viewer go on from the newest key frame if that is near enough; if not, ask the source for one.
    pub(super) fn restart(&mut self, id: ViewerId, restart: Restart, now: Instant) {
        let Some(viewer) = self.viewers.get(id.0).filter(|viewer| viewer.wants_video()) else { return };
        let stream = viewer.stream;
        if restart == Restart::Join && (viewer.destination.is_none() || viewer.plays_video()) {
            return;
        }
        if !self.replay(id, restart, now) {
            self.want_key_frame(stream, now);
        }
    }

    fn replay(&mut self, id: ViewerId, restart: Restart, now: Instant) -> bool {
        let Some((backlog, resumes)) = self.backlog(id, restart, now) else { return false };
        let Some(speed) = self.replay_share.take(&backlog, now) else { return false };
        let Some(viewer) = self.viewers.get_mut(id.0) else { return false };
        viewer.start_replay(&backlog, speed, resumes, now);
        if !viewer.queued {
            viewer.queued = true;
            self.queue.push_back(id);
        }
        true
    }

    /// What the viewer would have to catch up with, and whether it can begin there without a key frame.
    fn backlog(&self, id: ViewerId, restart: Restart, now: Instant) -> Option<(Backlog, bool)> {
        let viewer = self.viewers.get(id.0)?;
        let stream = self.streams.get(viewer.stream)?;
        let (position, resumes) = viewer.restart_at(restart, stream.newest_key_frame(), now)?;
        let longest = if restart == Restart::Asked { FRESH_ENOUGH } else { replay::LONGEST };
        let backlog = stream.backlog(position, now).filter(|backlog| backlog.is_within(longest))?;
        viewer.can_play(stream.burst(position)?).then_some((backlog, resumes))
    }

    /// A key frame, within the stream's budget.
    pub(super) fn want_key_frame(&mut self, stream: Id, now: Instant) {
        let Some(entry) = self.streams.get_mut(stream) else { return };
        let Some(source) = entry.on_air.and_then(|source| self.sources.get(source.0)) else { return };
        if let Some((owner, _)) = source.mirrors {
            self.wish(stream, owner, now);
            return;
        }
        entry.want_key_frame(source.next_key_frame(), now);
    }
}
