//! The fixed profile in which one node pulls a stream from another: the same types and ids everywhere.

use super::answer::{self, MediaSection, Section};
use super::offer::{Offer, OfferedPayload};
use super::whip::negotiated;
use super::{
    Codec, Extension, ExtensionIds, Format, Kind, LocalTransport, NegotiatedPayload, ReceivedMedia, Receiving, Refusal,
    Track,
};

/// Ids of the header extensions on every relay.
const EXTENSIONS: [(Extension, u8); 5] = [
    (Extension::TransportCc, 1),
    (Extension::AbsCaptureTime, 2),
    (Extension::AudioLevel, 3),
    (Extension::DependencyDescriptor, 4),
    (Extension::Orientation, 5),
];

/// Payload type of a codec on every relay, and of its repairs.
const fn payload_types(codec: Codec) -> (u8, Option<u8>) {
    match codec {
        Codec::H264 => (96, Some(97)),
        Codec::Vp8 => (98, Some(99)),
        Codec::Vp9 => (100, Some(101)),
        Codec::Av1 => (102, Some(103)),
        Codec::H265 => (104, Some(105)),
        Codec::Opus => (111, None),
    }
}

/// The offer with which we pull `tracks`, at most one of each kind.
///
/// # Errors
/// `Unsupported` when there is nothing to pull.
pub fn offer(local: &LocalTransport, tracks: &[Track]) -> Result<String, Refusal> {
    let extensions: ExtensionIds = EXTENSIONS.into_iter().collect();
    let mut offered: Vec<(String, Kind, [NegotiatedPayload; 1])> = Vec::new();
    for track in tracks {
        if !offered.iter().any(|(_, kind, _)| *kind == track.kind) {
            offered.push((offered.len().to_string(), track.kind, [payload(track)]));
        }
    }
    if offered.is_empty() {
        return Err(Refusal::unsupported("the stream has no tracks yet"));
    }
    let sections: Vec<Section<'_>> = offered
        .iter()
        .map(|(mid, kind, payloads)| {
            let media = MediaSection {
                mid,
                kind: *kind,
                direction: "recvonly",
                payloads,
                extensions: &extensions,
                source: None,
            };
            Section::Media(media)
        })
        .collect();
    Ok(answer::write(local, "actpass", &sections))
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
            })
        })
        .collect();
    if media.is_empty() {
        return Err(Refusal::malformed("the parent's answer has no track"));
    }
    Ok(Receiving { peer: answer.transport.clone(), media })
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
    }
}
