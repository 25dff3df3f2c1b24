//! What is told of sources, streams and viewers.

use std::time::Instant;

use super::Forwarder;
use crate::border::{SourceId, SourceStats, StreamStats, Totals, ViewerId, ViewerStats};
use crate::stream::Stream;

impl Forwarder {
    #[must_use]
    pub fn viewer_stats(&self, viewer: ViewerId, now: Instant) -> Option<ViewerStats> {
        let viewer = self.viewers.get(viewer.0)?;
        let layer = viewer.layer().and_then(|playing| self.rid_of(playing));
        Some(ViewerStats { layer, ..viewer.stats(now) })
    }

    #[must_use]
    pub fn source_stats(&self, source: SourceId, now: Instant) -> Option<SourceStats> {
        Some(self.sources.get(source.0)?.stats(now))
    }

    #[must_use]
    pub fn stream_stats(&self, now: Instant) -> Vec<StreamStats> {
        self.streams.iter().map(|(_, stream)| self.stats_of(stream, now)).collect()
    }

    fn stats_of(&self, stream: &Stream, now: Instant) -> StreamStats {
        let source = stream.on_air.and_then(|source| self.sources.get(source.0));
        let stats = source.map(|source| source.stats(now)).unwrap_or_default();
        let is_viewer = |id: &&ViewerId| self.viewers.get(id.0).is_some_and(|viewer| !viewer.relay);
        StreamStats {
            stream: stream.name.clone(),
            incarnation: source.map(|source| source.incarnation.clone()),
            source: stream.on_air,
            order: source.map(|source| if source.mirrors.is_some() { 0 } else { source.order }),
            viewers: stream.viewers.iter().filter(is_viewer).count(),
            media_age: stats.media_age,
            gop: stats.gop,
            key_frames: stats.key_frames,
        }
    }

    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals { dropped_bursts: self.mirrors.dropped(), ..self.totals }
    }
}
