//! Driving str0m, which does ICE and DTLS: what comes for it, what it sends, when its handshake is done.

use std::net::SocketAddr;
use std::time::Instant;

use str0m::net::{Receive, Transmit};
use str0m::{Event, IceConnectionState, Input, Output as StrOutput};

use super::{CloseReason, Media, Output, Phase, Session, ice};
use crate::srtp::{SrtpKeys, SrtpProfile};
use crate::{dtls, stun, tcp};

impl Session {
    pub(super) fn receive(&mut self, datagram: &[u8], from: SocketAddr, now: Instant) {
        let Ok(contents) = datagram.try_into() else { return };
        let Some(destination) = self.ice.local_for(from) else { return };
        let (proto, source) = (ice::protocol(from), tcp::plain(from));
        self.feed(Input::Receive(now, Receive { proto, source, destination, contents }));
    }

    pub(super) fn feed(&mut self, input: Input<'_>) {
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
        let Some(to) = to.filter(|to| self.ice.may_send(*to, datagram.len())) else { return };
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

    pub(super) fn say_goodbye(&mut self) {
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
