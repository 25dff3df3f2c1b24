//! The fixed profile in which one node pulls a stream from another: the same types and ids everywhere.

use super::answer::{self, MediaSection, Section};
use super::offer::{Offer, OfferedPayload};
use super::whip::negotiated;
use super::{
    Codec, Extension, ExtensionIds, Format, Kind, LocalTransport, NegotiatedPayload, PeerTransport, ReceivedMedia,
    Receiving, Refusal, Track,
};

/// Ids of the header extensions on every relay.
pub(super) const EXTENSIONS: [(Extension, u8); 5] = [
    (Extension::TransportCc, 1),
    (Extension::AbsCaptureTime, 2),
    (Extension::AudioLevel, 3),
    (Extension::DependencyDescriptor, 4),
    (Extension::Orientation, 5),
];

/// Payload type of a codec on every relay, and of its repairs.
pub(super) const fn payload_types(codec: Codec) -> (u8, Option<u8>) {
    match codec {
        Codec::H264 => (96, Some(97)),
        Codec::Vp8 => (98, Some(99)),
        Codec::Vp9 => (100, Some(101)),
        Codec::Av1 => (102, Some(103)),
        Codec::H265 => (104, Some(105)),
        Codec::Opus => (111, None),
    }
}

/// One section that we offer.
struct Offered {
    mid: String,
    kind: Kind,
    payloads: [NegotiatedPayload; 1],
    rid: Option<String>,
}

/// The offer with which we pull `tracks`, at most one of each kind; each layer has a section of its own.
///
/// # Errors
/// `Unsupported` when there is nothing to pull.
pub fn offer(local: &LocalTransport, tracks: &[Track]) -> Result<String, Refusal> {
    write_offer(local, tracks, false)
}

/// The same for a relay over TCP alone, whose connection we open: the parent answers with addresses for that, and with no other.
///
/// # Errors
/// As `offer`.
pub fn offer_over_tcp(local: &LocalTransport, tracks: &[Track]) -> Result<String, Refusal> {
    write_offer(local, tracks, true)
}

/// Whether another node's offer, or its answer, is for a relay over TCP alone.
#[must_use]
pub fn is_over_tcp(description: &Offer) -> bool {
    description.media.iter().any(|section| section.protocol == answer::OVER_TCP)
}

fn write_offer(local: &LocalTransport, tracks: &[Track], over_tcp: bool) -> Result<String, Refusal> {
    let extensions: ExtensionIds = EXTENSIONS.into_iter().collect();
    let mut offered: Vec<Offered> = Vec::new();
    for track in tracks {
        if offered.iter().any(|section| section.kind == track.kind) {
            continue;
        }
        let named = track.layers.iter().cloned().map(Some);
        for rid in named.chain(track.layers.is_empty().then_some(None)) {
            let mid = offered.len().to_string();
            offered.push(Offered { mid, kind: track.kind, payloads: [payload(track)], rid });
        }
    }
    if offered.is_empty() {
        return Err(Refusal::unsupported("the stream has no tracks yet"));
    }
    let sections: Vec<Section<'_>> = offered
        .iter()
        .map(|section| {
            let media = MediaSection {
                mid: &section.mid,
                kind: section.kind,
                direction: "recvonly",
                payloads: &section.payloads,
                extensions: &extensions,
                source: None,
                layers: section.rid.as_ref().map(|rid| ("recv", std::slice::from_ref(rid))),
            };
            Section::Media(media)
        })
        .collect();
    Ok(answer::write(local, "actpass", over_tcp, &sections))
}

/// Read the parent's answer to our offer.
///
/// # Errors
/// `Malformed` when it is no answer of the relay profile.
pub fn accept(answer: &Offer) -> Result<Receiving, Refusal> {
    let media: Vec<ReceivedMedia> = answer
        .media
        .iter()
        .filter_map(|section| {
            let kind = section.kind.filter(|_| section.direction.sends)?;
            let payload: &OfferedPayload = section.payloads.first()?;
            Some(ReceivedMedia {
                mid: section.mid.clone(),
                kind,
                payload: negotiated(payload, payload.format.fmtp.clone()),
                others: Vec::new(),
                extensions: section.extensions.clone(),
                reduced_size: section.reduced_size,
                ssrc: section.ssrc,
                rtx_ssrc: section.rtx_ssrc,
                layers: section.rid.iter().cloned().collect(),
            })
        })
        .collect();
    if media.is_empty() {
        return Err(Refusal::malformed("the parent's answer has no track"));
    }
    let peer = PeerTransport { over_tcp: is_over_tcp(answer), ..answer.transport.clone() };
    Ok(Receiving { peer, media })
}

fn payload(track: &Track) -> NegotiatedPayload {
    let (payload_type, rtx) = payload_types(track.format.codec);
    let video = track.kind == Kind::Video;
    NegotiatedPayload {
        payload_type,
        rtx,
        format: Format { codec: track.format.codec, fmtp: track.format.fmtp.clone() },
        nack: video,
        pli: video,
        transport_cc: true,
        remb: false,
    }
}
