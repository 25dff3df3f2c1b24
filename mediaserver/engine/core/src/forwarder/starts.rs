//! Viewers that begin, or begin again: from the stream's log where that reaches far enough, else with the next key frame.

use std::time::{Duration, Instant};

use super::Forwarder;
use crate::border::ViewerId;
use crate::negotiation::Kind;
use crate::replay::{self, Backlog};
use crate::slots::Id;
use crate::source::Source;
use crate::viewer::{Restart, Why};

/// A running viewer's wish is answered from the log when the key frame is not older than this: it has most of it already.
const FRESH_ENOUGH: Duration = Duration::from_secs(1);
/// A layer to which only the path leads is not begun with more of a burst than this; nor does a viewer on a connection go on so.
const BARELY_PAST: Duration = Duration::from_millis(100);

impl Forwarder {
    /// Have a viewer go on from the newest key frame if that is near enough; if not, ask the source for one.
    pub(super) fn restart(&mut self, id: ViewerId, restart: Restart, now: Instant) {
        if restart == Restart::Join {
            self.choose_first_layer(id, now);
        }
        let Some(viewer) = self.viewers.get(id.0).filter(|viewer| viewer.wants_video()) else { return };
        let stream = viewer.stream;
        if restart == Restart::Join && (viewer.destination.is_none() || viewer.plays_video()) {
            return;
        }
        if viewer.has_rids() {
            if restart == Restart::Join {
                self.start_layers(id, now);
            }
            return;
        }
        let track = self.track_of(id, restart);
        self.look_at_layers_soon(stream, now);
        if !self.replay(id, restart, now) {
            self.want_key_frame(stream, track, now);
        }
    }

    fn choose_first_layer(&mut self, id: ViewerId, now: Instant) {
        let Some(viewer) = self.viewers.get_mut(id.0) else { return };
        let Some(on_air) = self.streams.get(viewer.stream).and_then(|stream| stream.on_air) else { return };
        if let Some(source) = self.sources.get(on_air.0) {
            let before = viewer.layer();
            let _ = viewer.review_layers(on_air, source, now);
            self.tell_layer(id, before);
        }
    }

    /// The track of the source on air with which the viewer goes on; None: there is only one.
    fn track_of(&self, id: ViewerId, restart: Restart) -> Option<usize> {
        if let Restart::Switch(switch) = restart {
            return Some(switch.track);
        }
        self.viewers.get(id.0)?.layer().map(|playing| playing.track)
    }

    fn replay(&mut self, id: ViewerId, restart: Restart, now: Instant) -> bool {
        let Some((backlog, resumes)) = self.backlog(id, restart, now) else { return false };
        self.begin_replay(id, backlog, resumes, now)
    }

    fn begin_replay(&mut self, id: ViewerId, backlog: Backlog, resumes: bool, now: Instant) -> bool {
        let Some(speed) = self.config.way_out.replays.take(&backlog, now) else { return false };
        let Some(viewer) = self.viewers.get_mut(id.0) else { return false };
        viewer.start_replay(backlog, speed, resumes, now);
        self.turns.push(id);
        true
    }

    /// Have another node, which gets each layer apart, go on from the newest key frame of each that is near enough; ask for the others.
    fn start_layers(&mut self, id: ViewerId, now: Instant) {
        let Some(viewer) = self.viewers.get(id.0) else { return };
        let Some(stream) = self.streams.get(viewer.stream) else { return };
        let on_air = stream.on_air.and_then(|source| Some((source, self.sources.get(source.0)?)));
        let Some((source, entry)) = on_air else { return };
        let backlog_of = |track: usize| {
            let position = stream.newest_key_frame(Some(track))?;
            let backlog = stream.backlog(position, now).filter(|backlog| backlog.is_within(replay::LONGEST))?;
            viewer.can_play(stream.burst(position)?).then_some(backlog)
        };
        let name = viewer.stream;
        let layers: Vec<(usize, Option<Backlog>)> =
            viewer.layers_in_use(source, entry).into_iter().map(|track| (track, backlog_of(track))).collect();
        let backlog = layers.iter().filter_map(|(_, backlog)| backlog.clone()).reduce(Backlog::and);
        let begun = backlog.is_some_and(|backlog| self.begin_replay(id, backlog, false, now));
        for (track, _) in layers.into_iter().filter(|(_, backlog)| backlog.is_none() || !begun) {
            self.want_key_frame(name, Some(track), now);
        }
    }

    /// What the viewer would have to catch up with, and whether it can begin there without a key frame.
    fn backlog(&self, id: ViewerId, restart: Restart, now: Instant) -> Option<(Backlog, bool)> {
        let viewer = self.viewers.get(id.0)?;
        let stream = self.streams.get(viewer.stream)?;
        let key = stream.newest_key_frame(self.track_of(id, restart));
        let (position, resumes) = viewer.restart_at(restart, key, now)?;
        let longest = match restart {
            // What a connection was late with it would be late with again.
            Restart::Asked | Restart::Cut(_) if viewer.is_over_tcp() => BARELY_PAST,
            Restart::Switch(switch) if switch.why != Why::Wanted => BARELY_PAST,
            Restart::Asked | Restart::Switch(_) => FRESH_ENOUGH,
            Restart::Join | Restart::Cut(_) => replay::LONGEST,
        };
        let backlog = stream.backlog(position, now).filter(|backlog| backlog.is_within(longest))?;
        viewer.can_play(stream.burst(position)?).then_some((backlog, resumes))
    }

    /// A key frame of `track` (None: of the only one, or of the best layer) within the stream's budget.
    pub(super) fn want_key_frame(&mut self, stream: Id, track: Option<usize>, now: Instant) {
        let Some(entry) = self.streams.get_mut(stream) else { return };
        let Some(source) = entry.on_air.and_then(|source| self.sources.get(source.0)) else { return };
        let Some(track) = track.filter(|track| answers(source, *track)).or_else(|| first_video(source)) else { return };
        if let Some(remote) = source.mirrors {
            self.wish(stream, remote, track, now);
            return;
        }
        entry.want_key_frame(track, source.next_key_frame(track), now);
    }
}

/// Whether the source can be asked for key frames of `track`.
pub(super) fn answers(source: &Source, track: usize) -> bool {
    source.tracks.get(track).is_some_and(|track| track.spec.kind == Kind::Video && track.spec.pli)
}

fn first_video(source: &Source) -> Option<usize> {
    let best = source.layers().last().copied();
    best.into_iter().chain(0..source.tracks.len()).find(|track| answers(source, *track))
}
