//! Writing our descriptions.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::offer::OfferedMedia;
use super::{ExtensionIds, Kind, LocalTransport, NegotiatedPayload};

/// We take candidates later, and restarts (RFC 8840, RFC 9429); the same in answers and fragments (RFC 9725, 4.3.3).
pub(super) const ICE_OPTIONS: &str = "a=ice-options:trickle ice2\r\n";

/// DTLS over framed TCP (RFC 7850, 3; RFC 4571).
pub(super) const OVER_TCP: &str = "TCP/DTLS/RTP/SAVPF";

/// One section of a description that we write.
pub(super) enum Section<'a> {
    /// Port 0, outside BUNDLE: nothing flows.
    Rejected(&'a OfferedMedia),
    Media(MediaSection<'a>),
}

pub(super) struct MediaSection<'a> {
    pub mid: &'a str,
    pub kind: Kind,
    pub direction: &'static str,
    pub payloads: &'a [NegotiatedPayload],
    pub extensions: &'a ExtensionIds,
    /// SSRC, repair SSRC, CNAME of what we send.
    pub source: Option<(u32, Option<u32>, &'a str)>,
    /// Their direction ("send", "recv") and rids.
    pub layers: Option<(&'static str, &'a [String])>,
}

/// The whole text. `setup` is ours: "active", "passive" or "actpass"; `over_tcp`: media go over TCP alone (RFC 7850).
pub(super) fn write(local: &LocalTransport, setup: &str, over_tcp: bool, sections: &[Section<'_>]) -> String {
    let mut text = String::with_capacity(2048);
    let mids: Vec<&str> = sections
        .iter()
        .filter_map(|section| match section {
            Section::Media(media) => Some(media.mid),
            Section::Rejected(_) => None,
        })
        .collect();
    let _ = write!(text, "v=0\r\no=rivulet {} 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n", local.session_id);
    let _ = write!(text, "a=group:BUNDLE {}\r\na=msid-semantic:WMS *\r\n{ICE_OPTIONS}", mids.join(" "));
    for section in sections {
        match section {
            Section::Rejected(media) => write_rejected(&mut text, media),
            Section::Media(media) => {
                write_head(&mut text, media, over_tcp);
                if mids.first() == Some(&media.mid) {
                    write_candidates(&mut text, &local.candidates, (!over_tcp, local.tcp));
                }
                write_transport(&mut text, local, setup);
                write_rules(&mut text, media);
                write_payloads(&mut text, media);
                write_layers(&mut text, media);
                write_source(&mut text, media);
            }
        }
    }
    text
}

fn write_rejected(text: &mut String, media: &OfferedMedia) {
    let OfferedMedia { media, protocol, first_format, mid, .. } = media;
    let _ = write!(text, "m={media} 0 {protocol} {first_format}\r\nc=IN IP4 0.0.0.0\r\na=inactive\r\n");
    if !mid.is_empty() {
        let _ = write!(text, "a=mid:{mid}\r\n");
    }
}

fn write_transport(text: &mut String, local: &LocalTransport, setup: &str) {
    let _ = write!(text, "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", local.ufrag, local.password);
    let _ = write!(text, "a=fingerprint:sha-256 {}\r\na=setup:{setup}\r\n", local.fingerprint);
}

fn write_head(text: &mut String, media: &MediaSection<'_>, over_tcp: bool) {
    let protocol = if over_tcp { OVER_TCP } else { "UDP/TLS/RTP/SAVPF" };
    let _ = write!(text, "m={} 9 {protocol}", media.kind.name());
    for payload in media.payloads {
        let _ = write!(text, " {}", payload.payload_type);
    }
    for rtx in media.payloads.iter().filter_map(|p| p.rtx) {
        let _ = write!(text, " {rtx}");
    }
    let _ = write!(text, "\r\nc=IN IP4 0.0.0.0\r\n");
}

fn write_rules(text: &mut String, media: &MediaSection<'_>) {
    let _ = write!(text, "a=mid:{}\r\na={}\r\n", media.mid, media.direction);
    text.push_str("a=rtcp-mux\r\na=rtcp-mux-only\r\na=rtcp-rsize\r\n");
}

/// Each once by UDP and once for TCP connections, which are second to it; whether by either.
pub(super) fn write_candidates(text: &mut String, addresses: &[SocketAddr], (udp, tcp): (bool, bool)) {
    for (rank, address) in (0_u32..).zip(addresses).filter(|_| udp) {
        // RFC 8445, 5.1.2: type preference 126 (host), then our order, then component 1.
        let priority = (126 << 24) | ((65_535 - rank.min(65_535)) << 8) | 255;
        let _ =
            write!(text, "a=candidate:{} 1 udp {priority} {} {} typ host\r\n", rank + 1, address.ip(), address.port());
    }
    for (rank, address) in (0_u32..).zip(addresses).filter(|_| tcp) {
        // RFC 6544, 4.2: a lower type preference (90, as browsers have it), direction preference 4 (passive), our order.
        let priority = (90 << 24) | (((4 << 13) | (8_191 - rank.min(8_191))) << 8) | 255;
        let (number, ip, port) = (addresses.len() + rank as usize + 1, address.ip(), address.port());
        let _ = write!(text, "a=candidate:{number} 1 tcp {priority} {ip} {port} typ host tcptype passive\r\n");
    }
    if !addresses.is_empty() {
        text.push_str("a=end-of-candidates\r\n");
    }
}

fn write_payloads(text: &mut String, media: &MediaSection<'_>) {
    for (extension, id) in media.extensions.iter() {
        let _ = write!(text, "a=extmap:{id} {}\r\n", extension.uri());
    }
    for payload in media.payloads {
        let pt = payload.payload_type;
        let _ = write!(text, "a=rtpmap:{pt} {}\r\n", payload.format.codec.rtpmap());
        for (value, negotiated) in feedback(payload) {
            if negotiated {
                let _ = write!(text, "a=rtcp-fb:{pt} {value}\r\n");
            }
        }
        if !payload.format.fmtp.is_empty() {
            let _ = write!(text, "a=fmtp:{pt} {}\r\n", payload.format.fmtp);
        }
        if let Some(rtx) = payload.rtx {
            let rate = payload.format.codec.clock_rate();
            let _ = write!(text, "a=rtpmap:{rtx} rtx/{rate}\r\na=fmtp:{rtx} apt={pt}\r\n");
        }
    }
}

const fn feedback(payload: &NegotiatedPayload) -> [(&'static str, bool); 4] {
    [
        ("nack", payload.nack),
        ("nack pli", payload.pli),
        ("transport-cc", payload.transport_cc),
        ("goog-remb", payload.remb),
    ]
}

/// RFC 8851, RFC 8853.
fn write_layers(text: &mut String, media: &MediaSection<'_>) {
    let Some((direction, rids)) = media.layers else { return };
    for rid in rids {
        let _ = write!(text, "a=rid:{rid} {direction}\r\n");
    }
    if rids.len() > 1 {
        let _ = write!(text, "a=simulcast:{direction} {}\r\n", rids.join(";"));
    }
}

fn write_source(text: &mut String, media: &MediaSection<'_>) {
    let Some((ssrc, rtx, cname)) = media.source else { return };
    let _ = write!(text, "a=msid:{cname} {cname}-{}\r\n", media.kind.name());
    if let Some(rtx) = rtx {
        let _ = write!(text, "a=ssrc-group:FID {ssrc} {rtx}\r\n");
    }
    for ssrc in std::iter::once(ssrc).chain(rtx) {
        let _ = write!(text, "a=ssrc:{ssrc} cname:{cname}\r\n");
    }
}
