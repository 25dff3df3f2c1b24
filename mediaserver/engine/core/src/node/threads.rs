//! One of several threads with one port: the kernel chooses by address which thread a datagram comes to.
//!
//! A session begins on any thread. What comes to another is passed on to it, until the peer nominates a pair: then the session goes
//! to the thread that the pair's datagrams come to, once, before DTLS has keys. A peer that moves later is passed on again.
//!
//! A TCP connection is never passed on piece by piece: it goes to its session's thread itself, by the first check that comes on it
//! (`thread_of_check`), and follows the session where that goes (`departures`).
//!
//! Invariant: a session is with one thread, or in the inbox of the one that the directory names.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use super::demux::Arrival;
use super::legs::Leg;
use super::lobby::Waiting;
use super::{Course, Directory, Entry, Node, SessionId, Socket};
use crate::forwarder::StreamWord;
use crate::inboxes::{Inboxes, ThreadNumber};
use crate::stun::{self, Class, Message};
use crate::tcp;
use crate::trace::Trace;

/// A datagram that is passed on more often than this belongs nowhere.
const MOST_HOPS: u8 = 3;

/// What nodes of one port say to one another about sessions.
pub enum SessionWord {
    /// For a session of yours.
    Datagram {
        arrival: Arrival,
        from: SocketAddr,
        datagram: Vec<u8>,
    },
    HandOver(Box<HandedOver>),
}

pub struct HandedOver {
    id: SessionId,
    entry: Box<Entry>,
    /// Of its source.
    order: Option<u64>,
    /// Of a link.
    legs: Vec<(SessionId, Leg)>,
    trace: Option<Trace>,
    waiting: VecDeque<Waiting>,
}

impl Node {
    /// One of the threads that `sessions`, `streams` and `directory` connect.
    #[must_use]
    pub fn linked(self, sessions: Inboxes<SessionWord>, streams: Inboxes<StreamWord>, directory: Directory) -> Self {
        let forwarder = self.forwarder.linked(streams);
        let arrival = Arrival { by: sessions.me(), hops: 0 };
        Self { inboxes: sessions, forwarder, directory, arrival, ..self }
    }

    #[must_use]
    pub const fn me(&self) -> ThreadNumber {
        self.inboxes.me()
    }

    /// Whether another thread has the session.
    #[must_use]
    pub fn is_elsewhere(&self, id: SessionId) -> bool {
        self.directory.thread_of(id).is_some_and(|thread| thread != self.me())
    }

    /// Whether the session, or the trace of one that is gone, is here.
    #[must_use]
    pub fn has(&self, id: SessionId) -> bool {
        self.sessions.contains_key(&id)
            || self.pulls.contains_key(&id)
            || self.opening.contains_key(&id)
            || self.legs.contains_key(&id)
            || self.traces.has(id)
    }

    /// Take what the other threads have said.
    pub fn on_words(&mut self, now: Instant) {
        self.spare(|node| node.forwarder.on_words(now));
        for word in self.inboxes.take() {
            match word {
                SessionWord::Datagram { arrival, from, datagram } => self.on_passed_on(arrival, from, &datagram, now),
                SessionWord::HandOver(handed) => {
                    let id = handed.id;
                    self.guard(id, now, |node| node.take_in(*handed, now));
                }
            }
        }
        self.settle(now);
    }

    /// Threads that have something to hear, as bits.
    pub fn take_wakes(&mut self) -> u64 {
        self.inboxes.take_wakes() | self.forwarder.take_wakes()
    }

    fn on_passed_on(&mut self, arrival: Arrival, from: SocketAddr, datagram: &[u8], now: Instant) {
        self.arrival = arrival;
        self.on_datagram(Socket::Shared, from, datagram, now);
        self.arrival = Arrival { by: self.me(), hops: 0 };
    }

    /// A datagram of the shared port that is for nobody here, to the thread that it is for. False: nobody knows it.
    pub(super) fn pass_on(&mut self, from: SocketAddr, datagram: &[u8], now: Instant) -> bool {
        if self.inboxes.is_alone() {
            return false;
        }
        let Arrival { by, hops } = self.arrival;
        match self.owner(from, datagram) {
            // On its way here: what was passed on came after it.
            Some(owner) if owner == self.me() && hops == 0 => {
                self.on_words(now);
                self.read(Socket::Shared, from, datagram, now)
            }
            // The answer to what comes by a connection can go by that one alone.
            Some(owner) if owner != self.me() && hops < MOST_HOPS && tcp::number(from).is_none() => {
                let arrival = Arrival { by, hops: hops + 1 };
                // Left out when the other is behind: peers repeat.
                let _ = self.inboxes.offer(owner, SessionWord::Datagram { arrival, from, datagram: datagram.to_vec() });
                true
            }
            _ => false,
        }
    }

