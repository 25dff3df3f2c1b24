//! What comes on a TCP connection, until the connection is where its session is: frames, and those that are read there.
//!
//! Invariant: nothing that came is lost, read twice or out of order when the connection moves: half a frame and whole ones that
//! were not read go along.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use super::{Node, Socket};
use crate::inboxes::ThreadNumber;
use crate::tcp::{self, Deframer};

/// Where a connection is read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    Here,
    /// By the thread that has its session.
    To(ThreadNumber),
    /// Nowhere: what came is nothing that a session is made of, or no frames at all.
    Garbage,
    /// Nowhere: its session is gone.
    Orphaned,
}

/// The incoming side of one connection.
#[derive(Debug)]
pub struct Inlet {
    deframer: Deframer,
    gate: Gate,
}

#[derive(Debug)]
struct Gate {
    name: SocketAddr,
    /// A session's valid check has come.
    proved: bool,
    course: Course,
    /// Came after the course was known not to be here.
    unread: VecDeque<Vec<u8>>,
}

impl Inlet {
    /// Of the connection of that name.
    #[must_use]
    pub fn new(name: SocketAddr) -> Self {
        let gate = Gate { name, proved: false, course: Course::Here, unread: VecDeque::new() };
        Self { deframer: Deframer::default(), gate }
    }

    /// Whether a session's valid check has come on the connection.
    #[must_use]
    pub const fn is_proved(&self) -> bool {
        self.gate.proved
    }

    /// Give `node` what came; `count` hears the length of every datagram.
    pub fn read(&mut self, bytes: &[u8], node: &mut Node, count: &mut dyn FnMut(usize), now: Instant) -> Course {
        let Self { deframer, gate } = self;
        let read = deframer.read(bytes, |datagram| {
            count(datagram.len());
            gate.take(datagram, node, now);
        });
        if read.is_err() && gate.course == Course::Here {
            gate.course = Course::Garbage;
        }
        gate.course
    }

    /// The connection has come from another thread to `node`'s: read on here, if this is where its session is.
    pub fn arrive(&mut self, node: &mut Node, now: Instant) -> Course {
        let gate = &mut self.gate;
        gate.course = node.course_of(gate.name, gate.proved, now);
        if gate.course == Course::Here {
            for datagram in std::mem::take(&mut gate.unread) {
                gate.take(&datagram, node, now);
            }
            node.on_batch_end(now);
        }
        gate.course
    }
}

impl Gate {
    fn take(&mut self, datagram: &[u8], node: &mut Node, now: Instant) {
        if self.course == Course::Here
            && !self.proved
            && let Some(thread) = node.thread_of_check(datagram)
        {
            self.course = Course::To(thread);
        }
        match self.course {
            Course::Here => self.give(datagram, node, now),
            Course::To(_) => self.unread.push_back(datagram.to_vec()),
            Course::Garbage | Course::Orphaned => {}
        }
    }

    fn give(&mut self, datagram: &[u8], node: &mut Node, now: Instant) {
        node.on_datagram(Socket::Shared, self.name, datagram, now);
        self.proved = self.proved || node.knows(self.name);
        // A peer that has lost a connection may go on with media on the next before it checks it.
        if !self.proved && !tcp::is_of_webrtc(datagram) {
            self.course = Course::Garbage;
        }
    }
}
