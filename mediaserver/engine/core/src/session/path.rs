//! Where a session's peer is, read off the STUN messages that pass: which addresses are proved, which is nominated.
//!
//! Invariant: an address is proved only by the peer's answer to our own check, sent there (RFC 8445, 7.2.5; nothing of a
//! spoofed source ever proves it).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::CONSENT_TIMEOUT;
use crate::stun::{Class, Message, Transaction};

/// Checks of ours that may still be answered.
const OPEN_CHECKS: usize = 64;
/// Addresses remembered as proved.
const PROVED: usize = 8;
/// Both sides check a pair every 3 s or so: a nominated address that neither asks nor answers for this long is dead. A peer
/// whose NAT gave it another address meanwhile does not know that, and goes on asking without a nomination.
pub const NOMINATED_SILENT: Duration = Duration::from_secs(4);

#[derive(Debug)]
struct Proved {
    address: SocketAddr,
    /// When a check of ours was last answered from there.
    answered: Instant,
}

#[derive(Debug)]
pub struct Path {
    open_checks: VecDeque<(Transaction, SocketAddr, Instant)>,
    proved: VecDeque<Proved>,
    /// The peer asked for this address; it counts once it is proved.
    wanted: Option<SocketAddr>,
    nominated: Option<SocketAddr>,
    /// The peer's last request came from here.
    asking: Option<SocketAddr>,
    /// Whether the peer nominates: on a session that it opened.
    follows: bool,
    nominated_alive: Instant,
    /// The way that was nominated is closed.
    lost: bool,
    last_valid_check: Instant,
    last_answer: Instant,
}

impl Path {
    #[must_use]
    pub fn new(follows: bool, now: Instant) -> Self {
        Self {
            open_checks: VecDeque::new(),
            proved: VecDeque::new(),
            wanted: None,
            nominated: None,
            asking: None,
            follows,
            nominated_alive: now,
            lost: false,
            last_valid_check: now,
            last_answer: now,
        }
    }

    /// Of a restart. It is no consent: what was last heard from the peer stays what it was.
    #[must_use]
    pub fn restarted(heard: Instant, now: Instant) -> Self {
        Self { last_valid_check: heard, last_answer: heard, ..Self::new(true, now) }
    }

    /// Whether the peer nominates.
    #[must_use]
    pub const fn follows(&self) -> bool {
        self.follows
    }

    /// The address that media goes to; None: none is proved and nominated yet.
    #[must_use]
    pub const fn nominated(&self) -> Option<SocketAddr> {
        self.nominated
    }

    /// When the peer last answered a check of ours where media go; while they go nowhere: anywhere. (Who has once seen its own
    /// requests can send them again from anywhere.)
    #[must_use]
    pub fn last_answer(&self) -> Instant {
        self.nominated.and_then(|nominated| self.answered(nominated)).unwrap_or(self.last_answer)
    }

    /// When the peer last asked or answered.
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
        self.answered(address).is_some()
    }

    /// We are sending `datagram`; where we nominate, what is no STUN shows the pair that we chose.
    pub fn on_sent(&mut self, datagram: &[u8], to: SocketAddr, now: Instant) {
        match Message::parse(datagram) {
            Some(message) if message.class == Class::Request => {
                self.open_checks.push_back((message.transaction, to, now));
                if self.open_checks.len() > OPEN_CHECKS {
                    self.open_checks.pop_front();
                }
            }
            None if !self.follows && self.has_proved(to) => self.nominated = Some(to),
            _ => {}
        }
    }

    /// A request whose integrity was checked came from `from`.
    pub fn on_request(&mut self, message: &Message<'_>, from: SocketAddr, now: Instant) {
        self.note_alive(from, now);
        self.asking = Some(from);
        if message.use_candidate {
            self.wanted = Some(from);
        }
        self.settle(now);
    }

    /// A success response whose integrity was checked came from `from`. Some: it proves the address; the round trip.
    pub fn on_response(&mut self, message: &Message<'_>, from: SocketAddr, now: Instant) -> Option<Duration> {
        let check = (message.transaction, from);
        let index = self.open_checks.iter().position(|(transaction, to, _)| (*transaction, *to) == check)?;
        let (.., sent) = self.open_checks.remove(index)?;
        self.note_alive(from, now);
        self.last_answer = now;
        self.note_proved(from, now);
        self.settle(now);
        Some(now.saturating_duration_since(sent))
    }

    /// `address` is gone for good, and with it the nomination of it.
    pub fn forget(&mut self, address: SocketAddr) {
        // A peer that nominated once need not say it again on its next way.
        self.lost |= self.follows && self.nominated == Some(address);
        self.proved.retain(|proved| proved.address != address);
        self.open_checks.retain(|(_, to, _)| *to != address);
        for choice in [&mut self.wanted, &mut self.nominated, &mut self.asking] {
            *choice = choice.filter(|chosen| *chosen != address);
        }
    }

    /// The nominated address consents no more: on to another one that does. False: there is none.
    pub fn fall_back(&mut self, now: Instant) -> bool {
        let consenting = self.proved.iter().filter(|proved| proved.consents(now));
        let Some(address) = consenting.max_by_key(|proved| proved.answered).map(|proved| proved.address) else {
            return false;
        };
        self.nominate(address, now);
        true
    }

    fn answered(&self, address: SocketAddr) -> Option<Instant> {
        self.proved.iter().find(|proved| proved.address == address).map(|proved| proved.answered)
    }

    fn note_proved(&mut self, address: SocketAddr, now: Instant) {
        if let Some(proved) = self.proved.iter_mut().find(|proved| proved.address == address) {
            proved.answered = now;
            return;
        }
        self.proved.push_back(Proved { address, answered: now });
        if self.proved.len() > PROVED {
            let oldest = self.proved.iter().position(|proved| Some(proved.address) != self.nominated);
            self.proved.remove(oldest.unwrap_or(0));
        }
    }

    fn note_alive(&mut self, address: SocketAddr, now: Instant) {
        self.last_valid_check = now;
        if self.nominated == Some(address) {
            self.nominated_alive = now;
        }
    }

    fn settle(&mut self, now: Instant) {
        let silent = self.nominated.is_some() && now >= self.nominated_alive + NOMINATED_SILENT;
        if self.follows && (silent || self.lost) {
            self.wanted = self.asking.or(self.wanted);
        }
        let consents = |address: &SocketAddr| self.proved.iter().any(|p| p.address == *address && p.consents(now));
        if let Some(wanted) = self.wanted.filter(consents)
            && self.nominated != Some(wanted)
        {
            self.nominate(wanted, now);
        }
    }

    fn nominate(&mut self, address: SocketAddr, now: Instant) {
        self.nominated = Some(address);
        self.nominated_alive = now;
        self.lost = false;
    }
}

