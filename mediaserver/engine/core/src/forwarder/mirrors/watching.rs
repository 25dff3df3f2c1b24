//! The watching side of mirrors, and what the others say: words taken one by one, in order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Begun, Mirrors, Outlet, Remote, StreamWord, begun};
use crate::border::{SourceId, StreamKey, TrackSpec};
use crate::forwarder::{Forwarder, ordinal};
use crate::inboxes::{Inboxes, ThreadNumber};
use crate::replay;
use crate::slots::Id;
use crate::source::{Burst, Source, SourceTrack};
use crate::stream::Stream;
use crate::timeline::Timeline;
use crate::viewer::Restart;

/// A mirror repeats a wish for a key frame that does not come.
const WISH_SPACING: Duration = Duration::from_millis(250);

impl Forwarder {
    /// Connected to the forwarders of the node's other threads; all have one clock.
    #[must_use]
    pub fn linked(self, inboxes: Inboxes<StreamWord>) -> Self {
        Self { mirrors: Mirrors::new(inboxes), ..self }
    }

    /// Take what the other threads have said.
    pub fn on_words(&mut self, now: Instant) {
        for word in self.mirrors.inboxes.take() {
            match word {
                StreamWord::Watch { by, stream } => self.on_watch(by, stream, now),
                StreamWord::Unwatch { by, stream } => self.on_unwatch(by, &stream),
                StreamWord::Begun(begun) => self.on_begun(&begun, now),
                StreamWord::Burst { source, burst, timeline } => self.on_mirrored(source, &burst, &timeline, now),
                StreamWord::Ended { source } => self.end_mirror(source, now),
                StreamWord::Tracks { source, tracks } => self.on_tracks(source, tracks, now),
                StreamWord::WantKeyFrame { source, track } => self.on_wish(source, track, now),
                StreamWord::Uses { by, source, tracks } => self.on_uses(by, source, tracks, now),
            }
        }
    }

    /// When the source was started, as all threads of the node count.
    #[must_use]
    pub fn order_of(&self, source: SourceId) -> Option<u64> {
        self.sources.get(source.0).map(|source| source.order)
    }

    /// A source that was started on another thread keeps its place.
    pub fn set_order(&mut self, source: SourceId, order: Option<u64>) {
        if let (Some(source), Some(order)) = (self.sources.get_mut(source.0), order) {
            source.order = order;
        }
    }

    /// Threads to be woken, as bits.
    pub fn take_wakes(&mut self) -> u64 {
        self.mirrors.take_wakes()
    }

    /// The stream has its first viewer here.
    pub(in crate::forwarder) fn watch(&mut self, stream: &StreamKey) {
        let by = self.mirrors.me();
        self.mirrors.tell_others(|| StreamWord::Watch { by, stream: stream.clone() });
    }

    /// It has lost its last.
    pub(in crate::forwarder) fn unwatch(&mut self, stream: Id, now: Instant) {
        let Some(entry) = self.streams.get(stream) else { return };
        let (by, name) = (self.mirrors.me(), entry.name.clone());
        self.mirrors.tell_others(|| StreamWord::Unwatch { by, stream: name.clone() });
        let remotes = entry.sources.iter().filter_map(|id| self.sources.get(id.0)?.mirrors);
        for remote in remotes.collect::<Vec<_>>() {
            self.end_mirror(remote, now);
        }
    }

    /// Whoever mirrors the source is told of its end; a mirror is no more.
    pub(in crate::forwarder) fn end_mirroring(&mut self, id: SourceId, source: &Source) {
        match source.mirrors {
            Some(remote) => {
                self.mirrors.here.remove(&remote);
                self.mirrors.told_uses.remove(&id);
            }
            None => self.mirrors.end(id),
        }
    }

    /// Ask the source's thread for a key frame of `track`.
    pub(in crate::forwarder) fn wish(&mut self, stream: Id, remote: Remote, track: usize, now: Instant) {
        let Some(stream) = self.streams.get_mut(stream) else { return };
        let lately = |(of, at): &(usize, Instant)| *of == track && now.saturating_duration_since(*at) < WISH_SPACING;
        if !stream.wished.iter().any(lately) {
            stream.wished.retain(|(of, _)| *of != track);
            stream.wished.push((track, now));
            self.mirrors.inboxes.tell(remote.0, StreamWord::WantKeyFrame { source: remote.1, track });
        }
    }

    fn on_watch(&mut self, by: ThreadNumber, name: StreamKey, now: Instant) {
        let sources = self.find(&name).map(|stream| stream.sources.clone()).unwrap_or_default();
        for id in sources {
            self.show(id, by, &name, now);
        }
        let watchers = self.mirrors.watchers.entry(name).or_default();
        if !watchers.contains(&by) {
            watchers.push(by);
        }
    }

