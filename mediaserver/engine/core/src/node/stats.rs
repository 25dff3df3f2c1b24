//! Figures of sessions and streams, gathered when asked.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{Entry, Node, SessionId};
use crate::border::{StreamKey, StreamStats, Totals};
use crate::session::{Media, Role};
use crate::tcp;

/// Of one session since its start.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionStats {
    pub session: SessionId,
    pub role: Role,
    pub stream: StreamKey,
    pub connected: bool,
    pub age: Duration,
    pub remote: Option<SocketAddr>,
    pub over_tcp: bool,
    pub rtt: Option<Duration>,
    pub loss: Option<f64>,
    pub packets: u64,
    pub bytes: u64,
    pub media_age: Option<Duration>,
    pub nacks: u64,
    pub repaired: u64,
    /// Numbers of a source that were asked for and not waited for any longer.
    pub given_up: u64,
    pub plis: u64,
    pub cut: u64,
    pub longest_gap: Duration,
}

#[derive(Debug, Clone)]
pub struct NodeStats {
    pub sessions: Vec<SessionStats>,
    pub streams: Vec<StreamStats>,
    pub totals: Totals,
    pub unknown_datagrams: u64,
    pub pending_handshakes: usize,
}

impl Node {
    #[must_use]
    pub fn stats(&self, now: Instant) -> NodeStats {
        NodeStats {
            sessions: self.sessions.iter().map(|(id, entry)| self.session_stats(*id, entry, now)).collect(),
            streams: self.forwarder.stream_stats(now),
            totals: self.forwarder.totals(),
            unknown_datagrams: self.unknown_datagrams + self.forwarder.totals().rejected,
            pending_handshakes: self.pending_handshakes(),
        }
    }

    fn session_stats(&self, id: SessionId, entry: &Entry, now: Instant) -> SessionStats {
        let mut stats = SessionStats {
            session: id,
            role: entry.session.role,
            stream: entry.stream.clone(),
            connected: entry.session.is_connected(),
            age: now.saturating_duration_since(entry.session.created),
            remote: entry.session.remote().map(tcp::plain),
            over_tcp: entry.session.remote().is_some_and(|remote| tcp::number(remote).is_some()),
            rtt: None,
            loss: None,
            packets: 0,
            bytes: 0,
            media_age: None,
            nacks: 0,
            repaired: 0,
            given_up: 0,
            plis: 0,
            cut: 0,
            longest_gap: Duration::ZERO,
        };
        if let Some(viewer) = entry.viewer.and_then(|viewer| self.forwarder.viewer_stats(viewer, now)) {
            (stats.rtt, stats.loss, stats.media_age) = (viewer.rtt, viewer.loss, viewer.media_age);
            (stats.packets, stats.bytes, stats.cut) = (viewer.packets, viewer.bytes, viewer.cut);
            (stats.nacks, stats.repaired, stats.plis) = (viewer.nacks, viewer.repaired, viewer.plis);
            stats.longest_gap = viewer.longest_gap;
        }
        if let Some(source) = entry.source.and_then(|source| self.forwarder.source_stats(source, now)) {
            (stats.packets, stats.bytes, stats.media_age) = (source.packets, source.bytes, source.media_age);
            stats.longest_gap = source.longest_gap;
        }
        if let Media::Inbound(receiver) = &entry.session.media {
            let figures = receiver.figures();
            (stats.rtt, stats.loss, stats.plis) = (figures.rtt, figures.loss, figures.plis);
            (stats.nacks, stats.repaired, stats.given_up) = (figures.nacks, figures.repaired, figures.given_up);
        }
        stats
    }
}
