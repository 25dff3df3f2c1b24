//! Handshakes wait while media have the thread: datagrams of sessions that are not connected queue here, in order.
//!
//! Invariant: what waits is bounded, in all and for each session; peers repeat what is left out.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::demux::Arrival;
use super::{Node, SessionId};
use crate::session::is_srtp;
use crate::stun::{self, Message};

/// With a queue as long as this no new sessions are taken.
pub const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// Datagrams in all, and of one session (a flight of DTLS is four; checks come from several addresses).
const MOST: usize = 4_096;
const MOST_OF_ONE: usize = 32;

#[derive(Debug)]
pub struct Waiting {
    id: SessionId,
    from: SocketAddr,
    arrival: Arrival,
    datagram: Vec<u8>,
    since: Instant,
}

#[derive(Debug, Default)]
pub struct Lobby {
    waiting: VecDeque<Waiting>,
}

impl Lobby {
    /// Since when the first one waits.
    pub fn since(&self) -> Option<Instant> {
        self.waiting.front().map(|first| first.since)
    }

    pub fn is_too_long(&self, now: Instant) -> bool {
        self.since().is_some_and(|since| now.saturating_duration_since(since) > LONGEST_WAIT)
    }

    /// All that waits for `id`.
    pub fn take(&mut self, id: SessionId) -> VecDeque<Waiting> {
        let (of_it, others) = std::mem::take(&mut self.waiting).into_iter().partition(|waiting| waiting.id == id);
        self.waiting = others;
        of_it
    }

    pub fn push(&mut self, waiting: Waiting) {
        let of_one = self.waiting.iter().filter(|other| other.id == waiting.id).count();
        if self.waiting.len() < MOST && of_one < MOST_OF_ONE {
            self.waiting.push_back(waiting);
        }
    }
}

impl Node {
    /// Let sessions that are not connected get on, those first that came first, for as long as `go_on` says (once at least).
    pub fn on_handshakes(&mut self, now: Instant, go_on: &mut dyn FnMut() -> bool) {
        while let Some(waiting) = self.lobby.waiting.pop_front() {
            let Waiting { id, from, arrival, datagram, .. } = waiting;
            self.arrival = arrival;
            self.deliver(id, from, &datagram, now);
            if !go_on() {
                break;
            }
        }
        self.arrival = Arrival { by: self.me(), hops: 0 };
        self.settle(now);
    }

    /// Whether some of them wait.
    #[must_use]
    pub fn has_handshakes(&self) -> bool {
        self.lobby.since().is_some()
    }

    /// A datagram that is `id`'s: at once to who is connected, else by way of the lobby.
    pub(super) fn give(&mut self, id: SessionId, from: SocketAddr, datagram: &[u8], now: Instant) {
        if self.sessions.get(&id).is_some_and(|entry| entry.session.is_connected()) {
            self.deliver(id, from, datagram, now);
        } else {
            let arrival = self.arrival;
            self.lobby.push(Waiting { id, from, arrival, datagram: datagram.to_vec(), since: now });
        }
    }

    fn deliver(&mut self, id: SessionId, from: SocketAddr, datagram: &[u8], now: Instant) {
        // It waited behind the handshake that it follows.
        if is_srtp(datagram) && self.sessions.get(&id).is_some_and(|entry| entry.session.role.is_link()) {
            self.on_leg_datagram(id, datagram, now);
        } else if !stun::looks_like(datagram) {
            self.turn(id, now, |session| session.on_datagram(datagram, from, now));
        } else if let Some(message) = Message::parse(datagram) {
            self.turn(id, now, |session| session.on_stun(&message, datagram, from, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{CHILD, STEP, facts, local, pulled, run, serve, tracks};
    use super::super::{Fact, Full, Socket};
    use super::*;
    use crate::negotiation::relay;

    #[test]
    fn a_queue_is_bounded_in_all_and_for_each_session() {
        let now = Instant::now();
        let mut lobby = Lobby::default();
        let from = "192.0.2.1:1".parse().unwrap();
        for id in 0..200 {
            for _ in 0..50 {
                lobby.push(Waiting { id, from, arrival: Arrival::default(), datagram: vec![], since: now });
            }
        }
        assert_eq!(lobby.waiting.len(), MOST);
        assert_eq!(lobby.waiting.iter().filter(|waiting| waiting.id == 3).count(), MOST_OF_ONE);
    }

    /// Checks and flights of the child reach the parent, which has no time for them.
    fn fill(child: &mut Node, parent: &mut Node, now: &mut Instant, time: Duration) {
        let end = *now + time;
        while *now < end {
            *now += STEP;
            child.on_timeout(*now);
            parent.on_timeout(*now);
            for sent in child.transmits.drain(..) {
                parent.on_datagram(Socket::Shared, CHILD.parse().unwrap(), &sent.datagram, *now);
            }
        }
    }

    #[test]
    fn handshakes_go_one_by_one_when_there_is_no_time_for_more() {
        let mut now = Instant::now();
        let (mut child, mut parent) = pulled(now);
        fill(&mut child, &mut parent, &mut now, Duration::from_millis(500));
        let waiting = parent.lobby.waiting.len();
        assert!(waiting > 1, "{waiting}");
        assert!(parent.transmits.is_empty() && parent.next_deadline().is_some_and(|at| at < now));
        parent.on_handshakes(now, &mut || false);
        assert_eq!(parent.lobby.waiting.len(), waiting - 1);
        run(&mut child, &mut parent, &mut now, Duration::from_secs(1), true);
        assert_eq!(facts(&mut parent), [Fact::Connected]);
        assert!(!parent.has_handshakes());
    }

    #[test]
    fn no_session_is_taken_behind_a_queue_of_two_seconds() {
        let mut now = Instant::now();
        let (mut child, mut parent) = pulled(now);
        let offer = relay::offer(&local(&child, 'x', &[]), &tracks()).unwrap();
        fill(&mut child, &mut parent, &mut now, LONGEST_WAIT);
        assert!(serve(&mut parent, 3, &offer, now).is_ok());
        fill(&mut child, &mut parent, &mut now, Duration::from_millis(200));
        assert_eq!(serve(&mut parent, 4, &offer, now), Err(Full::Handshakes));
        parent.on_handshakes(now, &mut || true);
        assert!(serve(&mut parent, 4, &offer, now).is_ok());
    }
}
