//! Everything that `stats` tells: the figures of all threads as those of one node.

use std::collections::HashMap;

use rivulet_core::border::{StreamKey, StreamStats};
use rivulet_core::node::NodeStats;
use rivulet_udp::SendCounters;

use crate::data_thread::ThreadCounters;

pub struct Figures {
    pub node: NodeStats,
    pub send: SendCounters,
    pub thread: ThreadCounters,
}

impl Figures {
    /// Sums; the lateness is the worst of all. None: of no thread.
    pub fn of_all(threads: Vec<Self>) -> Option<Self> {
        let mut all = threads.into_iter().reduce(Self::and)?;
        // One that was on its way from thread to thread meanwhile.
        all.node.sessions.sort_by_key(|session| session.session);
        all.node.sessions.dedup_by_key(|session| session.session);
        all.node.streams = by_name(all.node.streams);
        Some(all)
    }

    fn and(mut self, other: Self) -> Self {
        self.node.sessions.extend(other.node.sessions);
        self.node.streams.extend(other.node.streams);
        self.node.totals.add(&other.node.totals);
        self.node.unknown_datagrams += other.node.unknown_datagrams;
        self.node.pending_handshakes += other.node.pending_handshakes;
        self.node.handshake_wait = self.node.handshake_wait.max(other.node.handshake_wait);
        self.send.calls += other.send.calls;
        self.send.segmented_messages += other.send.segmented_messages;
        self.send.would_block += other.send.would_block;
        self.send.failed += other.send.failed;
        self.thread.packets_received += other.thread.packets_received;
        self.thread.bytes_received += other.thread.bytes_received;
        self.thread.ticks += other.thread.ticks;
        self.thread.lateness = self.thread.lateness.max(other.thread.lateness);
        self
    }
}

/// Each stream once: the viewers of all threads, and the source as its own thread knows it.
fn by_name(streams: Vec<StreamStats>) -> Vec<StreamStats> {
    let mut merged: HashMap<StreamKey, StreamStats> = HashMap::new();
    for stats in streams {
        match merged.get_mut(&stats.stream) {
            None => {
                merged.insert(stats.stream.clone(), stats);
            }
            Some(known) => {
                let viewers = known.viewers + stats.viewers;
                if stats.order > known.order {
                    *known = stats;
                }
                known.viewers = viewers;
            }
        }
    }
    merged.into_values().collect()
}
