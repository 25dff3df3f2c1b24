//! ICE restarts (RFC 8445, 9; RFC 9725, 4.3.3): a second ICE session beside the first, which carries the media until the peer has
//! nominated a pair of the second, and stands if that never happens.

use std::net::SocketAddr;
use std::time::Instant;

use is::IceCreds;

use super::ice::{Ice, RESTART_TIMEOUT};
use super::{Media, Output, Phase, Role, Session};
use crate::negotiation::fragment::Tagged;

/// What a restart is made of.
pub struct Restart {
    pub local: IceCreds,
    pub peer: IceCreds,
    pub addresses: Vec<SocketAddr>,
    pub tcp: bool,
}

impl Session {
    /// The ICE user names under which datagrams lead here.
    pub fn local_ufrags(&self) -> impl Iterator<Item = &str> {
        self.ices().map(|ice| ice.local.ufrag.as_str())
    }

    /// The peer's ICE user name, the newest.
    #[must_use]
    pub fn peer_ufrag(&self) -> &str {
        &self.restarted.as_ref().unwrap_or(&self.ice).peer.ufrag
    }

    /// Begin an ICE session with new credentials on both sides; one that was begun before and led nowhere is forgotten.
    /// False: not on a session that we opened, where we restart or nobody.
    pub fn restart(&mut self, restart: Restart, now: Instant) -> bool {
        let Restart { local, peer, mut addresses, tcp } = restart;
        if self.role.is_ours() {
            return false;
        }
        if self.role == Role::RelayOut {
            addresses.clone_from(&self.ice.addresses);
        }
        let heard = self.last_consent();
        self.forget_restart();
        if self.has_begun() {
            self.restarted = Some(Ice::restarted(local, peer, (addresses, tcp), heard, now));
            self.drain_ices(now);
        } else {
            // Nothing flows yet that could go on: str0m begins anew.
            self.rtc.direct_api().set_local_ice_credentials(local.clone());
            self.rtc.direct_api().set_remote_ice_credentials(peer.clone());
            let addresses = (std::mem::take(&mut self.ice.addresses), self.ice.tcp);
            let old = std::mem::replace(&mut self.ice, Ice::of_str0m(local, peer, addresses, true, now));
            self.outputs.push_back(Output::Forgotten { ufrag: old.local.ufrag });
        }
        true
    }

    /// Whether str0m's agent has found a way, which may be broken by now. (It would hold on to it with new credentials as well.)
    fn has_begun(&self) -> bool {
        self.nominated.is_some() || self.ice_connected || self.phase != Phase::Handshaking || !self.ice.is_of_str0m()
    }

    /// Addresses to be told to the peer, and the media section that stands for all (RFC 9143: the tagged one).
    #[must_use]
    pub fn tagged(&self) -> Tagged {
        let (mids, first) = match &self.media {
            Media::Inbound(receiver) => (receiver.mids(), receiver.first()),
            Media::Outbound(spec) => {
                let first =
                    spec.tracks.first().and_then(|track| Some((track.kind, track.payloads.first()?.payload_type)));
                (spec.tracks.iter().map(|track| track.mid.clone()).collect(), first)
            }
            Media::Link(_) => (Vec::new(), None),
        };
        Tagged { addresses: self.newest().addresses.clone(), tcp: self.newest().tcp, mids, first }
    }

    pub(super) fn ices(&self) -> impl Iterator<Item = &Ice> {
        std::iter::once(&self.ice).chain(&self.restarted)
    }

    /// When the peer last consented: by its answers where it is sent media (RFC 7675, 5.1). Who sends them to us consents by asking
    /// as well, on the old way or the new one: `FFmpeg` asks and does not answer any more.
    pub(super) fn last_consent(&self) -> Instant {
        let receives = self.role.receives();
        let of = |ice: &Ice| if receives { ice.path.last_valid_check() } else { ice.path.last_answer() };
        let new = self.restarted.as_ref().filter(|_| receives || self.nominated.is_none());
        new.map(of).into_iter().fold(of(&self.ice), Instant::max)
    }

    /// Where media go there is no consent any more: on to where there is, on the old way or the new one. False: nowhere.
    pub(super) fn fall_back(&mut self, now: Instant) -> bool {
        let mut ices = std::iter::once(&mut self.ice).chain(&mut self.restarted);
        let found = ices.any(|ice| ice.path.fall_back(now));
        if found {
            self.note_path();
        }
        found
    }

    pub(super) fn turn_ices(&mut self, now: Instant) {
        if self.restarted.as_ref().is_some_and(|ice| now >= ice.began + RESTART_TIMEOUT) {
            self.forget_restart();
        }
        std::iter::once(&mut self.ice).chain(&mut self.restarted).for_each(|ice| ice.on_timeout(now));
        self.drain_ices(now);
    }

    pub(super) fn drain_ices(&mut self, now: Instant) {
        let outputs = &mut self.outputs;
        let mut deadline = self.restarted.as_ref().map(|ice| ice.began + RESTART_TIMEOUT);
        for ice in std::iter::once(&mut self.ice).chain(&mut self.restarted) {
            while let Some((to, datagram)) = ice.poll_transmit(now) {
                outputs.push_back(Output::Transmit { to, datagram });
            }
            deadline = [deadline, ice.deadline()].into_iter().flatten().min();
        }
        self.ice_deadline = deadline;
    }

    /// The peer has nominated a pair of the restarted ICE session: the one before ends.
    pub(super) fn take_over(&mut self) {
        if let Some(new) = self.restarted.take_if(|ice| ice.path.nominated().is_some()) {
            let old = std::mem::replace(&mut self.ice, new);
            self.outputs.push_back(Output::Forgotten { ufrag: old.local.ufrag });
        }
    }

    fn forget_restart(&mut self) {
        if let Some(old) = self.restarted.take() {
            self.outputs.push_back(Output::Forgotten { ufrag: old.local.ufrag });
        }
    }

    fn newest(&self) -> &Ice {
        self.restarted.as_ref().unwrap_or(&self.ice)
    }
}
