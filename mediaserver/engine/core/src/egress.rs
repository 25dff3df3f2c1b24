//! Sealed datagrams on their way to the sockets.

use std::net::SocketAddr;
use std::time::Instant;

use crate::border::ViewerId;
use crate::tcp::Lane;

/// Datagrams of one viewer: `len` bytes from `start` of the batch, cut every `segment` bytes (the last may be shorter).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    pub viewer: ViewerId,
    pub destination: SocketAddr,
    pub start: usize,
    pub len: usize,
    /// Bytes of each datagram; equal to `len` when there is one.
    pub segment: u16,
    /// What it is, for a connection on which not everything can go at once.
    pub lane: Lane,
    /// Since when it could have left; None: it has just come up.
    pub since: Option<Instant>,
}

impl Message {
    /// How many datagrams it is.
    #[must_use]
    pub fn count(&self) -> usize {
        self.len.div_ceil(usize::from(self.segment).max(1))
    }
}

/// The sockets, as the forwarder sees them.
pub trait Egress {
    /// Send `messages` in order; their bytes lie in `bytes`. Returns how many are done with, sent or given up for good;
    /// fewer than all means that the socket is full and the rest is offered again by the next `poll_transmit`.
    fn send(&mut self, messages: &[Message], bytes: &[u8]) -> usize;

    /// Whether more video to `destination` would only wait: it is a TCP connection whose peer takes no more just now.
    fn is_behind(&self, destination: SocketAddr) -> bool {
        let _ = destination;
        false
    }
}

/// Why `poll_transmit` returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Nothing is left to send.
    Idle,
    /// The socket is full: call again when it is writable.
    Blocked,
    /// The node's rate is used up: call again at `next_deadline`.
    Paced,
}
