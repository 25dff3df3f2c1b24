//! One WebRTC session, sans-IO: datagrams and the time in, datagrams and facts out.
//!
//! Invariant: str0m does ICE and DTLS and never has a key, so under each session's keys one party seals: the receiver where the
//! peer sends media, the forwarder where we do.

pub mod agent;
mod callers;
mod ice;
mod media;
mod path;
mod restart;
mod transport;
mod words;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::net::TcpType;
use str0m::{Candidate, IceCreds, Input, Rtc};

use crate::dtls::KeyTap;
use crate::negotiation::{LocalTransport, PeerTransport, Setup};
use crate::stun::{Class, Message};
use crate::tcp;
use ice::Ice;
pub use ice::RESTART_TIMEOUT;
pub use media::Media;
pub use path::{NOMINATED_SILENT, Path};
pub use restart::Restart;
pub use words::{CloseReason, Output, Role, is_rtp, is_srtp};

/// A session that is not connected after this is closed.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// A peer that proves nothing for this long is gone (RFC 7675).
pub const CONSENT_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Handshaking,
    /// DTLS is finished; the keys follow at once.
    Verified,
    Connected,
    Closed,
}

pub struct Session {
    pub role: Role,
    pub media: Media,
    pub created: Instant,
    peer_setup: Setup,
    /// Between nodes: its one connection is all it has.
    over_tcp: bool,
    ice: Ice,
    /// Begun by the peer, and nothing of it nominated yet.
    restarted: Option<Ice>,
    rtc: Rtc,
    tap: KeyTap,
    phase: Phase,
    ice_connected: bool,
    nominated: Option<SocketAddr>,
    rtc_deadline: Instant,
    /// Of ICE agents of our own.
    ice_deadline: Option<Instant>,
    outputs: VecDeque<Output>,
}

/// What a session is made of.
pub struct Parts {
    pub role: Role,
    pub media: Media,
    pub local: LocalTransport,
    pub peer: PeerTransport,
    pub agent: (Rtc, KeyTap),
}

