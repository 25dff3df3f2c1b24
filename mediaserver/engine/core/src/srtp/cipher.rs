//! The three protections of SRTP on byte ranges: RFC 3711 (AES-CM, HMAC-SHA1) and RFC 7714 (AES-GCM).

use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use rivulet_hot::{GcmKey, TAG};

use super::{MasterKey, SrtpProfile, Unsealed};

const CM_TAG: usize = 10;
/// What of an SRTCP packet stays in the clear.
const RTCP_HEADER: usize = 8;
/// The E flag of SRTCP: the packet is encrypted.
const ENCRYPTED: u32 = 1 << 31;

/// Labels of the key derivation (RFC 3711, 4.3.1): key, authentication key, salt.
const RTP_LABELS: [u8; 3] = [0, 1, 2];
const RTCP_LABELS: [u8; 3] = [3, 4, 5];

/// One direction's session keys for RTP or for RTCP.
pub(super) enum Cipher {
    Gcm { key: GcmKey, salt: [u8; 12] },
    Cm(Box<CounterMode>),
}

pub(super) struct CounterMode {
    key: EncryptingKey,
    mac: hmac::Key,
    salt: [u8; 14],
}

impl Cipher {
    pub fn for_rtp(profile: SrtpProfile, master: &MasterKey) -> Self {
        Self::derive(profile, master, RTP_LABELS)
    }

    pub fn for_rtcp(profile: SrtpProfile, master: &MasterKey) -> Self {
        Self::derive(profile, master, RTCP_LABELS)
    }

    fn derive(profile: SrtpProfile, master: &MasterKey, [key, auth, salt]: [u8; 3]) -> Self {
        let session_key = derive_key(master, key, profile.lengths().0);
        let gcm = || Self::Gcm {
            key: GcmKey::new(&session_key).expect("a key of 16 or 32 bytes"),
            salt: derive_key(master, salt, 12).try_into().expect("12 bytes"),
        };
        match profile {
            SrtpProfile::AeadAes128Gcm | SrtpProfile::AeadAes256Gcm => gcm(),
            SrtpProfile::Aes128CmSha1_80 => Self::Cm(Box::new(CounterMode {
                key: counter_key(&session_key),
                mac: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &derive_key(master, auth, 20)),
                salt: derive_key(master, salt, 14).try_into().expect("14 bytes"),
            })),
        }
    }

    /// Begin to fetch what sealing reads.
    #[inline]
    pub fn prefetch(&self) {
        if let Self::Gcm { key, .. } = self {
            key.prefetch();
        }
    }

    pub fn tag_len(&self) -> usize {
        match self {
            Self::Gcm { .. } => TAG,
            Self::Cm(_) => CM_TAG,
        }
    }

    /// Seal the packet that begins at `start`; append what is not there yet, and the tag.
    pub fn seal_rtp(&self, buffer: &mut Vec<u8>, start: usize, unsealed: Unsealed<'_>, ssrc: u32, index: u64) {
        let Unsealed { header, rest, padding } = unsealed;
        let in_parts = buffer.len() == start + header;
        match self {
            Self::Gcm { key, salt } if in_parts => {
                let sealed = key.seal_onto(&gcm_nonce(salt, ssrc, index), buffer, start, rest, padding);
                assert!(sealed, "a packet's length");
            }
            Self::Gcm { key, salt } => {
                append(buffer, rest, padding);
                let (head, body) = buffer[start..].split_at_mut(header);
                let tag = key.seal(&gcm_nonce(salt, ssrc, index), head, body).expect("a packet's length");
                buffer.extend_from_slice(&tag);
            }
            Self::Cm(keys) => {
                append(buffer, rest, padding);
                let CounterMode { key, mac, salt } = &**keys;
                encrypt_cm(key, cm_iv(salt, ssrc, index), &mut buffer[start + header..]);
                let tag = rtp_tag(mac, &buffer[start..], index);
                buffer.extend_from_slice(&tag.as_ref()[..CM_TAG]);
            }
        }
    }

    /// Open `packet` in place; the length of header and plaintext, or None when it is not authentic.
    pub fn open_rtp(&self, packet: &mut [u8], header: usize, ssrc: u32, index: u64) -> Option<usize> {
        let plain_len = packet.len().checked_sub(self.tag_len()).filter(|&len| len >= header)?;
        match self {
            Self::Gcm { key, salt } => {
                let (head, sealed) = packet.split_at_mut(header);
                let (body, tag) = sealed.split_last_chunk_mut::<TAG>()?;
                key.open(&gcm_nonce(salt, ssrc, index), head, body, tag)?;
            }
            Self::Cm(keys) => {
                let CounterMode { key, mac, salt } = &**keys;
                let (plain, tag) = packet.split_at_mut(plain_len);
                equal(&rtp_tag(mac, plain, index).as_ref()[..CM_TAG], tag)?;
                encrypt_cm(key, cm_iv(salt, ssrc, index), &mut plain[header..]);
            }
        }
        Some(plain_len)
    }

    /// Seal the RTCP packet `buffer[start..]` and append what SRTCP appends.
    pub fn seal_rtcp(&self, buffer: &mut Vec<u8>, start: usize, ssrc: u32, index: u32) {
        let trailer = (index | ENCRYPTED).to_be_bytes();
        match self {
            Self::Gcm { key, salt } => {
                let (head, body) = buffer[start..].split_at_mut(RTCP_HEADER);
                let nonce = gcm_nonce(salt, ssrc, index.into());
                let tag = key.seal(&nonce, &rtcp_aad(head, trailer), body).expect("a packet's length");
                buffer.extend_from_slice(&tag);
                buffer.extend_from_slice(&trailer);
            }
            Self::Cm(keys) => {
                let CounterMode { key, mac, salt } = &**keys;
                encrypt_cm(key, cm_iv(salt, ssrc, index.into()), &mut buffer[start + RTCP_HEADER..]);
                buffer.extend_from_slice(&trailer);
                let tag = hmac::sign(mac, &buffer[start..]);
                buffer.extend_from_slice(&tag.as_ref()[..CM_TAG]);
            }
        }
    }

    /// The index that an SRTCP packet says it has, when it is long enough to say so and encrypted.
    pub fn rtcp_index(&self, packet: &[u8]) -> Option<u32> {
        let after = if matches!(self, Self::Cm(_)) { CM_TAG } else { 0 };
        let at = packet.len().checked_sub(after + 4)?;
        if at < RTCP_HEADER + self.tag_len() - after {
            return None;
        }
        let word = u32::from_be_bytes(packet[at..at + 4].try_into().ok()?);
        (word & ENCRYPTED != 0).then_some(word & !ENCRYPTED)
    }

    /// Open `packet` in place, whose `rtcp_index` is `index`; the plaintext's length.
    pub fn open_rtcp(&self, packet: &mut [u8], ssrc: u32, index: u32) -> Option<usize> {
        let plain_len = packet.len().checked_sub(4 + self.tag_len())?;
        match self {
            Self::Gcm { key, salt } => {
                let (head, rest) = packet.split_at_mut(RTCP_HEADER);
                let (sealed, trailer) = rest.split_at_mut(plain_len + TAG - RTCP_HEADER);
                let (body, tag) = sealed.split_last_chunk_mut::<TAG>()?;
                let aad = rtcp_aad(head, (*trailer).try_into().ok()?);
                key.open(&gcm_nonce(salt, ssrc, index.into()), &aad, body, tag)?;
            }
            Self::Cm(keys) => {
                let CounterMode { key, mac, salt } = &**keys;
                let (signed, tag) = packet.split_at_mut(plain_len + 4);
                equal(&hmac::sign(mac, signed).as_ref()[..CM_TAG], tag)?;
                encrypt_cm(key, cm_iv(salt, ssrc, index.into()), &mut signed[RTCP_HEADER..plain_len]);
            }
        }
        Some(plain_len)
    }
}

