//! What a foreign server sends us as to a viewer (WHEP): our offer, in every codec that the Stream takes, and what its answer makes
//! of it. What then comes is a publication like any other.

use super::answer::{self, MediaSection, Section};
use super::offer::{Offer, OfferedMedia};
use super::whip::{self, negotiated};
use super::{
    Codec, Extension, ExtensionIds, Format, Kind, LocalTransport, NegotiatedPayload, ReceivedMedia, Receiving, Refusal,
};

/// What the server's packets may carry, and the ids that we offer for it. (Layers are not asked for: a viewer gets one.)
const EXTENSIONS: [(Extension, u8); 7] = [
    (Extension::Mid, 1),
    (Extension::TransportCc, 2),
    (Extension::AbsSendTime, 3),
    (Extension::AbsCaptureTime, 4),
    (Extension::AudioLevel, 5),
    (Extension::DependencyDescriptor, 6),
    (Extension::Orientation, 7),
];
/// Payload types that have no meaning of their own (RFC 3551, 6).
const FIRST_DYNAMIC: u8 = 96;
/// Servers send an H.264 profile only to who names it: those that encoders use. Its level is theirs to exceed.
const H264_FORMATS: [&str; 4] = [
    "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
    "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f",
    "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=4d001f",
    "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=64001f",
];

/// The offer for a stream that takes `codecs`, by their order (empty: the default).
///
/// # Errors
/// `Unsupported` when none of them can be taken.
pub fn offer(local: &LocalTransport, codecs: &[Codec]) -> Result<String, Refusal> {
    let order = order(codecs);
    let mut types = FIRST_DYNAMIC..128;
    let payloads = [Kind::Audio, Kind::Video].map(|kind| (kind, payloads(order, kind, &mut types)));
    let extensions: ExtensionIds = EXTENSIONS.into_iter().collect();
    let sections: Vec<Section<'_>> = payloads
        .iter()
        .filter(|(_, payloads)| !payloads.is_empty())
        .map(|(kind, payloads)| {
            Section::Media(MediaSection {
                mid: mid(*kind),
                kind: *kind,
                direction: "recvonly",
                payloads,
                extensions: &extensions,
                source: None,
                layers: None,
            })
        })
        .collect();
    if sections.is_empty() {
        return Err(Refusal::unsupported("the stream takes no codec"));
    }
    Ok(answer::write(local, "actpass", false, &sections))
}

/// Read the server's answer to our offer for `codecs`. It may send any of the formats that it lists, the first if nothing else is
/// known.
///
/// # Errors
/// `Malformed` when it answers something else, `Unsupported` when it sends nothing that we take.
pub fn accept(answer: &Offer, codecs: &[Codec]) -> Result<Receiving, Refusal> {
    let mut media = Vec::new();
    for section in &answer.media {
        let Some(kind) = section.kind.filter(|_| section.direction.sends) else { continue };
        if section.mid != mid(kind) {
            return Err(Refusal::malformed("the answer has a media section that was not offered"));
        }
        whip::check_formats(section)?;
        media.push(receive(answer, section, kind, order(codecs))?);
    }
    if media.is_empty() {
        return Err(Refusal::unsupported(format!(
            "the server sends nothing of what was offered ({})",
            names(order(codecs).iter().copied())
        )));
    }
    Ok(Receiving { peer: answer.transport.clone(), media })
}

fn receive(answer: &Offer, section: &OfferedMedia, kind: Kind, order: &[Codec]) -> Result<ReceivedMedia, Refusal> {
    let taken = section.payloads.iter().filter(|payload| order.contains(&payload.format.codec));
    let mut taken = taken.map(|payload| negotiated(payload, payload.format.fmtp.clone()));
    let Some(payload) = taken.next() else {
        return Err(Refusal::unsupported(format!(
            "no common {} codec: the stream takes {}, the server answers {}",
            kind.name(),
            names(order.iter().copied().filter(|codec| codec.kind() == kind)),
            answer.describe(kind),
        )));
    };
    Ok(ReceivedMedia {
        mid: section.mid.clone(),
        kind,
        others: taken.collect(),
        extensions: section.extensions.only(&EXTENSIONS.map(|(extension, _)| extension)),
        reduced_size: section.reduced_size,
        ssrc: section.ssrc,
        rtx_ssrc: section.rtx_ssrc.filter(|_| payload.rtx.is_some()),
        layers: Vec::new(),
        payload,
    })
}

fn payloads(order: &[Codec], kind: Kind, types: &mut impl Iterator<Item = u8>) -> Vec<NegotiatedPayload> {
    let video = kind == Kind::Video;
    let mut payloads: Vec<NegotiatedPayload> = Vec::new();
    for codec in order.iter().copied().filter(|codec| codec.kind() == kind) {
        if payloads.iter().any(|payload| payload.format.codec == codec) {
            continue;
        }
        for fmtp in formats(codec) {
            // Two for each: all that there are fit.
            let Some(payload_type) = types.next() else { break };
            payloads.push(NegotiatedPayload {
                payload_type,
                rtx: if video { types.next() } else { None },
                format: Format { codec, fmtp: (*fmtp).to_owned() },
                nack: video,
                pli: video,
                transport_cc: true,
                remb: false,
            });
        }
    }
    payloads
}

const fn formats(codec: Codec) -> &'static [&'static str] {
    match codec {
        Codec::H264 => &H264_FORMATS,
        Codec::Vp9 => &["profile-id=0"],
        Codec::Opus => &["minptime=10;stereo=1;useinbandfec=1"],
        Codec::H265 | Codec::Vp8 | Codec::Av1 => &[""],
    }
}

const fn mid(kind: Kind) -> &'static str {
    match kind {
        Kind::Audio => "0",
        Kind::Video => "1",
    }
}

fn order(codecs: &[Codec]) -> &[Codec] {
    if codecs.is_empty() { &Codec::ALL } else { codecs }
}

fn names(codecs: impl Iterator<Item = Codec>) -> String {
    let names: Vec<&str> = codecs.map(Codec::name).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
