//! SRTP and SRTCP: sealing what goes to a viewer, opening what comes from it (RFC 3711, RFC 7714).

mod cipher;
mod index_window;
mod nonce_guard;
#[cfg(test)]
mod vectors;

use cipher::Cipher;
pub(crate) use index_window::{IndexState, IndexWindow};
pub use nonce_guard::IndexUse;
use nonce_guard::NonceGuard;
use smallvec::SmallVec;

/// The protection profiles of a DTLS-SRTP session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SrtpProfile {
    AeadAes128Gcm,
    AeadAes256Gcm,
    Aes128CmSha1_80,
}

impl SrtpProfile {
    /// Bytes of master key and master salt.
    #[must_use]
    pub const fn lengths(self) -> (usize, usize) {
        match self {
            Self::AeadAes128Gcm => (16, 12),
            Self::AeadAes256Gcm => (32, 12),
            Self::Aes128CmSha1_80 => (16, 14),
        }
    }
}

/// Master key and salt of one direction.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey {
    pub key: Vec<u8>,
    pub salt: Vec<u8>,
}

/// Both directions of a session.
#[derive(Clone, PartialEq, Eq)]
pub struct SrtpKeys {
    pub profile: SrtpProfile,
    /// What we seal with.
    pub local: MasterKey,
    /// What the peer seals with.
    pub remote: MasterKey,
}

/// Names the profile, never the keys.
impl std::fmt::Debug for SrtpKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SrtpKeys").field("profile", &self.profile).finish_non_exhaustive()
    }
}

impl SrtpKeys {
    /// Split the keying material that DTLS exports (RFC 5764, 4.2). None when it is too short.
    #[must_use]
    pub fn from_exporter(profile: SrtpProfile, material: &[u8], we_are_dtls_client: bool) -> Option<Self> {
        let (key, salt) = profile.lengths();
        let part = |from: usize, len: usize| material.get(from..from + len).map(<[u8]>::to_vec);
        let client = MasterKey { key: part(0, key)?, salt: part(2 * key, salt)? };
        let server = MasterKey { key: part(key, key)?, salt: part(2 * key + salt, salt)? };
        let (local, remote) = if we_are_dtls_client { (client, server) } else { (server, client) };
        Some(Self { profile, local, remote })
    }
}

/// An RTP packet that begins at the end of a buffer and is to be sealed there.
#[derive(Debug, Clone, Copy)]
pub struct Unsealed<'a> {
    /// Bytes of its header, with which it begins.
    pub header: usize,
    /// Its last part but for the padding, where that is not in the buffer: it is encrypted on its way there.
    pub rest: &'a [u8],
    pub padding: &'a [u8],
}

impl Unsealed<'_> {
    /// All of the packet is in the buffer.
    #[must_use]
    pub const fn whole(header: usize) -> Self {
        Self { header, rest: &[], padding: &[] }
    }
}

/// Seals everything of one session: there is one per key, and it hands out no nonce twice.
pub struct Sealer {
    rtp: Cipher,
    rtcp: Cipher,
    /// By SSRC; beside the sealer in memory, for they are read for every packet.
    guards: SmallVec<[(u32, NonceGuard); 4]>,
    next_rtcp_index: u32,
}

impl Sealer {
    #[must_use]
    pub fn new(keys: &SrtpKeys) -> Self {
        Self {
            rtp: Cipher::for_rtp(keys.profile, &keys.local),
            rtcp: Cipher::for_rtcp(keys.profile, &keys.local),
            guards: SmallVec::new(),
            next_rtcp_index: 1,
        }
    }

    /// Bytes that sealing adds to an RTP packet.
    #[must_use]
    pub fn rtp_overhead(&self) -> usize {
        self.rtp.tag_len()
    }

    /// Begin to fetch what sealing the next packets reads.
    #[inline]
    pub fn prefetch_keys(&self) {
        self.rtp.prefetch();
    }

    /// Begin to fetch where the next indices are marked, once the sealer itself is there.
    #[inline]
    pub fn prefetch_marks(&self) {
        for (_, guard) in &self.guards {
            guard.prefetch_next();
        }
    }

    /// Whether `index` of `ssrc` went out and may be sealed again with the same bytes.
    #[must_use]
    pub fn was_sealed(&self, ssrc: u32, index: u64) -> bool {
        self.guards.iter().any(|(known, guard)| *known == ssrc && guard.knows(index))
    }

    /// Seal the RTP packet `buffer[start..]`, of which `unsealed` tells the rest. False: the index may not be used, and the packet is taken
    /// off the buffer.
    #[must_use]
    pub fn seal_rtp(
        &mut self,
        buffer: &mut Vec<u8>,
        start: usize,
        unsealed: Unsealed<'_>,
        index: u64,
        index_use: IndexUse,
    ) -> bool {
        let Some(ssrc) = ssrc_at(&buffer[start..], 8) else { return false };
        let parts = [&buffer[start..], unsealed.rest, unsealed.padding];
        if !guard(&mut self.guards, ssrc).admit(index, index_use, parts) {
            buffer.truncate(start);
            return false;
        }
        self.rtp.seal_rtp(buffer, start, unsealed, ssrc, index);
        true
    }