impl Session {
    #[must_use]
    pub fn new(parts: Parts, now: Instant) -> Self {
        let Parts { role, media, local, peer, agent: (rtc, tap) } = parts;
        let ours = IceCreds { ufrag: local.ufrag, pass: local.password };
        let theirs = IceCreds { ufrag: peer.ufrag, pass: peer.password };
        Self {
            role,
            media,
            created: now,
            peer_setup: peer.setup,
            ice: Ice::of_str0m(ours, theirs, (local.candidates, local.tcp), !role.is_ours(), now),
            over_tcp: peer.over_tcp,
            restarted: None,
            rtc,
            tap,
            phase: Phase::Handshaking,
            ice_connected: false,
            nominated: None,
            rtc_deadline: now,
            ice_deadline: None,
            outputs: VecDeque::new(),
        }
    }

    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.phase == Phase::Connected
    }

    #[must_use]
    pub const fn remote(&self) -> Option<SocketAddr> {
        self.nominated
    }

    /// The connection that carries a relay over TCP.
    #[must_use]
    pub fn relay_connection(&self) -> Option<SocketAddr> {
        self.nominated.filter(|_| self.over_tcp)
    }

    /// Whether `message` is ours by its integrity; only then may it change anything.
    #[must_use]
    pub fn vouches_for(&self, message: &Message<'_>) -> bool {
        self.ices().any(|ice| ice.vouches_for(message))
    }

    /// A STUN message that the session vouches for.
    pub fn on_stun(&mut self, message: &Message<'_>, datagram: &[u8], from: SocketAddr, now: Instant) {
        // Until DTLS has its keys str0m needs its own agent.
        let renewable = self.phase == Phase::Connected && !self.role.is_ours();
        let mut ices = std::iter::once(&mut self.ice).chain(&mut self.restarted);
        let Some(ice) = ices.find(|ice| ice.vouches_for(message)) else { return };
        if message.class == Class::Request && !ice.admit(from, datagram.len(), renewable, now) {
            return;
        }
        let round_trip = ice.on_stun(message, from, now);
        if message.class == Class::Success && round_trip.is_none() {
            // From elsewhere than asked: it proves nothing, and the agent would remember the address.
            return;
        }
        if let Some(round_trip) = round_trip {
            self.outputs.push_back(Output::Proved(from));
            match &mut self.media {
                Media::Inbound(receiver) => receiver.note_round_trip(round_trip),
                Media::Link(link) => {
                    link.round_trip = Some(round_trip);
                    self.outputs.push_back(Output::RoundTrip(round_trip));
                }
                Media::Outbound(_) => {}
            }
        }
        let whole = ice.completed(message, from);
        let datagram = whole.as_deref().unwrap_or(datagram);
        if !ice.is_of_str0m() {
            ice.receive(datagram, from, now);
            self.drain_ices(now);
            self.note_path();
            return;
        }
        self.receive(datagram, from, now);
        if !self.ice_connected {
            // str0m spaces its checks by 50 ms; a turn right now sends the triggered one at once.
            self.feed(Input::Timeout(now));
        }
    }

    /// DTLS, SRTP or SRTCP from the peer.
    pub fn on_datagram(&mut self, datagram: &[u8], from: SocketAddr, now: Instant) {
        if !is_srtp(datagram) {
            self.receive(datagram, from, now);
        } else if let (Media::Inbound(receiver), true) = (&mut self.media, self.phase == Phase::Connected) {
            receiver.on_datagram(datagram, now);
            self.take_received();
        }
    }

    /// A TCP connection with the peer is closed.
    pub fn on_connection_closed(&mut self, connection: SocketAddr) {
        std::iter::once(&mut self.ice).chain(&mut self.restarted).for_each(|ice| ice.on_connection_closed(connection));
        self.nominated = self.nominated.filter(|nominated| *nominated != connection);
        if self.over_tcp {
            self.end(CloseReason::ConnectionLost);
        }
    }

    pub fn on_timeout(&mut self, now: Instant) {
        if self.phase == Phase::Closed {
            return;
        }
        if !self.is_connected() && now >= self.created + HANDSHAKE_TIMEOUT {
            self.end(CloseReason::HandshakeTimeout);
        } else if self.is_connected() && now >= self.last_consent() + CONSENT_TIMEOUT && !self.fall_back(now) {
            self.end(CloseReason::ConsentExpired);
        } else {
            self.turn_ices(now);
            if now >= self.rtc_deadline {
                self.feed(Input::Timeout(now));
            }
        }
        if let Media::Inbound(receiver) = &mut self.media
            && receiver.next_deadline().is_some_and(|at| at <= now)
        {
            receiver.on_timeout(now);
            self.take_received();
        }
    }

    /// When `on_timeout` wants to be called.
    #[must_use]
    pub fn next_deadline(&self) -> Instant {
        let limit =
            if self.is_connected() { self.last_consent() + CONSENT_TIMEOUT } else { self.created + HANDSHAKE_TIMEOUT };
        let media = match &self.media {
            Media::Inbound(receiver) => receiver.next_deadline(),
            Media::Outbound(_) | Media::Link(_) => None,
        };
        [media, self.ice_deadline].into_iter().flatten().fold(self.rtc_deadline.min(limit), Instant::min)
    }

    /// How long the peer has proved nothing.
    #[must_use]
    pub fn silence(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.last_consent())
    }

    /// Begin a session that we open: check the peer's `candidates`, as the controlling side.
    pub fn start(&mut self, candidates: Vec<Candidate>, now: Instant) {
        self.rtc.direct_api().set_ice_controlling(true);
        for candidate in candidates {
            self.rtc.add_remote_candidate(candidate);
        }
        self.feed(Input::Timeout(now));
    }

    /// The same by a connection that is open to the peer.
    pub fn start_on(&mut self, connection: SocketAddr, now: Instant) {
        self.ice.on_dialled(connection);
        let passive = Candidate::builder().tcp().host(tcp::plain(connection)).tcptype(TcpType::Passive).build();
        self.start(passive.into_iter().collect(), now);
    }

    /// No connection to the peer came about.
    pub fn on_unreachable(&mut self) {
        self.end(CloseReason::Unreachable);
    }

    /// Whether our check to `address` was answered.
    #[must_use]
    pub fn has_proved(&self, address: SocketAddr) -> bool {
        self.ices().any(|ice| ice.path.has_proved(address))
    }

    #[cfg(test)]
    pub fn say(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    #[cfg(test)]
    pub fn known_addresses(&self) -> usize {
        self.ices().map(Ice::known_addresses).sum()
    }

    /// Say goodbye (DTLS `close_notify`, RTCP BYE where we report) and be closed.
    pub fn close(&mut self) {
        if self.phase != Phase::Closed {
            self.phase = Phase::Closed;
            self.say_goodbye();
        }
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn note_path(&mut self) {
        self.take_over();
        if let Some(nominated) = self.ice.path.nominated()
            && self.nominated != Some(nominated)
        {
            self.nominated = Some(nominated);
            self.outputs.push_back(Output::Nominated(nominated));
            // The first is nominated before there are keys. (A closed connection is not nominated any more.)
            if self.is_connected() && self.role == Role::Publisher {
                self.outputs.push_back(Output::Moved);
            }
        }
    }

    fn end(&mut self, reason: CloseReason) {
        if self.phase == Phase::Closed {
            return;
        }
        self.phase = Phase::Closed;
        if reason != CloseReason::Failed {
            self.say_goodbye();
        }
        self.outputs.push_back(Output::Closed(reason));
    }
}
