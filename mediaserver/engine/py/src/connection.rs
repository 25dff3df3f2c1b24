//! One TCP connection that a peer opened (RFC 6544, passive side): its socket, its half-read frame, what waits to be written.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rivulet_core::node::{Course, Inlet, Node};
use rivulet_core::tcp::{Lane, SendQueue};

use crate::census::Seat;
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
    /// When it is closed, whatever waits.
    pub hangs_up: Option<Instant>,
    /// Whether we wait for its being writable.
    pub waits: bool,
    /// Late video was dropped, and the node does not know yet.
    pub was_cut: bool,
    pub queue: SendQueue,
    pub stream: TcpStream,
    pub inlet: Inlet,
    _seat: Seat,
}

impl Connection {
    pub fn new(stream: TcpStream, name: SocketAddr, seat: Seat, now: Instant) -> Self {
        let (queue, inlet) = (SendQueue::default(), Inlet::new(name));
        Self { name, accepted: now, hangs_up: None, waits: false, was_cut: false, queue, stream, inlet, _seat: seat }
    }

    /// Give the node what came; where the connection is to be read on.
    pub fn read(
        &mut self,
        buffer: &mut [u8],
        node: &mut Node,
        counters: &mut ThreadCounters,
        now: Instant,
    ) -> Result<Course, End> {
        for _ in 0..READS {
            let count = match self.stream.read(buffer) {
                Ok(0) => return Err(End::Closed),
                Ok(count) => count,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                    return Ok(Course::Here);
                }
                Err(_) => return Err(End::Closed),
            };
            let mut tally = |length: usize| {
                counters.packets_received += 1;
                counters.bytes_received += length as u64;
            };
            let course = self.inlet.read(&buffer[..count], node, &mut tally, now);
            if course != Course::Here || count < buffer.len() {
                return Ok(course);
            }
        }
        Ok(Course::Here)
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
