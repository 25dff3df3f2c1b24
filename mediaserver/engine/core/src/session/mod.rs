//! One WebRTC session, sans-IO: datagrams and the time in, datagrams and facts out.
//!
//! Invariant: str0m does ICE and DTLS and never has a key, so under each session's keys one party seals: the receiver where the
//! peer sends media, the forwarder where we do.

pub mod agent;
mod ice;
mod path;
mod restart;
mod words;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::net::{Receive, TcpType, Transmit};
use str0m::{Candidate, Event, IceConnectionState, IceCreds, Input, Output as StrOutput, Rtc};

use crate::border::ViewerSpec;
use crate::dtls::{self, KeyTap};
use crate::link::Link;
use crate::negotiation::{LocalTransport, PeerTransport, Setup};
use crate::receive::{Received, Receiver};
use crate::srtp::{SrtpKeys, SrtpProfile};
use crate::stun::{self, Message};
use crate::tcp;
use ice::Ice;
pub use ice::RESTART_TIMEOUT;
pub use path::{NOMINATED_SILENT, Path};
pub use restart::Restart;
pub use words::{CloseReason, Output, Role, is_rtp, is_srtp};

/// A session that is not connected after this is closed.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// A peer that proves nothing for this long is gone (RFC 7675).
pub const CONSENT_TIMEOUT: Duration = Duration::from_secs(30);