impl Proved {
    /// RFC 7675, 5.1: consent is given for the address that answers, and for no other.
    fn consents(&self, now: Instant) -> bool {
        now < self.answered + CONSENT_TIMEOUT
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
        let mut path = Path::new(true, now);
        let nominate = message(REQUEST, 1, true);
        path.on_request(&Message::parse(&nominate).unwrap(), address(1), now);
        assert_eq!(path.nominated(), None);
        path.on_sent(&message(REQUEST, 9, false), address(1), now);
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
        let mut path = Path::new(true, now);
        for port in [1, 2] {
            let id = u8::try_from(port).unwrap();
            path.on_sent(&message(REQUEST, id, false), address(port), now);
            path.on_response(&Message::parse(&message(SUCCESS, id, false)).unwrap(), address(port), now);
            path.on_request(&Message::parse(&message(REQUEST, 77, true)).unwrap(), address(port), now);
            assert_eq!(path.nominated(), Some(address(port)));
        }
        path.on_request(&Message::parse(&message(REQUEST, 78, true)).unwrap(), address(3), now);
        assert_eq!(path.nominated(), Some(address(2)));
    }

    fn proved(path: &mut Path, port: u16, now: Instant) {
        let id = u8::try_from(port).unwrap();
        path.on_request(&Message::parse(&message(REQUEST, 77, false)).unwrap(), address(port), now);
        path.on_sent(&message(REQUEST, id, false), address(port), now);
        path.on_response(&Message::parse(&message(SUCCESS, id, false)).unwrap(), address(port), now);
    }

    #[test]
    fn a_peer_that_asks_from_elsewhere_while_the_nominated_address_is_silent_has_moved() {
        let start = Instant::now();
        let mut path = Path::new(true, start);
        proved(&mut path, 1, start);
        path.on_request(&Message::parse(&message(REQUEST, 79, true)).unwrap(), address(1), start);
        let early = start + NOMINATED_SILENT.mul_f32(0.9);
        proved(&mut path, 2, early);
        assert_eq!(path.nominated(), Some(address(1)), "a second pair that is kept warm moves nothing");
        proved(&mut path, 2, start + NOMINATED_SILENT);
        assert_eq!(path.nominated(), Some(address(2)));
    }

    #[test]
    fn consent_is_given_by_the_answers_of_the_address_that_media_go_to() {
        let start = Instant::now();
        let mut path = Path::new(true, start);
        proved(&mut path, 1, start);
        path.on_request(&Message::parse(&message(REQUEST, 79, true)).unwrap(), address(1), start);
        let ask = |path: &mut Path, now| {
            path.on_request(&Message::parse(&message(REQUEST, 79, true)).unwrap(), address(1), now);
        };
        let mut now = start;
        while now < start + CONSENT_TIMEOUT {
            ask(&mut path, now);
            proved(&mut path, 2, now);
            now += Duration::from_secs(1);
        }
        assert_eq!((path.nominated(), path.last_answer()), (Some(address(1)), start), "it asks and answers no more");
        assert!(path.fall_back(now));
        ask(&mut path, now);
        assert_eq!(path.nominated(), Some(address(2)), "who asks without answering is not gone back to");
        assert!(path.last_answer() > start);
        assert!(!path.fall_back(now + CONSENT_TIMEOUT), "none is alive");
    }

    #[test]
    fn many_other_proved_addresses_do_not_push_the_nominated_one_out() {
        let now = Instant::now();
        let mut path = Path::new(true, now);
        proved(&mut path, 1, now);
        path.on_request(&Message::parse(&message(REQUEST, 79, true)).unwrap(), address(1), now);
        (2..50).for_each(|port| proved(&mut path, port, now));
        assert!(path.has_proved(address(1)) && path.has_proved(address(49)) && !path.has_proved(address(2)));
        assert_eq!(path.proved.len(), PROVED);
    }

    #[test]
    fn where_we_nominate_nobody_moves_us() {
        let start = Instant::now();
        let mut path = Path::new(false, start);
        proved(&mut path, 1, start);
        path.on_sent(&[22; 40], address(1), start);
        proved(&mut path, 2, start + NOMINATED_SILENT * 2);
        assert_eq!(path.nominated(), Some(address(1)));
    }
}
