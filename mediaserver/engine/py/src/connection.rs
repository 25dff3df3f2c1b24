//! One TCP connection that a peer opened (RFC 6544, passive side): its socket, its half-read frame, what waits to be written.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rivulet_core::node::{Node, Socket};
use rivulet_core::tcp::{self, Deframer, Lane, SendQueue};

use crate::data_thread::ThreadCounters;

/// Reads a turn, so that one peer does not keep the others waiting.
const READS: usize = 4;
/// How long a connection that is to be closed may take for what is still to be sent.
pub const HANG_UP: Duration = Duration::from_secs(1);

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By the peer, or the network.
    Closed,
    /// By us, with its session.
    HungUp,
    /// No valid check came in time.
    Silent,
    /// What came is nothing that a session is made of, or no frames at all.
    Garbage,
    /// Newer ones needed the room.
    Displaced,
}

pub struct Connection {
    pub name: SocketAddr,
    pub accepted: Instant,
    /// A session's valid check has come on it.
    pub proved: bool,
    /// When it is closed, whatever waits.
    pub hangs_up: Option<Instant>,
    /// Whether we wait for its being writable.
    pub waits: bool,
    /// Late video was dropped, and the node does not know yet.
    pub was_cut: bool,
    pub queue: SendQueue,
    pub stream: TcpStream,
    deframer: Deframer,
}

impl Connection {
    pub fn new(stream: TcpStream, name: SocketAddr, now: Instant) -> Self {
        let (queue, deframer) = (SendQueue::default(), Deframer::default());
        Self {
            name,
            accepted: now,
            proved: false,
            hangs_up: None,
            waits: false,
            was_cut: false,
            queue,
            stream,
            deframer,
        }
    }

    /// Give the node what came.
    pub fn read(
        &mut self,
        buffer: &mut [u8],
        node: &mut Node,
        counters: &mut ThreadCounters,
        now: Instant,
    ) -> Result<(), End> {
        for _ in 0..READS {
            let count = match self.stream.read(buffer) {
                Ok(0) => return Err(End::Closed),
                Ok(count) => count,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(()),
                Err(_) => return Err(End::Closed),
            };
            let (name, proved, mut garbage) = (self.name, &mut self.proved, false);
            let read = self.deframer.read(&buffer[..count], |datagram| {
                if garbage {
                    return;
                }
                counters.packets_received += 1;
                counters.bytes_received += datagram.len() as u64;
                node.on_datagram(Socket::Shared, name, datagram, now);
                *proved = *proved || node.knows(name);
                // A peer that has lost a connection may go on with media on the next before it checks it.
                garbage = !*proved && !tcp::is_of_webrtc(datagram);
            });
            if garbage || read.is_err() {
                return Err(End::Garbage);
            }
            if count < buffer.len() {
                return Ok(());
            }
        }
        Ok(())
    }

    pub fn push(&mut self, datagram: &[u8], lane: Lane, now: Instant) {
        if self.hangs_up.is_none() {
            self.queue.push(datagram, lane, now);
        }
    }

    /// Write what the kernel takes. True: that was all.
    pub fn write(&mut self) -> Result<bool, End> {
        loop {
            let bytes = self.queue.to_write();
            if bytes.is_empty() {
                return Ok(true);
            }
            match self.stream.write(bytes) {
                Ok(count) => self.queue.wrote(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(End::Closed),
            }
        }
    }
}
