//! Layers over threads: a mirror knows of them what the source's thread knows, and that thread which of them are watched here.

use std::time::Instant;

use super::{Mirrors, Outlet, Remote, ShownTrack, StreamWord, shown};
use crate::border::SourceId;
use crate::forwarder::Forwarder;
use crate::inboxes::ThreadNumber;
use crate::source::Source;

impl Mirrors {
    /// Tracks of `source` that are watched on other threads.
    pub fn used(&self, source: SourceId) -> impl Iterator<Item = usize> + '_ {
        self.uses.iter().filter(move |((of, _), _)| *of == source).flat_map(|(_, tracks)| tracks.iter().copied())
    }

    /// What the tracks are has changed: who mirrors the source is told.
    fn show_tracks(&mut self, id: SourceId, source: &Source) {
        for to in self.inboxes.others() {
            if self.outlets.get(&(id, to)) == Some(&Outlet::Open) {
                let tracks = shown(source);
                self.inboxes.tell(to, StreamWord::Tracks { source: (self.inboxes.me(), id), tracks });
            }
        }
    }

    /// Which layers of a mirror are watched here, where that is news.
    fn tell_uses(&mut self, id: SourceId, remote: Remote, tracks: Vec<usize>) {
        if self.told_uses.get(&id) != Some(&tracks) {
            self.told_uses.insert(id, tracks.clone());
            self.inboxes.tell(remote.0, StreamWord::Uses { by: self.inboxes.me(), source: remote.1, tracks });
        }
    }
}

impl Forwarder {
    pub(in crate::forwarder) fn show_tracks(&mut self, id: SourceId) {
        if let Some(source) = self.sources.get(id.0).filter(|source| source.mirrors.is_none()) {
            self.mirrors.show_tracks(id, source);
        }
    }

    pub(in crate::forwarder) fn tell_uses(&mut self, id: SourceId, used: Vec<usize>) {
        if let Some(remote) = self.sources.get(id.0).and_then(|source| source.mirrors) {
            self.mirrors.tell_uses(id, remote, used);
        }
    }

    pub(super) fn on_tracks(&mut self, remote: Remote, tracks: Vec<ShownTrack>, now: Instant) {
        let Some(&id) = self.mirrors.here.get(&remote) else { return };
        let Some(source) = self.sources.get_mut(id.0) else { return };
        for (track, shown) in source.tracks.iter_mut().zip(tracks) {
            (track.spec, track.paused) = (shown.spec, shown.paused);
        }
        let stream = source.stream;
        self.review_all(stream, now);
    }

    pub(super) fn on_uses(&mut self, by: ThreadNumber, source: SourceId, tracks: Vec<usize>, now: Instant) {
        if let Some(entry) = self.sources.get_mut(source.0) {
            entry.look_at_layers(now);
            self.mirrors.uses.insert((source, by), tracks);
        }
    }

    /// Another thread wants a key frame of the source.
    pub(super) fn on_wish(&mut self, source: SourceId, track: usize, now: Instant) {
        let Some(stream) = self.sources.get(source.0).map(|source| source.stream) else { return };
        if self.streams.get(stream).is_some_and(|stream| stream.on_air == Some(source)) {
            self.want_key_frame(stream, Some(track), now);
        }
    }
}
