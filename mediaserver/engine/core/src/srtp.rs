//! SRTP and SRTCP.

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
