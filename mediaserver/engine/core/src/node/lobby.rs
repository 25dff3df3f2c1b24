//! Handshakes wait while media have the thread: datagrams of sessions that are not connected queue here, in order.
//!
//! Invariant: what waits is bounded, in all and for each session, and the fuller it is the less of one; so those of whom little
//! waits get in whatever others send. Peers repeat what is left out.

use std::collections::{HashMap, VecDeque};
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
/// And of one not more than this part of the room that is left: a hundred sessions that send all they can leave a third of it.
const SHARE: usize = 64;

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
    /// How much of it is of whom.
    of_one: HashMap<SessionId, usize>,
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
        if self.of_one.remove(&id).is_none() {
            return VecDeque::new();
        }
        let (of_it, others) = std::mem::take(&mut self.waiting).into_iter().partition(|waiting| waiting.id == id);
        self.waiting = others;
        of_it
    }

    pub fn push(&mut self, waiting: Waiting) {
        let room = MOST - self.waiting.len();
        if room == 0 {
            return;
        }
        let of_one = self.of_one.entry(waiting.id).or_default();
        // One gets in as long as there is room at all.
        if *of_one < (room / SHARE).clamp(1, MOST_OF_ONE) {
            *of_one += 1;
            self.waiting.push_back(waiting);
        }
    }

    fn pop(&mut self) -> Option<Waiting> {
        let waiting = self.waiting.pop_front()?;
        if let Some(of_one) = self.of_one.get_mut(&waiting.id) {
            *of_one -= 1;
            if *of_one == 0 {
                self.of_one.remove(&waiting.id);
            }
        }
        Some(waiting)
    }
}

impl Node {
    /// Let sessions that are not connected get on, those first that came first, for as long as `go_on` says (once at least).
    pub fn on_handshakes(&mut self, now: Instant, go_on: &mut dyn FnMut() -> bool) {
        while let Some(waiting) = self.lobby.pop() {
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

    fn push(lobby: &mut Lobby, id: SessionId, count: usize) -> usize {
        let before = lobby.waiting.len();
        for _ in 0..count {
            let (from, since) = ("192.0.2.1:1".parse().unwrap(), Instant::now());
            lobby.push(Waiting { id, from, arrival: Arrival::default(), datagram: vec![], since });
        }
        lobby.waiting.len() - before
    }

    #[test]
    fn a_queue_is_bounded_in_all_and_for_each_session() {
        let mut lobby = Lobby::default();
        assert_eq!(push(&mut lobby, 3, 50), MOST_OF_ONE);
        for id in 100..10_000 {
            push(&mut lobby, id, 50);
        }
        assert_eq!(lobby.waiting.len(), MOST);
        assert_eq!(lobby.of_one.values().sum::<usize>(), MOST);
        assert_eq!(lobby.take(3).len(), MOST_OF_ONE);
        while lobby.pop().is_some() {}
        assert!(lobby.of_one.is_empty());
    }

    #[test]
    fn who_has_little_waiting_gets_in_beside_a_client_that_fills_all_it_may() {
        let mut lobby = Lobby::default();
        for _ in 0..50 {
            for id in 0..500 {
                push(&mut lobby, id, 1);
            }
        }
        let flight = 4;
        for id in 1_000..1_050 {
            assert_eq!(push(&mut lobby, id, flight), flight, "{id}");
        }
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
