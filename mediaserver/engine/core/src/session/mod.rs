//! One WebRTC session, sans-IO: datagrams and the time in, datagrams and facts out.
//!
//! Invariant: on a session where we send, nothing that is SRTP or SRTCP comes from here; the forwarder alone seals.

pub mod agent;
mod inbound;
mod path;
mod words;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::media::KeyframeRequestKind;
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, IceConnectionState, Input, Output as StrOutput, Rtc};

use crate::border::ViewerSpec;
use crate::dtls::{self, KeyTap};
use crate::negotiation::{LocalTransport, PeerTransport};
use crate::srtp::{Opener, SrtpKeys, SrtpProfile};
use crate::stun::{Class, Message};
pub use inbound::InboundTracks;
pub use path::Path;
pub use words::{CloseReason, Output, Role, is_rtp, is_srtp};

/// A session that is not connected after this is closed.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// A peer that proves nothing for this long is gone (RFC 7675).
pub const CONSENT_TIMEOUT: Duration = Duration::from_secs(30);

/// The media of a session.
#[derive(Debug)]
pub enum Media {
    Inbound(InboundTracks),
    Outbound(ViewerSpec),
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
    pub local_ufrag: String,
    local_password: String,
    peer: PeerTransport,
    /// Our addresses as str0m knows them: what a datagram is said to have been sent to.
    local_addresses: Vec<SocketAddr>,
    rtc: Rtc,
    tap: KeyTap,
    /// Reads the RTCP of a peer that sends to us a second time: str0m passes over BYE.
    opener: Option<Opener>,
    path: Path,
    phase: Phase,
    ice_connected: bool,
    nominated: Option<SocketAddr>,
    rtc_deadline: Instant,
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
        Self {
            role,
            media,
            created: now,
            local_ufrag: local.ufrag,
            local_password: local.password,
            peer,
            local_addresses: local.candidates,
            rtc,
            tap,
            opener: None,
            path: Path::new(now),
            phase: Phase::Handshaking,
            ice_connected: false,
            nominated: None,
            rtc_deadline: now,
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

    #[must_use]
    pub fn peer_ufrag(&self) -> &str {
        &self.peer.ufrag
    }

    /// Whether `message` is ours by its integrity; only then may it change anything.
    #[must_use]
    pub fn vouches_for(&self, message: &Message<'_>) -> bool {
        match message.class {
            Class::Request => message.is_from_holder_of(&self.local_password),
            Class::Success => self.path.awaits(message) && message.is_from_holder_of(&self.peer.password),
            Class::Other => false,
        }
    }

    /// A STUN message that the session vouches for.
    pub fn on_stun(&mut self, message: &Message<'_>, datagram: &[u8], from: SocketAddr, now: Instant) {
        match message.class {
            Class::Request => self.path.on_request(message, from, now),
            Class::Success => {
                if self.path.on_response(message, from, now) {
                    self.outputs.push_back(Output::Proved(from));
                }
            }
            Class::Other => return,
        }
        // FFmpeg leaves the mapped address out of its answers, and str0m drops those.
        let whole = match self.local_for(from) {
            Some(local) if message.class == Class::Success && !message.is_mapped => {
                Some(message.mapped_to(local, &self.peer.password))
            }
            _ => None,
        };
        self.receive(whole.as_deref().unwrap_or(datagram), from, now);
        if !self.ice_connected {
            // str0m spaces its checks by 50 ms; a turn right now sends the triggered one at once.
            self.feed(Input::Timeout(now));
        }
    }

    /// DTLS, SRTP or SRTCP from the peer.
    pub fn on_datagram(&mut self, datagram: &[u8], from: SocketAddr, now: Instant) {
        if let Media::Inbound(tracks) = &mut self.media
            && is_rtp(datagram)
        {
            tracks.learn_ssrc(&mut self.rtc, datagram);
        }
        self.receive(datagram, from, now);
        if is_srtp(datagram) && !is_rtp(datagram) && self.is_goodbye(datagram) {
            self.end(CloseReason::PeerClosed);
        }
    }

    pub fn on_timeout(&mut self, now: Instant) {
        if self.phase == Phase::Closed {
            return;
        }
        if !self.is_connected() && now >= self.created + HANDSHAKE_TIMEOUT {
            self.end(CloseReason::HandshakeTimeout);
        } else if self.is_connected() && now >= self.path.last_valid_check() + CONSENT_TIMEOUT {
            self.end(CloseReason::ConsentExpired);
        } else if now >= self.rtc_deadline {
            self.feed(Input::Timeout(now));
        }
    }

    /// When `on_timeout` wants to be called.
    #[must_use]
    pub fn next_deadline(&self) -> Instant {
        let limit = if self.is_connected() {
            self.path.last_valid_check() + CONSENT_TIMEOUT
        } else {
            self.created + HANDSHAKE_TIMEOUT
        };
        self.rtc_deadline.min(limit)
    }

    /// Ask the peer for a key frame of `track`.
    pub fn request_key_frame(&mut self, track: usize, now: Instant) {
        let Media::Inbound(tracks) = &self.media else { return };
        let Some(ssrc) = tracks.ssrc(track) else { return };
        if let Some(stream) = self.rtc.direct_api().stream_rx(&ssrc.into()) {
            stream.request_keyframe(KeyframeRequestKind::Pli);
            self.feed(Input::Timeout(now));
        }
    }

    /// Begin a session that we open: check the peer's `candidates`, as the controlling side.
    pub fn start(&mut self, candidates: Vec<Candidate>, now: Instant) {
        self.rtc.direct_api().set_ice_controlling(true);
        for candidate in candidates {
            self.rtc.add_remote_candidate(candidate);
        }
        self.feed(Input::Timeout(now));
    }

    /// Whether our check to `address` was answered.
    #[must_use]
    pub fn has_proved(&self, address: SocketAddr) -> bool {
        self.path.has_proved(address)
    }

    /// Say goodbye (DTLS `close_notify`, RTCP BYE where str0m reports) and be closed.
    pub fn close(&mut self) {
        if self.phase != Phase::Closed {
            self.phase = Phase::Closed;
            self.say_goodbye();
        }
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn is_goodbye(&mut self, datagram: &[u8]) -> bool {
        let (Media::Inbound(tracks), Some(opener)) = (&mut self.media, &mut self.opener) else { return false };
        let mut packet = datagram.to_vec();
        opener.open_rtcp(&mut packet).is_some_and(|length| tracks.all_ended(&packet[..length]))
    }

    fn receive(&mut self, datagram: &[u8], from: SocketAddr, now: Instant) {
        let Ok(contents) = datagram.try_into() else { return };
        let Some(destination) = self.local_for(from) else { return };
        self.feed(Input::Receive(now, Receive { proto: Protocol::Udp, source: from, destination, contents }));
    }

    /// The address of ours that stands for the one the datagram came to.
    fn local_for(&self, from: SocketAddr) -> Option<SocketAddr> {
        self.local_addresses.iter().copied().find(|address| address.is_ipv4() == from.is_ipv4())
    }

    fn feed(&mut self, input: Input<'_>) {
        if self.phase == Phase::Closed {
            return;
        }
        if self.rtc.handle_input(input).is_err() {
            self.end(CloseReason::Failed);
            return;
        }
        self.drain();
    }

    fn drain(&mut self) {
        let mut peer_closed = false;
        loop {
            match self.rtc.poll_output() {
                Ok(StrOutput::Timeout(at)) => {
                    self.rtc_deadline = at;
                    break;
                }
                Ok(StrOutput::Transmit(transmit)) => self.transmit(transmit.destination, transmit.contents.into()),
                Ok(StrOutput::Event(Event::Closed)) => peer_closed = true,
                Ok(StrOutput::Event(event)) => self.on_event(event),
                Err(_) => {
                    self.end(CloseReason::Failed);
                    return;
                }
            }
        }
        self.note_connected();
        self.note_path();
        if peer_closed {
            self.end(CloseReason::PeerClosed);
        }
    }

    fn transmit(&mut self, to: SocketAddr, datagram: Vec<u8>) {
        if !self.role.receives() && is_srtp(&datagram) {
            return;
        }
        self.path.on_sent(&datagram, to, self.role == Role::RelayIn);
        self.outputs.push_back(Output::Transmit { to, datagram });
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Connected if self.phase == Phase::Handshaking => self.phase = Phase::Verified,
            Event::IceConnectionStateChange(state) => {
                self.ice_connected = matches!(state, IceConnectionState::Connected | IceConnectionState::Completed);
            }
            _ => self.on_media_event(event),
        }
    }

    fn on_media_event(&mut self, event: Event) {
        let Media::Inbound(tracks) = &mut self.media else { return };
        match event {
            Event::RtpPacket(packet) => {
                if let Some(track) = tracks.of_packet(&mut self.rtc, &packet) {
                    self.outputs.push_back(Output::Packet { track, packet: inbound::source_packet(packet) });
                }
            }
            Event::SenderFeedback(report) => {
                if let Some(track) = tracks.with_mid(report.mid) {
                    let info = report.sender_info;
                    #[allow(clippy::cast_possible_truncation, reason = "an RTP timestamp is the low 32 bits")]
                    let rtp_timestamp = info.rtp_time.numer() as u32;
                    self.outputs.push_back(Output::Report { track, ntp: inbound::ntp(info.ntp_time), rtp_timestamp });
                }
            }
            Event::MediaIngressStats(figures) => tracks.note_figures(figures),
            _ => {}
        }
    }

    /// Connected means: handshake done, fingerprint right (str0m fails otherwise) and keys there.
    fn note_connected(&mut self) {
        if self.phase != Phase::Verified {
            return;
        }
        let Some(exported) = self.tap.take() else { return };
        let client = self.peer.setup.makes_us_active();
        match keys(&exported, client) {
            Some(keys) if self.role != Role::RelayOut || keys.profile != SrtpProfile::Aes128CmSha1_80 => {
                self.phase = Phase::Connected;
                self.opener = self.role.receives().then(|| Opener::new(&keys));
                self.outputs.push_back(Output::Connected(keys));
            }
            _ => self.end(CloseReason::Failed),
        }
    }

    fn note_path(&mut self) {
        if let Some(nominated) = self.path.nominated()
            && self.nominated != Some(nominated)
        {
            self.nominated = Some(nominated);
            self.outputs.push_back(Output::Nominated(nominated));
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
        // An error means that there is no handshake to end: nobody to tell.
        let _ = self.rtc.close();
        loop {
            match self.rtc.poll_output() {
                Ok(StrOutput::Transmit(transmit)) => self.transmit(transmit.destination, transmit.contents.into()),
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
