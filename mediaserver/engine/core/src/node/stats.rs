//! Figures of sessions and streams, gathered when asked.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{Node, SessionId};
use crate::border::{SourceId, StreamKey, StreamStats, Totals, ViewerId};
use crate::session::{Media, Role};
use crate::tcp;

/// Of one session since its start.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionStats {
    pub session: SessionId,
    /// Which link carries it.
    pub link: Option<SessionId>,
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
    /// Packets of a relay over TCP that came too late and were dropped.
    pub late: u64,
    pub plis: u64,
    pub cut: u64,
    pub longest_gap: Duration,
    /// Of a viewer: the rid of the layer that it gets, and the bit/s that its path is thought to carry.
    pub layer: Option<std::sync::Arc<str>>,
    pub estimate: Option<u64>,
}

#[derive(Debug, Clone)]
pub struct NodeStats {
    pub sessions: Vec<SessionStats>,
    pub streams: Vec<StreamStats>,
    pub totals: Totals,
    pub unknown_datagrams: u64,
    pub pending_handshakes: usize,
    /// How long the first of them has waited for its turn.
    pub handshake_wait: Duration,
}

impl NodeStats {
    /// Those of two threads of one node together.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.sessions.extend(other.sessions);
        // One that was on its way from thread to thread meanwhile.
        self.sessions.sort_by_key(|session| session.session);
        self.sessions.dedup_by_key(|session| session.session);
        self.streams.extend(other.streams);
        self.streams.sort_by(|one, other| one.stream.cmp(&other.stream));
        self.streams.dedup_by(|same, first| first.join(same));
        self.totals.add(&other.totals);
        self.unknown_datagrams += other.unknown_datagrams;
        self.pending_handshakes += other.pending_handshakes;
        self.handshake_wait = self.handshake_wait.max(other.handshake_wait);
        self
    }
}

impl Node {
    #[must_use]
    pub fn stats(&self, now: Instant) -> NodeStats {
        NodeStats {
            sessions: self.session_stats(now).collect(),
            streams: self.forwarder.stream_stats(now),
            totals: self.forwarder.totals(),
            unknown_datagrams: self.unknown_datagrams + self.forwarder.totals().rejected,
            pending_handshakes: self.pending_handshakes(),
            handshake_wait: self.lobby.since().map_or(Duration::ZERO, |since| now.saturating_duration_since(since)),
        }
    }

    fn session_stats(&self, now: Instant) -> impl Iterator<Item = SessionStats> {
        let sessions = self.sessions.iter().map(move |(id, entry)| {
            let connected = entry.session.is_connected();
            let (role, stream, created) = (entry.session.role, entry.stream.clone(), entry.session.created);
            let mut stats =
                SessionStats { connected, ..begun(*id, role, stream, now.saturating_duration_since(created)) };
            stats.media_age = role.is_link().then(|| entry.session.silence(now));
            self.filled(stats, (entry.viewer, entry.source, &entry.session.media), entry.session.remote(), now)
        });
        let legs = self.legs.iter().map(move |(id, leg)| {
            let age = now.saturating_duration_since(leg.created);
            let begun = begun(*id, leg.role(), leg.stream.clone(), age);
            let stats = SessionStats { link: Some(leg.link), connected: leg.connected, ..begun };
            let remote = self.sessions.get(&leg.link).and_then(|entry| entry.session.remote());
            self.filled(stats, (leg.viewer, leg.source, &leg.media), remote, now)
        });
        sessions.chain(legs)
    }

    fn filled(
        &self,
        mut stats: SessionStats,
        (viewer, source, media): (Option<ViewerId>, Option<SourceId>, &Media),
        remote: Option<SocketAddr>,
        now: Instant,
    ) -> SessionStats {
        stats.over_tcp = remote.is_some_and(|remote| tcp::number(remote).is_some());
        stats.remote = remote.map(tcp::plain);
        if let Some(viewer) = viewer.and_then(|viewer| self.forwarder.viewer_stats(viewer, now)) {
            (stats.rtt, stats.loss, stats.media_age) = (viewer.rtt, viewer.loss, viewer.media_age);
            (stats.packets, stats.bytes, stats.cut) = (viewer.packets, viewer.bytes, viewer.cut);
            (stats.nacks, stats.repaired, stats.plis) = (viewer.nacks, viewer.repaired, viewer.plis);
            stats.longest_gap = viewer.longest_gap;
            (stats.layer, stats.estimate) = (viewer.layer, viewer.estimate);
        }
        if let Some(source) = source.and_then(|source| self.forwarder.source_stats(source, now)) {
            (stats.packets, stats.bytes, stats.media_age) = (source.packets, source.bytes, source.media_age);
            stats.longest_gap = source.longest_gap;
        }
        if let Media::Inbound(receiver) = media {
            let figures = receiver.figures();
            (stats.rtt, stats.loss, stats.plis) = (figures.rtt, figures.loss, figures.plis);
            (stats.nacks, stats.repaired, stats.given_up) = (figures.nacks, figures.repaired, figures.given_up);
            stats.late = figures.late;
        }
        stats
    }
}

/// Of a session of which nothing is known yet.
fn begun(session: SessionId, role: Role, stream: StreamKey, age: Duration) -> SessionStats {
    SessionStats {
        session,
        link: None,
        role,
        stream,
        connected: false,
        age,
        remote: None,
        over_tcp: false,
        rtt: None,
        loss: None,
        packets: 0,
        bytes: 0,
        media_age: None,
        nacks: 0,
        repaired: 0,
        given_up: 0,
        late: 0,
        plis: 0,
        cut: 0,
        longest_gap: Duration::ZERO,
        layer: None,
        estimate: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(name: &str, incarnation: Option<&str>, order: Option<u64>, viewers: usize) -> StreamStats {
        StreamStats {
            stream: name.into(),
            incarnation: incarnation.map(str::to_owned),
            source: None,
            order,
            viewers,
            media_age: None,
            gop: None,
            key_frames: order.unwrap_or(0),
        }
    }

    fn of(streams: Vec<StreamStats>) -> NodeStats {
        let (totals, handshake_wait) = (Totals::default(), Duration::ZERO);
        NodeStats { sessions: vec![], streams, totals, unknown_datagrams: 1, pending_handshakes: 2, handshake_wait }
    }

    #[test]
    fn a_stream_is_told_once_with_all_its_viewers_and_as_the_thread_of_its_newest_source_knows_it() {
        let own = |order| stream("s", Some("own"), Some(order), 3);
        let mirror = || stream("s", Some("mirror"), Some(0), 4);
        let idle = || stream("s", None, None, 5);
        for (name, parts, expected) in [
            ("source and mirror", vec![own(7), mirror()], (Some("own"), 7)),
            ("mirror and source", vec![mirror(), own(7)], (Some("own"), 7)),
            ("nothing on air, and a mirror", vec![idle(), mirror()], (Some("mirror"), 9)),
            ("an older source", vec![stream("s", Some("new"), Some(9), 1), own(7), mirror()], (Some("new"), 8)),
            ("nothing on air", vec![idle(), idle()], (None, 10)),
        ] {
            let all = parts.into_iter().map(|part| of(vec![part])).reduce(NodeStats::and).unwrap();
            assert_eq!(all.streams.len(), 1, "{name}");
            assert_eq!((all.streams[0].incarnation.as_deref(), all.streams[0].viewers), expected, "{name}");
        }
        let two = of(vec![own(1)]).and(of(vec![stream("other", None, None, 1)]));
        assert_eq!((two.streams.len(), two.unknown_datagrams, two.pending_handshakes), (2, 2, 4));
    }
}
