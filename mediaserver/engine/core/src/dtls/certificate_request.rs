//! The server's `CertificateRequest` (RFC 5246, 7.4.4), widened: dimpl asks for an ECDSA certificate, we ask for ECDSA or RSA.
//!
//! Invariant: the message is widened in the same way on the wire and in the transcript that both sides hash. Both functions
//! depend on nothing but their bytes, so a flight that is sent again is the same again.

use std::borrow::Cow;

/// By how many bytes a widened message is longer than dimpl's at most.
pub const GROWTH: usize = 1 + RSA_PKCS1.len();

const HANDSHAKE: u8 = 22;
const RECORD_HEADER: usize = 13;
const MESSAGE_HEADER: usize = 12;
const CERTIFICATE_REQUEST: u8 = 13;
/// `ClientCertificateType` (RFC 5246, 7.4.4).
const RSA_SIGN: u8 = 1;
/// RSA (PKCS #1 v1.5) with SHA-256, SHA-384, SHA-512: what every peer with such a certificate can sign with.
const RSA_PKCS1: [u8; 6] = [4, 1, 5, 1, 6, 1];

/// A datagram of ours, its `CertificateRequest` widened; as it is when there is none.
#[must_use]
pub fn widen_datagram(datagram: &[u8]) -> Cow<'_, [u8]> {
    let mut wide = Vec::with_capacity(datagram.len() + GROWTH);
    let mut rest = datagram;
    while let Some((header, tail)) = rest.split_first_chunk::<RECORD_HEADER>() {
        let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
        let Some((fragment, tail)) = tail.split_at_checked(length) else { return Cow::Borrowed(datagram) };
        rest = tail;
        let in_the_clear = header[3..5] == [0, 0];
        let fragment =
            if header[0] == HANDSHAKE && in_the_clear { widen_messages(fragment) } else { Cow::Borrowed(fragment) };
        let Ok(length) = u16::try_from(fragment.len()) else { return Cow::Borrowed(datagram) };
        wide.extend_from_slice(&header[..11]);
        wide.extend_from_slice(&length.to_be_bytes());
        wide.extend_from_slice(&fragment);
    }
    if rest.is_empty() && wide.len() > datagram.len() { Cow::Owned(wide) } else { Cow::Borrowed(datagram) }
}

/// Handshake messages one after the other, as in a record or a transcript, the `CertificateRequest` among them widened; as
/// they are when there is none.
#[must_use]
pub fn widen_messages(messages: &[u8]) -> Cow<'_, [u8]> {
    let mut before = 0;
    while let Some((header, tail)) = messages[before..].split_first_chunk::<MESSAGE_HEADER>() {
        let (length, offset, here) = (u24(&header[1..4]), u24(&header[6..9]), u24(&header[9..12]));
        let Some((body, after)) = tail.split_at_checked(here) else { break };
        if header[0] == CERTIFICATE_REQUEST && offset == 0 && here == length {
            let Some(body) = widen_body(body) else { break };
            let length = u32::try_from(body.len()).unwrap_or_default().to_be_bytes();
            let parts = [&messages[..before], &header[..1], &length[1..], &header[4..9], &length[1..], &body, after];
            return Cow::Owned(parts.concat());
        }
        before += MESSAGE_HEADER + here;
    }
    Cow::Borrowed(messages)
}

/// Certificate types and signature algorithms, each with ours behind. None: not a message of that form, or RSA is in it.
fn widen_body(body: &[u8]) -> Option<Vec<u8>> {
    let (types, rest) = body.split_at_checked(1 + usize::from(*body.first()?))?;
    let (algorithms, authorities) =
        rest.split_at_checked(2 + usize::from(u16::from_be_bytes(*rest.first_chunk::<2>()?)))?;
    if types[1..].contains(&RSA_SIGN) {
        return None;
    }
    let types_length = u8::try_from(types.len()).ok()?;
    let algorithms_length = u16::try_from(algorithms.len() - 2 + RSA_PKCS1.len()).ok()?;
    let mut wide = Vec::with_capacity(body.len() + GROWTH);
    wide.push(types_length);
    wide.extend_from_slice(&types[1..]);
    wide.push(RSA_SIGN);
    wide.extend_from_slice(&algorithms_length.to_be_bytes());
    wide.extend_from_slice(&algorithms[2..]);
    wide.extend_from_slice(&RSA_PKCS1);
    wide.extend_from_slice(authorities);
    Some(wide)
}

fn u24(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ECDSA certificates, two algorithms, no authorities.
    const NARROW: [u8; 9] = [1, 64, 0, 4, 4, 3, 5, 3, 0];
    const WIDE: [u8; 16] = [2, 64, 1, 0, 10, 4, 3, 5, 3, 4, 1, 5, 1, 6, 1, 0];

    fn message(kind: u8, sequence: u8, body: &[u8]) -> Vec<u8> {
        let length = [0, 0, u8::try_from(body.len()).unwrap()];
        [&[kind][..], &length, &[0, sequence, 0, 0, 0], &length, body].concat()
    }

    fn record(kind: u8, epoch: u8, sequence: u8, fragment: &[u8]) -> Vec<u8> {
        let header = [kind, 254, 253, 0, epoch, 0, 0, 0, 0, 0, sequence, 0, u8::try_from(fragment.len()).unwrap()];
        [&header[..], fragment].concat()
    }

    fn narrow() -> Vec<u8> {
        [&NARROW[..], &[0]].concat()
    }

    fn wide() -> Vec<u8> {
        [&WIDE[..], &[0]].concat()
    }

    #[test]
    fn the_request_grows_where_it_stands_and_all_else_stays() {
        let (hello, done) = (message(2, 1, b"hello"), message(14, 3, b""));
        let transcript = [hello.clone(), message(13, 2, &narrow()), done.clone()].concat();
        let expected = [hello.clone(), message(13, 2, &wide()), done.clone()].concat();
        assert_eq!(widen_messages(&transcript), expected);
        let datagram =
            [record(22, 0, 7, &hello), record(22, 0, 8, &message(13, 2, &narrow())), record(22, 0, 9, &done)];
        let expected = [record(22, 0, 7, &hello), record(22, 0, 8, &message(13, 2, &wide())), record(22, 0, 9, &done)];
        assert_eq!(widen_datagram(&datagram.concat()), expected.concat());
        assert_eq!(expected.concat().len(), datagram.concat().len() + GROWTH);
    }

    #[test]
    fn what_holds_no_request_of_ours_is_not_touched() {
        let request = message(13, 2, &narrow());
        let cases: [(&str, Vec<u8>); 7] = [
            ("nothing", vec![]),
            ("another message", record(22, 0, 1, &message(2, 1, b"hello"))),
            ("encrypted", record(22, 1, 1, &request)),
            ("no handshake", record(21, 0, 1, &request)),
            ("already wide", record(22, 0, 1, &message(13, 2, &wide()))),
            ("cut short", record(22, 0, 1, &request)[..30].to_vec()),
            ("more behind than a record", [record(22, 0, 1, &request), vec![1]].concat()),
        ];
        for (name, datagram) in cases {
            assert_eq!(widen_datagram(&datagram), datagram, "{name}");
        }
        for length in 0..request.len() {
            assert_eq!(&*widen_messages(&request[..length]), &request[..length], "{length} bytes of a request");
        }
    }

    #[test]
    fn lengths_that_lie_do_no_harm() {
        for (name, body) in [("types", vec![9, 64]), ("algorithms", vec![1, 64, 1, 0, 4]), ("none", vec![])] {
            let request = message(13, 2, &body);
            assert_eq!(widen_messages(&request), request, "{name}");
        }
    }
}
