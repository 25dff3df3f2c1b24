//! WHIP (RFC 9725): the codecs that the Stream takes, by its order of preference. Who offers more than it sends (Pion) sends what it
//! has; all others send the first of the answer.

use super::answer::{self, MediaSection, Section};
use super::offer::{Offer, OfferedMedia, OfferedPayload};
use super::{Codec, Extension, Format, Kind, LocalTransport, NegotiatedPayload, ReceivedMedia, Receiving, Refusal};

/// What a publisher's packets may carry.
const EXTENSIONS: [Extension; 9] = [
    Extension::Mid,
    Extension::TransportCc,
    Extension::AbsSendTime,
    Extension::AbsCaptureTime,
    Extension::AudioLevel,
    Extension::DependencyDescriptor,
    Extension::Orientation,
    Extension::Rid,
    Extension::RepairedRid,
];

/// The longest parameters of a format that a publisher may have, bytes: they go into the table of every node.
const MAX_FMTP: usize = 1_024;

/// Judge a publisher's offer; `codecs` is the order of preference (empty: the default).
///
/// # Errors
/// As RFC 9725 wants: the whole offer is refused, never one media section.
pub fn negotiate(offer: &Offer, codecs: &[Codec]) -> Result<Receiving, Refusal> {
    let order = if codecs.is_empty() { &Codec::ALL[..] } else { codecs };
    let mut media: Vec<ReceivedMedia> = Vec::new();
    for section in &offer.media {
        let Some(kind) = section.kind else {
            return Err(Refusal::unsupported(format!(
                "a publisher's {} section cannot be taken",
                printable(&section.media)
            )));
        };
        if !section.direction.sends {
            return Err(Refusal::malformed("a WHIP offer must be sendonly (RFC 9725, 4.2)"));
        }
        if media.iter().any(|m| m.kind == kind) {
            return Err(Refusal::unsupported(format!("at most one {} track can be published", kind.name())));
        }
        check_formats(section)?;
        media.push(receive(offer, section, kind, order)?);
    }
    let mut streams: Vec<&str> = offer.media.iter().filter_map(|section| section.stream.as_deref()).collect();
    streams.dedup();
    if streams.len() > 1 {
        return Err(Refusal::unsupported(
            "all tracks must be of one MediaStream, the same in every a=msid (RFC 9725, 4.4.2)",
        ));
    }
    Ok(Receiving { peer: offer.transport.clone(), media })
}

/// Refuse parameters that are too long for every node's table.
pub(super) fn check_formats(section: &OfferedMedia) -> Result<(), Refusal> {
    if section.payloads.iter().any(|payload| payload.format.fmtp.len() > MAX_FMTP) {
        return Err(Refusal::malformed(format!("an a=fmtp is longer than {MAX_FMTP} bytes")));
    }
    Ok(())
}

/// The answer that says what `negotiate` chose.
#[must_use]
pub fn answer(local: &LocalTransport, receiving: &Receiving) -> String {
    let payloads: Vec<Vec<NegotiatedPayload>> =
        receiving.media.iter().map(|m| std::iter::once(&m.payload).chain(&m.others).cloned().collect()).collect();
    let sections: Vec<Section<'_>> =
        receiving.media.iter().zip(&payloads).map(|(media, payloads)| section(media, payloads)).collect();
    let setup = if receiving.peer.setup.makes_us_active() { "active" } else { "passive" };
    answer::write(local, setup, false, &sections)
}

fn section<'a>(media: &'a ReceivedMedia, payloads: &'a [NegotiatedPayload]) -> Section<'a> {
    Section::Media(MediaSection {
        mid: &media.mid,
        kind: media.kind,
        direction: "recvonly",
        payloads,
        extensions: &media.extensions,
        source: None,
        layers: Some(("recv", &media.layers)),
    })
}

fn receive(offer: &Offer, section: &OfferedMedia, kind: Kind, order: &[Codec]) -> Result<ReceivedMedia, Refusal> {
    let wanted = order.iter().filter(|codec| codec.kind() == kind);
    let mut taken = wanted.clone().filter_map(|codec| best(&section.payloads, *codec));
    let Some(payload) = taken.next() else {
        let names: Vec<&str> = wanted.map(|codec| codec.name()).collect();
        return Err(Refusal::unsupported(format!(
            "no common {} codec: the stream takes {}, offered was {}",
            kind.name(),
            if names.is_empty() { "none".to_owned() } else { names.join(", ") },
            offer.describe(kind),
        )));
    };
    let layers = layers(section, kind);
    // Without layers nothing is said of rids: such a publisher sends what it always sent.
    let carried = if layers.is_empty() { &EXTENSIONS[..EXTENSIONS.len() - 2] } else { &EXTENSIONS[..] };
    Ok(ReceivedMedia {
        mid: section.mid.clone(),
        kind,
        payload: negotiated(payload, published_fmtp(&payload.format)),
        others: taken.map(|other| negotiated(other, published_fmtp(&other.format))).collect(),
        extensions: section.extensions.only(carried),
        reduced_size: section.reduced_size,
        ssrc: section.ssrc.filter(|_| layers.is_empty()),
        rtx_ssrc: section.rtx_ssrc.filter(|_| payload.rtx.is_some() && layers.is_empty()),
        layers,
    })
}

/// The layers that can be told apart by their packets (RFC 8852).
fn layers(section: &OfferedMedia, kind: Kind) -> Vec<String> {
    let named = section.extensions.id(Extension::Rid).is_some();
    if kind == Kind::Video && named { section.layers.clone() } else { Vec::new() }
}

/// H.264 in packetization mode 1, constrained baseline first; VP9 and AV1 in profile 0, H.265 in Main.
fn best(payloads: &[OfferedPayload], codec: Codec) -> Option<&OfferedPayload> {
    let wanted = Format { codec, fmtp: wanted_fmtp(codec).to_owned() };
    let fitting = payloads.iter().filter(|p| wanted.fits(&p.format));
    // The first of equals: max_by_key takes the last.
    fitting.rev().max_by_key(|p| wanted.likeness(&p.format))
}

const fn wanted_fmtp(codec: Codec) -> &'static str {
    match codec {
        Codec::H264 => "packetization-mode=1;profile-level-id=42e01f",
        _ => "",
    }
}

/// What the publisher is told to send: its own parameters; stereo where it can (RFC 7587: the receiver asks).
fn published_fmtp(format: &Format) -> String {
    let asks_stereo = format.parameter("stereo").is_none() && format.parameter("sprop-stereo") == Some("1");
    if format.codec == Codec::Opus && asks_stereo { format!("{};stereo=1", format.fmtp) } else { format.fmtp.clone() }
}

pub(super) fn negotiated(payload: &OfferedPayload, fmtp: String) -> NegotiatedPayload {
    let offers = |value: &str| payload.feedback.iter().any(|f| f == value);
    NegotiatedPayload {
        payload_type: payload.payload_type,
        rtx: payload.rtx,
        format: Format { codec: payload.format.codec, fmtp },
        nack: offers("nack"),
        pli: offers("nack pli"),
        transport_cc: offers("transport-cc"),
        remb: false,
    }
}

fn printable(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).take(20).collect()
}
