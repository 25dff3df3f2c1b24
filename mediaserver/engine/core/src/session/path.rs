//! Where a session's peer is, read off the STUN messages that pass: which addresses are proved, which is nominated.
//!
//! Invariant: an address is proved only by the peer's answer to our own check, sent there (RFC 8445, 7.2.5; nothing of a
//! spoofed source ever proves it).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::stun::{Class, Message, Transaction};

/// Checks of ours that may still be answered.
const OPEN_CHECKS: usize = 64;
/// Addresses remembered as proved.
const PROVED: usize = 8;

#[derive(Debug)]
pub struct Path {
    open_checks: VecDeque<(Transaction, SocketAddr, Instant)>,
    proved: VecDeque<SocketAddr>,
    /// The peer asked for this address; it counts once it is proved.
    wanted: Option<SocketAddr>,
    nominated: Option<SocketAddr>,
    last_valid_check: Instant,
}

impl Path {
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            open_checks: VecDeque::new(),
            proved: VecDeque::new(),
            wanted: None,
            nominated: None,
            last_valid_check: now,
        }
    }

    /// The address that media goes to; None: none is proved and nominated yet.
    #[must_use]
    pub const fn nominated(&self) -> Option<SocketAddr> {
        self.nominated
    }

    /// When the peer last proved to be there.
    #[must_use]
    pub const fn last_valid_check(&self) -> Instant {
        self.last_valid_check
    }

    /// Whether `message` answers a check of ours.
    #[must_use]
    pub fn awaits(&self, message: &Message<'_>) -> bool {
        self.open_checks.iter().any(|(transaction, ..)| *transaction == message.transaction)
    }

    #[must_use]
    pub fn has_proved(&self, address: SocketAddr) -> bool {
        self.proved.contains(&address)
    }

    /// We are sending `datagram`; `controlling`: what is no STUN shows the pair that we chose.
    pub fn on_sent(&mut self, datagram: &[u8], to: SocketAddr, controlling: bool, now: Instant) {
        match Message::parse(datagram) {
            Some(message) if message.class == Class::Request => {
                self.open_checks.push_back((message.transaction, to, now));
                if self.open_checks.len() > OPEN_CHECKS {
                    self.open_checks.pop_front();
                }
            }
            None if controlling && self.has_proved(to) => self.nominated = Some(to),
            _ => {}
        }
    }

    /// A request whose integrity was checked came from `from`.
    pub fn on_request(&mut self, message: &Message<'_>, from: SocketAddr, now: Instant) {
        self.last_valid_check = now;
        if message.use_candidate {
            self.wanted = Some(from);
            self.settle();
        }
    }

    /// A success response whose integrity was checked came from `from`. Some: it proves the address; the round trip.
    pub fn on_response(&mut self, message: &Message<'_>, from: SocketAddr, now: Instant) -> Option<Duration> {
        let check = (message.transaction, from);
        let index = self.open_checks.iter().position(|(transaction, to, _)| (*transaction, *to) == check)?;
        let (.., sent) = self.open_checks.remove(index)?;
        self.last_valid_check = now;
        if !self.has_proved(from) {
            self.proved.push_back(from);
            if self.proved.len() > PROVED {
                self.proved.pop_front();
            }
        }
        self.settle();
        Some(now.saturating_duration_since(sent))
    }

    fn settle(&mut self) {
        if let Some(wanted) = self.wanted.filter(|address| self.has_proved(*address)) {
            self.nominated = Some(wanted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: [u8; 2], transaction: u8, nominate: bool) -> Vec<u8> {
        let mut bytes = vec![kind[0], kind[1], 0, if nominate { 4 } else { 0 }, 0x21, 0x12, 0xa4, 0x42];
        bytes.extend([transaction; 12]);
        if nominate {
            bytes.extend([0x00, 0x25, 0, 0]);
        }
        bytes
    }

    const REQUEST: [u8; 2] = [0, 1];
    const SUCCESS: [u8; 2] = [1, 1];

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    #[test]
    fn a_nomination_counts_only_after_our_check_was_answered_from_there() {
        let now = Instant::now();
        let mut path = Path::new(now);
        let nominate = message(REQUEST, 1, true);
        path.on_request(&Message::parse(&nominate).unwrap(), address(1), now);
        assert_eq!(path.nominated(), None);
        path.on_sent(&message(REQUEST, 9, false), address(1), false, now);
        let answer = message(SUCCESS, 9, false);
        let answer = Message::parse(&answer).unwrap();
        let later = now + Duration::from_millis(84);
        assert_eq!(path.on_response(&answer, address(2), later), None, "an answer from elsewhere proves nothing");
        assert_eq!(path.nominated(), None);
        assert_eq!(path.on_response(&answer, address(1), later), Some(Duration::from_millis(84)));
        assert_eq!(path.nominated(), Some(address(1)));
    }

    #[test]
    fn a_later_nomination_moves_the_media_once_it_is_proved() {
        let now = Instant::now();
        let mut path = Path::new(now);
        for port in [1, 2] {
            let id = u8::try_from(port).unwrap();
            path.on_sent(&message(REQUEST, id, false), address(port), false, now);
            path.on_response(&Message::parse(&message(SUCCESS, id, false)).unwrap(), address(port), now);
            path.on_request(&Message::parse(&message(REQUEST, 77, true)).unwrap(), address(port), now);
            assert_eq!(path.nominated(), Some(address(port)));
        }
        path.on_request(&Message::parse(&message(REQUEST, 78, true)).unwrap(), address(3), now);
        assert_eq!(path.nominated(), Some(address(2)));
    }
}
