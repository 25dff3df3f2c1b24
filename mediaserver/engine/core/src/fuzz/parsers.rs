//! Readers of one datagram or one message.

use std::cell::OnceCell;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use dimpl::crypto::{HashAlgorithm, SignatureAlgorithm, SignatureVerifier};

use super::{Ground, clock, keys, media};
use crate::dtls::{certificate_request, peer_certificate};
use crate::key_frame;
use crate::negotiation::Codec;
use crate::picture::{Place, Shift};
use crate::rtcp::{self, Report};
use crate::rtp::{self, HeaderWriter, RtpHeader, RtpView};
use crate::stun::Message;
use crate::trace::{Bounds, Direction, Trace};

pub const PASSWORD: &str = "pppppppppppppppppppppppp";
const ADDRESSES: [&str; 2] = ["192.0.2.7:7000", "[2001:db8::7]:7001"];

pub fn stun(_: &mut Ground, data: &[u8]) {
    // A panic of the library ends a session in a node; here it is found.
    let _ = is::stun::StunMessage::parse(data);
    let Some(message) = Message::parse(data) else { return };
    let _ = (message.is_from_holder_of(PASSWORD), message.local_ufrag());
    for text in ADDRESSES {
        let address: SocketAddr = text.parse().expect("an address");
        let whole = message.mapped_to(address, PASSWORD);
        let read = Message::parse(&whole).expect("our own message");
        assert!(read.is_mapped && read.is_from_holder_of(PASSWORD) && read.transaction == message.transaction);
        assert!(whole.len() <= 20 + 24 + 24);
    }
}

pub fn rtp(_: &mut Ground, data: &[u8]) {
    let Some(view) = RtpView::parse(data) else { return };
    assert!(
        rtp::header_len(data).is_some_and(|len| len + view.payload.len() + usize::from(view.padding) == data.len())
    );
    // What can be negotiated, written anew.
    let known = |(id, value): &(u8, &[u8])| (1..=14).contains(id) && !value.is_empty();
    let extensions: Vec<(u8, &[u8])> = view.extensions().filter(known).collect();
    let RtpView { marker, payload_type, sequence, timestamp, ssrc, .. } = view;
    let header = RtpHeader { marker, payload_type, sequence, timestamp, ssrc, padded: view.padding > 0 };
    let longest = extensions.iter().map(|(_, value)| value.len()).max().unwrap_or(0);
    let mut packet = vec![];
    let mut writer = HeaderWriter::begin(&mut packet, header, longest);
    for (id, value) in &extensions {
        writer.extension(*id, value);
    }
    assert_eq!(writer.end(), packet.len());
    packet.extend_from_slice(view.payload);
    packet.extend_from_slice(rtp::padding(view.padding));
    let again = RtpView::parse(&packet).expect("our own packet");
    assert_eq!(again.extensions().collect::<Vec<_>>(), extensions);
    let parts = |view: RtpView<'_>| (view.marker, view.payload_type, view.sequence, view.timestamp, view.ssrc);
    assert_eq!((parts(again), again.payload, again.padding), (parts(view), view.payload, view.padding));
}

pub fn rtcp(_: &mut Ground, data: &[u8]) {
    let packets: Vec<&[u8]> = rtcp::packets(data).collect();
    assert_eq!(packets.concat(), data[..packets.iter().map(|packet| packet.len()).sum()]);
    let reports = rtcp::parse(data);
    assert!(reports.len() <= data.len() / 4);
    for report in reports {
        let Report::Nack { ssrc, mut lost } = report else { continue };
        assert!(lost.len() <= data.len() / 4 * 17);
        lost.sort_unstable();
        lost.dedup();
        let mut written = vec![];
        rtcp::write_nack(&mut written, 1, ssrc, &lost);
        assert_eq!(rtcp::parse(&written), [Report::Nack { ssrc, lost }]);
    }
}

/// The first byte is the codec.
pub fn payload(_: &mut Ground, data: &[u8]) {
    let Some((codec, payload)) = media::codec(data) else { return };
    let _ = key_frame::begins(codec, payload);
    if let Some(id) = key_frame::profile_level_id(payload).filter(|_| codec == Codec::H264) {
        assert!(id.len() == 6 && key_frame::with_profile_level_id("a=b", &id).ends_with(&id));
    }
    let Some(place) = Place::find(codec, payload) else { return };
    let picture = place.read(payload);
    let mut moved = payload.to_vec();
    place.shift(Shift::default(), &mut moved);
    assert_eq!(moved, payload);
    place.shift(Shift::between(picture.shifted(Shift::default()), picture), &mut moved);
    assert_eq!((moved.len(), Place::find(codec, &moved)), (payload.len(), Some(place)));
}

/// Ours on its way out, and the transcript, in which the peer's words are too.
pub fn dtls(_: &mut Ground, data: &[u8]) {
    let messages = certificate_request::widen_messages(data);
    assert!(messages.len() == data.len() || messages.len() == data.len() + certificate_request::GROWTH);
    assert_eq!(certificate_request::widen_messages(&messages), messages, "a second time changes nothing");
    let datagram = certificate_request::widen_datagram(data);
    assert_eq!(certificate_request::widen_datagram(&datagram), datagram);
}

/// dimpl's verifier behind our wrapper; made once, for it leaks.
#[derive(Default)]
pub struct Verifiers(OnceCell<&'static dyn SignatureVerifier>);

impl fmt::Debug for Verifiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifiers")
    }
}

pub fn certificate(ground: &mut Ground, data: &[u8]) {
    let verifier = ground.verifier.0.get_or_init(|| {
        peer_certificate::accepting_rsa(str0m_aws_lc_rs::dimpl_crypto_provider()).signature_verification
    });
    for algorithm in [SignatureAlgorithm::RSA, SignatureAlgorithm::ECDSA] {
        let signed = verifier.verify_signature(data, b"transcript", &[7; 64], HashAlgorithm::SHA256, algorithm);
        assert!(signed.is_err(), "nobody has signed that");
    }
}

/// One line of JSON for one datagram.
pub fn trace(ground: &mut Ground, data: &[u8]) {
    let now = ground.start;
    let bounds = Bounds { until: now + Duration::from_secs(9), room: 1 << 24 };
    let mut trace = Trace::new(bounds, clock(now), Some(&keys(false)));
    trace.datagram(Direction::In, ADDRESSES[1].parse().expect("an address"), data, now);
    let line = trace.take();
    assert!(line.starts_with("{\"t\":") && line.ends_with("}\n") && line.matches('\n').count() == 1, "{line}");
    assert!(line.is_ascii() && line.matches('"').count().is_multiple_of(2) && !line.contains('\\'), "{line}");
    for (open, close) in [('{', '}'), ('[', ']')] {
        assert_eq!(line.matches(open).count(), line.matches(close).count(), "{line}");
    }
}