/// The media of a session.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // One for each session, never moved.
pub enum Media {
    Inbound(Receiver),
    Outbound(ViewerSpec),
    /// Those of its legs, which the node has.
    Link(Link),
}

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
        let mut ices = std::iter::once(&mut self.ice).chain(&mut self.restarted);
        let Some(ice) = ices.find(|ice| ice.vouches_for(message)) else { return };
        if let Some(round_trip) = ice.on_stun(message, from, now) {
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
        } else if self.is_connected() && now >= self.last_consent() + CONSENT_TIMEOUT {
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

    /// Ask the peer for a key frame of `track`.
    pub fn request_key_frame(&mut self, track: usize) {
        if let Media::Inbound(receiver) = &mut self.media {
            receiver.request_key_frame(track);
            self.take_received();
        }
    }

    /// Have the peer, another node, send the layer that is `track`, or send it no more.
    pub fn want_layer(&mut self, track: usize, wanted: bool) {
        if let Media::Inbound(receiver) = &mut self.media {
            receiver.want_layer(track, wanted);
            self.take_received();
        }
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

    fn receive(&mut self, datagram: &[u8], from: SocketAddr, now: Instant) {
        let Ok(contents) = datagram.try_into() else { return };
        let Some(destination) = self.ice.local_for(from) else { return };
        let (proto, source) = (ice::protocol(from), tcp::plain(from));
        self.feed(Input::Receive(now, Receive { proto, source, destination, contents }));
    }

    fn feed(&mut self, input: Input<'_>) {
        if self.phase == Phase::Closed {
            return;
        }
        let (Input::Timeout(now) | Input::Receive(now, _)) = input;
        if self.rtc.handle_input(input).is_err() {
            self.end(CloseReason::Failed);
            return;
        }
        self.drain(now);
    }

    fn drain(&mut self, now: Instant) {
        let mut peer_closed = false;
        loop {
            match self.rtc.poll_output() {
                Ok(StrOutput::Timeout(at)) => {
                    self.rtc_deadline = at;
                    break;
                }
                Ok(StrOutput::Transmit(transmit)) => {
                    self.transmit(transmit, Some(now));
                }
                Ok(StrOutput::Event(Event::Closed)) => peer_closed = true,
                Ok(StrOutput::Event(event)) => self.on_event(&event),
                Err(_) => {
                    self.end(CloseReason::Failed);
                    return;
                }
            }
        }
        self.note_connected(now);
        self.note_path();
        if peer_closed {
            self.end(CloseReason::PeerClosed);
        }
    }

    /// What str0m sends. It knows nothing of restarts and of peers that have moved: what is no check goes where the media go.
    /// `now`: None for a goodbye, after which nothing counts.
    fn transmit(&mut self, transmit: Transmit, now: Option<Instant>) {
        let to = self.ice.peer(transmit.proto, transmit.destination);
        let datagram: Vec<u8> = transmit.contents.into();
        let is_check = stun::looks_like(&datagram);
        if is_check && !self.ice.is_of_str0m() {
            return;
        }
        let to = if is_check || self.role.is_ours() { to } else { self.nominated.or(to) };
        let Some(to) = to else { return };
        if let Some(now) = now {
            self.ice.path.on_sent(&datagram, to, now);
        }
        self.outputs.push_back(Output::Transmit { to, datagram });
    }

    fn on_event(&mut self, event: &Event) {
        match event {
            Event::Connected if self.phase == Phase::Handshaking => self.phase = Phase::Verified,
            Event::IceConnectionStateChange(state) => {
                self.ice_connected = matches!(state, IceConnectionState::Connected | IceConnectionState::Completed);
            }
            _ => {}
        }
    }

    fn take_received(&mut self) {
        let Media::Inbound(receiver) = &mut self.media else { return };
        let mut ended = None;
        while let Some(received) = receiver.poll_output() {
            self.outputs.push_back(match received {
                Received::Packet { track, packet } => Output::Packet { track, packet },
                Received::Report { track, ntp, rtp_timestamp } => Output::Report { track, ntp, rtp_timestamp },
                Received::Retuned { track, spec } => Output::Retuned { track, spec },
                Received::NeedsKeyFrame { track } => Output::NeedsKeyFrame { track },
                Received::Feedback(datagram) => {
                    let Some(to) = self.nominated else { continue };
                    Output::Transmit { to, datagram }
                }
                Received::Ended => {
                    ended = Some(CloseReason::PeerClosed);
                    continue;
                }
                Received::TooFast => {
                    ended = Some(CloseReason::TooFast);
                    continue;
                }
            });
        }
        if let Some(reason) = ended {
            self.end(reason);
        }
    }

    /// Connected means: handshake done, fingerprint right (str0m fails otherwise) and keys there.
    fn note_connected(&mut self, now: Instant) {
        if self.phase != Phase::Verified {
            return;
        }
        let Some(exported) = self.tap.take() else { return };
        let client = self.peer_setup.makes_us_active();
        match keys(&exported, client) {
            Some(keys) if self.role.takes_any_cipher() || keys.profile != SrtpProfile::Aes128CmSha1_80 => {
                self.phase = Phase::Connected;
                if let Media::Inbound(receiver) = &mut self.media {
                    receiver.set_keys(&keys, now);
                }
                self.outputs.push_back(Output::Connected(keys));
            }
            _ => self.end(CloseReason::Failed),
        }
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

    fn say_goodbye(&mut self) {
        if let Media::Inbound(receiver) = &mut self.media {
            receiver.say_bye();
            self.take_received();
        }
        // An error means that there is no handshake to end: nobody to tell.
        let _ = self.rtc.close();
        loop {
            match self.rtc.poll_output() {
                Ok(StrOutput::Transmit(transmit)) => {
                    self.transmit(transmit, None);
                }
                Ok(StrOutput::Event(_)) => {}
                Ok(StrOutput::Timeout(_)) | Err(_) => return,
            }
        }
    }
}

fn keys(exported: &dtls::SrtpKeys, we_are_client: bool) -> Option<SrtpKeys> {
    use str0m::crypto::dtls::SrtpProfile as Exported;
    let profile = match exported.profile {
        Exported::AEAD_AES_256_GCM => SrtpProfile::AeadAes256Gcm,
        Exported::AEAD_AES_128_GCM => SrtpProfile::AeadAes128Gcm,
        Exported::AES128_CM_SHA1_80 => SrtpProfile::Aes128CmSha1_80,
        #[allow(unreachable_patterns, reason = "the enum may grow")]
        _ => return None,
    };
    SrtpKeys::from_exporter(profile, &exported.material, we_are_client)
}
