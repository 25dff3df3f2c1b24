//! Layers of a stream: who gets which, and which of them another node need not send.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Forwarder;
use super::starts::answers;
use crate::border::{ForwarderEvent, LayerRequest, SourceId, ViewerId};
use crate::negotiation::Kind;
use crate::slots::Id;
use crate::source::{Source, SourceTrack};
use crate::viewer::{Playing, Restart};

/// How often it is looked which layers somebody watches.
const LOOK: Duration = Duration::from_millis(100);

impl Forwarder {
    /// The viewer wants the layer named `rid`; None: the best that its path carries. A name that the stream does not have counts
    /// as none.
    pub fn choose_layer(&mut self, viewer: ViewerId, rid: Option<&str>, now: Instant) {
        if let Some(entry) = self.viewers.get_mut(viewer.0) {
            entry.wish_for(rid);
            self.review(viewer, now);
        }
    }

    /// A layer that another node is to send, or not to send any more.
    pub fn poll_layer_request(&mut self) -> Option<LayerRequest> {
        self.layer_requests.pop_front()
    }

    /// Another node wants a key frame of the layer named `rid`.
    pub(super) fn want_layer(&mut self, stream: Id, rid: &str, now: Instant) {
        let on_air = self.streams.get(stream).and_then(|stream| stream.on_air);
        let Some(source) = on_air.and_then(|id| self.sources.get(id.0)) else { return };
        let named = |track: &SourceTrack| track.spec.layer.as_ref().is_some_and(|layer| &*layer.rid == rid);
        let track = source.tracks.iter().position(named);
        self.want_key_frame(stream, track, now);
    }

    /// Something of a track is lost for good; nobody may be watching that layer.
    pub fn on_source_gap(&mut self, source: SourceId, track: usize, now: Instant) {
        let Some(entry) = self.sources.get(source.0) else { return };
        let stream = entry.stream;
        let layered = entry.tracks.get(track).is_some_and(|track| track.spec.layer.is_some());
        if !layered || self.layers_in_use(stream, source).contains(&track) {
            self.want_key_frame(stream, Some(track), now);
        }
    }

    /// Packets of the source on air may have gone elsewhere for a while.
    pub fn on_source_moved(&mut self, stream: &str, now: Instant) {
        let on_air = self.find(stream).and_then(|stream| stream.on_air);
        let Some((id, source)) = on_air.and_then(|id| Some((id, self.sources.get(id.0)?))) else { return };
        let video: Vec<usize> = (0..source.tracks.len()).filter(|track| answers(source, *track)).collect();
        self.hear(id);
        for track in video {
            self.on_source_gap(id, track, now);
        }
    }

    /// Have a viewer's layer thought over, and go over to another where that is due.
    pub(super) fn review(&mut self, id: ViewerId, now: Instant) {
        let Some(viewer) = self.viewers.get_mut(id.0) else { return };
        let Some(on_air) = self.streams.get(viewer.stream).and_then(|stream| stream.on_air) else { return };
        let Some(source) = self.sources.get(on_air.0) else { return };
        let before = viewer.layer();
        let switch = viewer.review_layers(on_air, source, now);
        self.tell_layer(id, before);
        if let Some(switch) = switch {
            self.restart(id, Restart::Switch(switch), now);
        }
    }

    /// Say which layer the viewer gets if that is another than `before`.
    pub(super) fn tell_layer(&mut self, id: ViewerId, before: Option<Playing>) {
        let playing = self.viewers.get(id.0).and_then(crate::viewer::Viewer::layer);
        if playing == before {
            return;
        }
        if let Some(rid) = playing.and_then(|playing| self.rid_of(playing)) {
            self.events.push_back(ForwarderEvent::Layer { viewer: id, rid });
        }
    }

    pub(super) fn rid_of(&self, playing: Playing) -> Option<Arc<str>> {
        let track = self.sources.get(playing.source.0)?.tracks.get(playing.track)?;
        Some(track.spec.layer.as_ref()?.rid.clone())
    }

    /// Whose layer has just stopped looks for another.
    pub(super) fn notice_stopped_layers(&mut self, now: Instant) {
        let mut stopped = Vec::new();
        for id in self.sources.due(now) {
            let Some(source) = self.sources.get_mut(id) else { continue };
            if source.mirrors.is_none() && source.layer_stops(now) {
                stopped.push((SourceId(id), source.stream));
            }
        }
        for (source, stream) in stopped {
            self.tell_tracks(source);
            self.review_all(stream, now);
        }
    }

    /// What layers there are has changed.
    pub(super) fn review_all(&mut self, stream: Id, now: Instant) {
        let viewers = self.streams.get(stream).map(|stream| stream.viewers.clone()).unwrap_or_default();
        for viewer in viewers {
            if let Some(viewer) = self.viewers.get_mut(viewer.0) {
                viewer.review_soon();
            }
            self.review(viewer, now);
        }
    }

    /// Tracks of `source` that somebody watches or is about to.
    fn layers_in_use(&self, stream: Id, source: SourceId) -> Vec<usize> {
        let Some((stream, entry)) = self.streams.get(stream).zip(self.sources.get(source.0)) else { return vec![] };
        let viewers = stream.viewers.iter().filter_map(|viewer| self.viewers.get(viewer.0));
        let here = viewers.flat_map(|viewer| viewer.layers_in_use(source, entry));
        let mut used: Vec<usize> = here.chain(self.mirrors.used(source)).collect();
        used.sort_unstable();
        used.dedup();
        used
    }

    /// Somebody goes over to another layer, which another node may have to send first.
    pub(super) fn look_at_layers_soon(&mut self, stream: Id, now: Instant) {
        let on_air = self.streams.get(stream).and_then(|stream| stream.on_air);
        if let Some(source) = on_air.and_then(|id| self.sources.get_mut(id.0)) {
            source.look_at_layers(now);
        }
    }

    /// Have another node send the layers that somebody watches, and no others; a mirror says so to the source's thread. While nobody watches anything all stays as it is:
    /// the next viewer may be near.
    pub(super) fn ask_for_layers(&mut self, now: Instant) {
        let mut due = Vec::new();
        for id in self.sources.due(now) {
            let Some(source) = self.sources.get_mut(id) else { continue };
            if source.has_layers() && source.layers_due.is_some_and(|at| at <= now) {
                source.layers_due = Some(now + LOOK);
                due.push((SourceId(id), source.stream));
            }
        }
        for (id, stream) in due {
            let used = self.layers_in_use(stream, id);
            if self.sources.get(id.0).is_some_and(|source| source.mirrors.is_some()) {
                self.tell_uses(id, used);
            } else if !used.is_empty() {
                self.ask_for(id, &used, now);
            }
        }
    }

    fn ask_for(&mut self, id: SourceId, used: &[usize], now: Instant) {
        let Some(source) = self.sources.get_mut(id.0) else { return };
        let news = wanted(source, used, now);
        for &(track, wanted) in &news {
            source.tracks[track].want(wanted, now);
            self.layer_requests.push_back(LayerRequest { source: id, track, wanted });
        }
        if !news.is_empty() {
            self.show_tracks(id);
        }
    }
}

/// (track, whether it is wanted) where that is news.
fn wanted(source: &Source, used: &[usize], now: Instant) -> Vec<(usize, bool)> {
    let layers = source.tracks.iter().enumerate().filter(|(_, track)| track.spec.kind == Kind::Video);
    layers
        .filter_map(|(at, track)| {
            track.spec.layer.as_ref()?;
            let wanted = track.is_unknown(now) || used.contains(&at);
            (wanted == track.paused).then_some((at, wanted))
        })
        .collect()
}