    /// The other thread whose session a check on an unproved connection is for. Whether the check is valid is for that one to judge.
    pub(super) fn thread_of_check(&self, datagram: &[u8]) -> Option<ThreadNumber> {
        if self.inboxes.is_alone() || !stun::looks_like(datagram) {
            return None;
        }
        let check = Message::parse(datagram).filter(|message| message.class == Class::Request)?;
        let ufrag = check.local_ufrag().filter(|ufrag| !self.by_ufrag.contains_key(*ufrag))?;
        self.directory.of_ufrag(ufrag).filter(|thread| *thread != self.me())
    }

    /// Where a connection that comes from another thread is to be read.
    pub(super) fn course_of(&mut self, connection: SocketAddr, proved: bool, now: Instant) -> Course {
        // Its session came before it.
        self.on_words(now);
        if !proved || self.knows(connection) {
            return Course::Here;
        }
        match self.directory.of_address(connection) {
            Some(thread) if thread != self.me() => Course::To(thread),
            _ => Course::Orphaned,
        }
    }

    /// The thread that a datagram is for. None also for what was read here and not believed.
    fn owner(&self, from: SocketAddr, datagram: &[u8]) -> Option<ThreadNumber> {
        if stun::looks_like(datagram) {
            let message = Message::parse(datagram)?;
            if message.class == Class::Request {
                let ufrag = message.local_ufrag()?;
                return self.directory.of_ufrag(ufrag).filter(|_| !self.by_ufrag.contains_key(ufrag));
            }
        }
        let owner = self.directory.of_address(from)?;
        (owner != self.me() || !self.by_address.contains_key(&from)).then_some(owner)
    }

    /// The pair that a peer nominated has its datagrams come to another thread: the session goes there.
    pub(super) fn hand_over(&mut self, id: SessionId, to: ThreadNumber, now: Instant) {
        let Some(mut entry) = self.sessions.remove(&id) else { return };
        self.timers.remove(&(entry.deadline, id));
        for ufrag in entry.session.local_ufrags() {
            self.by_ufrag.remove(ufrag);
        }
        for address in &entry.addresses {
            self.unbind(*address, id);
        }
        let order = entry.source.take().and_then(|source| {
            self.by_source.remove(&source);
            let order = self.forwarder.order_of(source);
            self.forwarder.end_source(source, now);
            order
        });
        let ufrags: Vec<String> = entry.session.local_ufrags().map(str::to_owned).collect();
        // What another session here has as well stays.
        let free = |address: &SocketAddr| !self.by_address.contains_key(address) && !self.claims.contains_key(address);
        let addresses: Vec<SocketAddr> = entry.addresses.iter().copied().filter(free).collect();
        let connections = addresses.iter().copied().filter(|address| tcp::number(*address).is_some());
        self.departures.extend(connections.map(|connection| (connection, to)));
        let (trace, waiting) = (self.traces.take(id), self.lobby.take(id));
        let legs: Vec<(SessionId, Leg)> =
            self.legs_of(id).into_iter().filter_map(|leg| Some((leg, self.legs.remove(&leg)?))).collect();
        let names: Vec<SessionId> = legs.iter().map(|(leg, _)| *leg).collect();
        // Said first: whom the directory sends there finds it in the inbox.
        self.inboxes.tell(to, SessionWord::HandOver(Box::new(HandedOver { id, entry, order, legs, trace, waiting })));
        self.directory.moved_along(&names, to);
        self.directory.moved(id, to, ufrags.iter().map(String::as_str), addresses.into_iter());
    }

    fn take_in(&mut self, handed: HandedOver, now: Instant) {
        let HandedOver { id, mut entry, order, legs, trace, waiting } = handed;
        self.legs.extend(legs);
        entry.source = self.start_source(&entry.session, &entry.stream, entry.incarnation.as_deref(), now);
        if let Some(source) = entry.source {
            self.by_source.insert(source, id);
            self.forwarder.set_order(source, order);
        }
        self.by_ufrag.extend(entry.session.local_ufrags().map(|ufrag| (ufrag.to_owned(), id)));
        entry.deadline = entry.session.next_deadline();
        self.timers.insert((entry.deadline, id));
        let addresses: Vec<SocketAddr> = entry.addresses.iter().copied().collect();
        self.sessions.insert(id, entry);
        for address in addresses {
            self.bind(id, address);
        }
        if let Some(trace) = trace {
            self.traces.put(id, trace);
        }
        for waiting in waiting {
            self.lobby.push(waiting);
        }
        self.turn(id, now, |_| {});
    }
}