    /// Seal the compound RTCP packet `buffer[start..]`. False: the session's indices are used up (RFC 3711, 3.4).
    #[must_use]
    pub fn seal_rtcp(&mut self, buffer: &mut Vec<u8>, start: usize) -> bool {
        let Some(ssrc) = ssrc_at(&buffer[start..], 4).filter(|_| self.next_rtcp_index < 1 << 31) else {
            buffer.truncate(start);
            return false;
        };
        let index = self.next_rtcp_index;
        self.next_rtcp_index += 1;
        self.rtcp.seal_rtcp(buffer, start, ssrc, index);
        true
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("next_rtcp_index", &self.next_rtcp_index).finish_non_exhaustive()
    }
}

fn guard(guards: &mut SmallVec<[(u32, NonceGuard); 4]>, ssrc: u32) -> &mut NonceGuard {
    let at = guards.iter().position(|(known, _)| *known == ssrc).unwrap_or_else(|| {
        guards.push((ssrc, NonceGuard::default()));
        guards.len() - 1
    });
    &mut guards[at].1
}

/// SSRCs that one peer may use: each needs a window.
const MAX_SSRCS: usize = 64;

/// Opens what a peer seals; each packet once.
pub struct Opener {
    rtp: Cipher,
    rtcp: Cipher,
    rtp_windows: Vec<(u32, IndexWindow)>,
    rtcp_windows: Vec<(u32, IndexWindow)>,
}

impl Opener {
    #[must_use]
    pub fn new(keys: &SrtpKeys) -> Self {
        Self {
            rtp: Cipher::for_rtp(keys.profile, &keys.remote),
            rtcp: Cipher::for_rtcp(keys.profile, &keys.remote),
            rtp_windows: Vec::new(),
            rtcp_windows: Vec::new(),
        }
    }

    /// Open an SRTP packet in place: (extended number, length of header and payload). None: not authentic, or a replay.
    #[must_use]
    pub fn open_rtp(&mut self, packet: &mut [u8]) -> Option<(u64, usize)> {
        let header = crate::rtp::header_len(packet)?;
        let ssrc = ssrc_at(packet, 8)?;
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        let Some(window) = find(&self.rtp_windows, ssrc) else {
            return self.open_first(packet, header, ssrc, sequence);
        };
        let index = nearest(window.highest()?, sequence);
        if window.state(index) != IndexState::Fresh {
            return None;
        }
        let len = self.rtp.open_rtp(packet, header, ssrc, index)?;
        mark(&mut self.rtp_windows, ssrc, index);
        Some((index, len))
    }

    /// The first of an SSRC: its sender may have gone round once while the packets before it were lost.
    fn open_first(&mut self, packet: &mut [u8], header: usize, ssrc: u32, sequence: u16) -> Option<(u64, usize)> {
        if self.rtp_windows.len() >= MAX_SSRCS {
            return None;
        }
        let sealed = packet.to_vec();
        for index in [u64::from(sequence), 0x1_0000 + u64::from(sequence)] {
            packet.copy_from_slice(&sealed);
            if let Some(len) = self.rtp.open_rtp(packet, header, ssrc, index) {
                mark(&mut self.rtp_windows, ssrc, index);
                return Some((index, len));
            }
        }
        None
    }

    /// Open an SRTCP packet in place: the length of the compound packet. None: not authentic, or a replay.
    #[must_use]
    pub fn open_rtcp(&mut self, packet: &mut [u8]) -> Option<usize> {
        let ssrc = ssrc_at(packet, 4)?;
        let index = self.rtcp.rtcp_index(packet)?;
        if find(&self.rtcp_windows, ssrc).is_some_and(|w| w.state(index.into()) != IndexState::Fresh) {
            return None;
        }
        if find(&self.rtcp_windows, ssrc).is_none() && self.rtcp_windows.len() >= MAX_SSRCS {
            return None;
        }
        let len = self.rtcp.open_rtcp(packet, ssrc, index)?;
        mark(&mut self.rtcp_windows, ssrc, index.into());
        Some(len)
    }
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opener").finish_non_exhaustive()
    }
}

fn find(windows: &[(u32, IndexWindow)], ssrc: u32) -> Option<&IndexWindow> {
    windows.iter().find(|(known, _)| *known == ssrc).map(|(_, window)| window)
}

fn mark(windows: &mut Vec<(u32, IndexWindow)>, ssrc: u32, index: u64) {
    let at = windows.iter().position(|(known, _)| *known == ssrc).unwrap_or_else(|| {
        windows.push((ssrc, IndexWindow::default()));
        windows.len() - 1
    });
    windows[at].1.mark(index);
}

/// The index nearest to the highest so far that has these low bits (RFC 3711, 3.3.1).
pub(crate) fn nearest(highest: u64, sequence: u16) -> u64 {
    let here = (highest & !0xffff) | u64::from(sequence);
    if here + 0x8000 < highest {
        here + 0x1_0000
    } else if here > highest + 0x8000 && here >= 0x1_0000 {
        here - 0x1_0000
    } else {
        here
    }
}

fn ssrc_at(packet: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(packet.get(at..at + 4)?.try_into().ok()?))
}
