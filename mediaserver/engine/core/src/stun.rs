//! Reading STUN (RFC 8489) as far as demultiplexing and consent need it; str0m's agent does the protocol.

use std::net::{IpAddr, SocketAddr};

use aws_lc_rs::hmac;

const HEADER: usize = 20;
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const USE_CANDIDATE: u16 = 0x0025;
/// Attribute header plus HMAC-SHA1.
const INTEGRITY_LENGTH: usize = 4 + 20;

/// Transaction id.
pub type Transaction = [u8; 12];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Request,
    Success,
    /// Indications and errors.
    Other,
}

/// A binding message, borrowed from its datagram.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    pub class: Class,
    pub transaction: Transaction,
    pub username: Option<&'a str>,
    pub use_candidate: bool,
    /// Whether XOR-MAPPED-ADDRESS is there.
    pub is_mapped: bool,
    /// Offset of the MESSAGE-INTEGRITY attribute.
    integrity: Option<usize>,
    bytes: &'a [u8],
}

/// Whether a datagram's first byte says STUN (RFC 7983).
#[must_use]
pub fn looks_like(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|byte| *byte < 4)
}

impl<'a> Message<'a> {
    /// None: no well-formed binding message.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let header: &[u8; HEADER] = bytes.first_chunk()?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header[4..8] != MAGIC_COOKIE || bytes.len() != HEADER + length || !length.is_multiple_of(4) {
            return None;
        }
        let class = match [header[0], header[1]] {
            [0x00, 0x01] => Class::Request,
            [0x01, 0x01] => Class::Success,
            [0x00 | 0x01, 0x11] => Class::Other,
            _ => return None,
        };
        let mut transaction = Transaction::default();
        transaction.copy_from_slice(&header[8..HEADER]);
        let (username, use_candidate, is_mapped, integrity) = (None, false, false, None);
        let mut message = Self { class, transaction, username, use_candidate, is_mapped, integrity, bytes };
        message.read_attributes()?;
        Some(message)
    }

    /// Our half of the user name in a request ("ours:theirs").
    #[must_use]
    pub fn local_ufrag(&self) -> Option<&'a str> {
        self.username?.split_once(':').map(|(ours, _)| ours)
    }

    /// Whether MESSAGE-INTEGRITY is there and was made with `password`.
    #[must_use]
    pub fn is_from_holder_of(&self, password: &str) -> bool {
        let Some(offset) = self.integrity else { return false };
        let Some(tag) = self.bytes.get(offset + 4..offset + INTEGRITY_LENGTH) else { return false };
        // The length field counts up to and with MESSAGE-INTEGRITY, whatever follows it (RFC 8489, 14.5).
        let Ok(length) = u16::try_from(offset + INTEGRITY_LENGTH - HEADER) else { return false };
        let mut covered = self.bytes[..offset].to_vec();
        covered[2..4].copy_from_slice(&length.to_be_bytes());
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
        hmac::verify(&key, &covered, tag).is_ok()
    }

    /// The same answer with this XOR-MAPPED-ADDRESS (RFC 8489, 14.2) and nothing else, sealed with `password` again.
    #[must_use]
    pub fn mapped_to(&self, address: SocketAddr, password: &str) -> Vec<u8> {
        let mut xored = Vec::with_capacity(20);
        let port = address.port().to_be_bytes();
        let family = if address.is_ipv4() { 1 } else { 2 };
        xored.extend_from_slice(&[0, family, port[0] ^ MAGIC_COOKIE[0], port[1] ^ MAGIC_COOKIE[1]]);
        let mask = MAGIC_COOKIE.iter().chain(&self.transaction);
        match address.ip() {
            IpAddr::V4(ip) => xored.extend(ip.octets().iter().zip(mask).map(|(byte, mask)| byte ^ mask)),
            IpAddr::V6(ip) => xored.extend(ip.octets().iter().zip(mask).map(|(byte, mask)| byte ^ mask)),
        }
        let mut bytes = self.bytes[..HEADER].to_vec();
        let length = |value: usize| u16::try_from(value).unwrap_or_default().to_be_bytes();
        bytes[2..4].copy_from_slice(&length(4 + xored.len() + INTEGRITY_LENGTH));
        bytes.extend_from_slice(&XOR_MAPPED_ADDRESS.to_be_bytes());
        bytes.extend_from_slice(&length(xored.len()));
        bytes.extend_from_slice(&xored);
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
        let tag = hmac::sign(&key, &bytes);
        bytes.extend_from_slice(&MESSAGE_INTEGRITY.to_be_bytes());
        bytes.extend_from_slice(&length(tag.as_ref().len()));
        bytes.extend_from_slice(tag.as_ref());
        bytes
    }

    fn read_attributes(&mut self) -> Option<()> {
        let mut offset = HEADER;
        while offset < self.bytes.len() {
            let head: &[u8; 4] = self.bytes.get(offset..)?.first_chunk()?;
            let kind = u16::from_be_bytes([head[0], head[1]]);
            let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let value = self.bytes.get(offset + 4..offset + 4 + length)?;
            match kind {
                // What stands after MESSAGE-INTEGRITY is not covered by it and means nothing.
                _ if self.integrity.is_some() => {}
                USERNAME => self.username = Some(std::str::from_utf8(value).ok()?),
                USE_CANDIDATE => self.use_candidate = true,
                XOR_MAPPED_ADDRESS => self.is_mapped = true,
                MESSAGE_INTEGRITY if length == 20 => self.integrity = Some(offset),
                _ => {}
            }
            offset += 4 + length.next_multiple_of(4);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWORD: &str = "the password of the peer";

    fn answer() -> Vec<u8> {
        let mut bytes = vec![1, 1, 0, 24, 0x21, 0x12, 0xa4, 0x42];
        bytes.extend([7; 12]);
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, PASSWORD.as_bytes());
        let tag = hmac::sign(&key, &bytes);
        bytes.extend([0, 8, 0, 20]);
        bytes.extend(tag.as_ref());
        bytes
    }

    /// `FFmpeg` answers checks with nothing but integrity and fingerprint.
    #[test]
    fn an_answer_without_a_mapped_address_gets_one_that_str0m_reads() {
        let bare = answer();
        let message = Message::parse(&bare).unwrap();
        assert!(message.is_from_holder_of(PASSWORD) && !message.is_mapped);
        assert!(str0m::ice::StunMessage::parse(&bare).is_err(), "str0m takes it: the detour is no longer needed");
        for text in ["192.0.2.7:7000", "[2001:db8::7]:7001"] {
            let address: SocketAddr = text.parse().unwrap();
            let whole = message.mapped_to(address, PASSWORD);
            let read = Message::parse(&whole).unwrap();
            assert!(read.is_mapped && read.is_from_holder_of(PASSWORD) && read.transaction == message.transaction);
            assert_eq!(str0m::ice::StunMessage::parse(&whole).unwrap().mapped_address(), Some(address));
        }
    }
}