fn append(buffer: &mut Vec<u8>, rest: &[u8], padding: &[u8]) {
    buffer.extend_from_slice(rest);
    buffer.extend_from_slice(padding);
}

/// AES counter mode makes session keys from master keys (RFC 3711, 4.3.3; key derivation rate 0).
pub(super) fn derive_key(master: &MasterKey, label: u8, len: usize) -> Vec<u8> {
    let mut iv = [0; 16];
    iv[..master.salt.len()].copy_from_slice(&master.salt);
    iv[7] ^= label;
    let mut out = vec![0; len];
    encrypt_cm(&counter_key(&master.key), iv, &mut out);
    out
}

fn counter_key(key: &[u8]) -> EncryptingKey {
    let algorithm = if key.len() == 32 { &AES_256 } else { &AES_128 };
    let unbound = UnboundCipherKey::new(algorithm, key).expect("a key of 16 or 32 bytes");
    EncryptingKey::ctr(unbound).expect("AES has a counter mode")
}

fn encrypt_cm(key: &EncryptingKey, iv: [u8; 16], bytes: &mut [u8]) {
    let context = EncryptionContext::Iv128(FixedLength::from(iv));
    key.less_safe_encrypt(bytes, context).expect("any length can be encrypted in counter mode");
}

/// RFC 7714, 8.1 and 9.1: both are SSRC and a 48-bit number over the salt.
fn gcm_nonce(salt: &[u8; 12], ssrc: u32, index: u64) -> [u8; 12] {
    let mut nonce = *salt;
    xor(&mut nonce[2..6], &ssrc.to_be_bytes());
    xor(&mut nonce[6..], &index.to_be_bytes()[2..]);
    nonce
}

/// RFC 3711, 4.1.1.
fn cm_iv(salt: &[u8; 14], ssrc: u32, index: u64) -> [u8; 16] {
    let mut iv = [0; 16];
    iv[..14].copy_from_slice(salt);
    xor(&mut iv[4..8], &ssrc.to_be_bytes());
    xor(&mut iv[8..14], &index.to_be_bytes()[2..]);
    iv
}

fn xor(into: &mut [u8], with: &[u8]) {
    into.iter_mut().zip(with).for_each(|(a, b)| *a ^= b);
}

#[allow(clippy::cast_possible_truncation)] // The roll-over counter has 32 bits.
fn rtp_tag(mac: &hmac::Key, packet: &[u8], index: u64) -> hmac::Tag {
    let mut context = hmac::Context::with_key(mac);
    context.update(packet);
    context.update(&((index >> 16) as u32).to_be_bytes());
    context.sign()
}

fn rtcp_aad(head: &[u8], trailer: [u8; 4]) -> [u8; 12] {
    let mut aad = [0; 12];
    aad[..8].copy_from_slice(head);
    aad[8..].copy_from_slice(&trailer);
    aad
}

fn equal(a: &[u8], b: &[u8]) -> Option<()> {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).ok()
}
