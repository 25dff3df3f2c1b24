//! Everything that `stats` tells: the figures of all threads as those of one node.

use rivulet_core::node::NodeStats;
use rivulet_udp::SendCounters;

use crate::connections::ConnectionCounters;
use crate::data_thread::ThreadCounters;

pub struct Figures {
    pub node: NodeStats,
    pub send: SendCounters,
    pub thread: ThreadCounters,
    pub connections: ConnectionCounters,
    pub open_connections: usize,
}

impl Figures {
    /// Sums; the lateness is the worst of all. None: of no thread.
    pub fn of_all(threads: Vec<Self>) -> Option<Self> {
        threads.into_iter().reduce(Self::and)
    }

    fn and(mut self, other: Self) -> Self {
        self.node = self.node.and(other.node);
        self.send.calls += other.send.calls;
        self.send.segmented_messages += other.send.segmented_messages;
        self.send.would_block += other.send.would_block;
        self.send.failed += other.send.failed;
        self.thread.packets_received += other.thread.packets_received;
        self.thread.bytes_received += other.thread.bytes_received;
        self.thread.ticks += other.thread.ticks;
        self.thread.lateness = self.thread.lateness.max(other.thread.lateness);
        self.connections = self.connections.and(other.connections);
        self.open_connections += other.open_connections;
        self
    }
}
