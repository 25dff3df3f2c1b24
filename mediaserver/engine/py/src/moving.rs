//! Connections on their way to the thread that has their session, with the descriptor, half a frame, and what waits to be sent.
//!
//! Invariant: a connection is in one thread's set or in one thread's inbox; dropped, it is closed.

use std::net::SocketAddr;
use std::time::Instant;

use rivulet_core::inboxes::ThreadNumber;
use rivulet_core::node::{Course, Node};
use rivulet_core::tcp;
use rivulet_udp::Poller;

use crate::connection::{Connection, End};
use crate::connections::Connections;

impl Connections {
    /// Take in what other threads have sent here.
    pub fn take_arrivals(&mut self, poller: &Poller, node: &mut Node, now: Instant) {
        for mut connection in self.crossing.take() {
            match connection.inlet.arrive(node, now) {
                Course::To(thread) => self.crossing.tell(thread, connection),
                course => self.settle_in(connection, course, (poller, node), now),
            }
        }
    }

    /// Threads that are to be woken for what was sent to them, as bits.
    pub fn take_wakes(&mut self) -> u64 {
        self.crossing.take_wakes()
    }

    /// The session of the connection of that name is with another thread.
    pub(super) fn follow(&mut self, name: SocketAddr, to: ThreadNumber, poller: &Poller) {
        if let Some(number) = tcp::number(name) {
            self.depart(number, to, poller);
        }
    }

    pub(super) fn depart(&mut self, number: u32, to: ThreadNumber, poller: &Poller) {
        self.unproved.remove(&number);
        self.busy.remove(&number);
        let Some(mut connection) = self.open.remove(&number) else { return };
        // Failing means that it is not registered: then there is nothing to undo.
        let _ = poller.remove(&connection.stream);
        connection.waits = false;
        self.crossing.tell(to, connection);
    }

    fn settle_in(
        &mut self,
        connection: Connection,
        course: Course,
        (poller, node): (&Poller, &mut Node),
        now: Instant,
    ) {
        let Some(number) = tcp::number(connection.name) else { return };
        let waits_to_be_read = poller.add(&connection.stream, u64::from(number)).is_ok();
        if !connection.inlet.is_proved() {
            self.unproved.insert(number);
        }
        self.open.insert(number, connection);
        if let Some(end) = end_of(course) {
            self.close(number, end, node, now);
        } else if waits_to_be_read {
            self.write(number, poller, now);
            self.make_room(node, now);
        } else {
            self.counters.refused += 1;
            self.close(number, End::Closed, node, now);
        }
    }
}

/// Why a connection of that course is closed. None: it is not.
pub fn end_of(course: Course) -> Option<End> {
    match course {
        Course::Here | Course::To(_) => None,
        Course::Garbage => Some(End::Garbage),
        Course::Orphaned => Some(End::HungUp),
    }
}