    /// A source of ours that has begun already, to a thread that begins to watch.
    fn show(&mut self, id: SourceId, to: ThreadNumber, name: &StreamKey, now: Instant) {
        let Some(source) = self.sources.get(id.0).filter(|source| source.mirrors.is_none()) else { return };
        if source.last_packet.is_none() {
            return;
        }
        let backlog = self.streams.get(source.stream).map(|stream| recent(stream, id, now)).unwrap_or_default();
        let begun = begun((self.mirrors.me(), id), source, name, backlog);
        self.mirrors.inboxes.tell(to, StreamWord::Begun(Box::new(begun)));
        self.mirrors.outlets.insert((id, to), Outlet::Open);
    }

    fn on_unwatch(&mut self, by: ThreadNumber, name: &StreamKey) {
        if let Some(watchers) = self.mirrors.watchers.get_mut(name) {
            watchers.retain(|other| *other != by);
            if watchers.is_empty() {
                self.mirrors.watchers.remove(name);
            }
        }
        for id in self.find(name).map(|stream| stream.sources.clone()).unwrap_or_default() {
            self.mirrors.outlets.remove(&(id, by));
            self.mirrors.uses.remove(&(id, by));
        }
    }

    fn on_begun(&mut self, begun: &Begun, now: Instant) {
        self.end_mirror(begun.source, now);
        // Said before it heard that nobody watches here any more.
        if self.find(&begun.stream).is_none_or(|stream| stream.viewers.is_empty()) {
            return;
        }
        let stream = self.stream(&begun.stream);
        let specs: Vec<TrackSpec> = begun.tracks.iter().map(|track| track.spec.clone()).collect();
        let tracks = begun.tracks.iter().enumerate().map(|(at, shown)| {
            let history = self.history(shown.spec.kind);
            SourceTrack::new(shown.spec.clone(), ordinal(&specs, at), history, Duration::ZERO).shown(shown.paused)
        });
        let mut source = Source::new(stream, &begun.incarnation, begun.order, tracks.collect());
        source.mirrors = Some(begun.source);
        source.layers_due = Some(now);
        source.timeline = (*begun.timeline).clone();
        let id = SourceId(self.sources.insert(source));
        self.mirrors.here.insert(begun.source, id);
        if let Some(stream) = self.streams.get_mut(stream) {
            stream.sources.push(id);
        }
        if !begun.backlog.is_empty() {
            self.catch_up(id, stream, begun, now);
        }
    }

    /// What the source has sent already: nobody is sent it as it is, but viewers may start with it.
    fn catch_up(&mut self, id: SourceId, stream: Id, begun: &Begun, now: Instant) {
        if !self.take_over(id) {
            return;
        }
        let keep = self.config.late_limit * 2;
        let Some(source) = self.sources.get_mut(id.0) else { return };
        let Some(entry) = self.streams.get_mut(stream) else { return };
        for burst in &begun.backlog {
            entry.push(source.mirror(id, burst, &begun.timeline), keep);
        }
        let (viewers, end) = (entry.viewers.clone(), entry.log_end());
        for viewer in &viewers {
            if let Some(viewer) = self.viewers.get_mut(viewer.0) {
                viewer.skip_to(end);
            }
        }
        for viewer in viewers {
            self.restart(viewer, Restart::Join, now);
        }
    }

    fn on_mirrored(&mut self, remote: Remote, burst: &Burst, timeline: &Timeline, now: Instant) {
        let Some(&id) = self.mirrors.here.get(&remote) else { return };
        let Some(source) = self.sources.get_mut(id.0) else { return };
        let burst = source.mirror(id, burst, timeline);
        self.bursts.push(burst);
        self.go_on_air(id, now);
        self.distribute();
    }

    fn end_mirror(&mut self, remote: Remote, now: Instant) {
        if let Some(id) = self.mirrors.here.get(&remote).copied() {
            self.end_source(id, now);
        }
    }
}

/// The bursts of a source from its newest key frame on, if a viewer may start there.
fn recent(stream: &Stream, source: SourceId, now: Instant) -> Vec<Arc<Burst>> {
    let near = |key: &u64| stream.backlog(*key, now).is_some_and(|backlog| backlog.is_within(replay::LONGEST));
    // The first of the layers' newest key frames: from there on each has one.
    let Some(key) = stream.newest_key_frames(source).filter(near).min() else { return Vec::new() };
    let bursts = || (key..stream.log_end()).filter_map(|at| stream.burst(at));
    // While another was on air it was not logged: there it has a gap.
    if bursts().any(|burst| burst.source != source) {
        return Vec::new();
    }
    bursts().map(|burst| Arc::new(burst.clone())).collect()
}
