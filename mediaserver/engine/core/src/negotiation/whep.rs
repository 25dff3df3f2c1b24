//! WHEP: a viewer's offer against what a stream carries. `negotiate` is the one rule of director and node.

use super::answer::{self, MediaSection, Section};
use super::offer::{Offer, OfferedMedia, OfferedPayload};
use super::whip::negotiated;
use super::{
    Codec, Extension, Format, Kind, LocalSources, LocalTransport, NegotiatedPayload, Refusal, Sending, SentMedia, Track,
};

/// Sections that a session has at most: a relay has one for each layer.
const MAX_MEDIA: usize = 4;
/// What our packets to a viewer may carry.
const EXTENSIONS: [Extension; 8] = [
    Extension::Mid,
    Extension::TransportCc,
    Extension::AbsSendTime,
    Extension::AbsCaptureTime,
    Extension::AudioLevel,
    Extension::DependencyDescriptor,
    Extension::Orientation,
    Extension::PlayoutDelay,
];

/// Judge a viewer's `offer` for `tracks`: every track of the stream must be playable on a section of its kind, unless
/// the viewer wants no such kind at all.
///
/// # Errors
/// `Unsupported` when a kind has no common codec or nothing of the stream is wanted; names what is published and offered.
pub fn negotiate(offer: &Offer, tracks: &[Track], sources: &LocalSources) -> Result<Sending, Refusal> {
    let mut media: Vec<SentMedia> = Vec::new();
    for section in &offer.media {
        let Some(track) = section.kind.and_then(|kind| wanted_track(section, kind, tracks)) else { continue };
        let rid = section.rid.clone().filter(|rid| track.layers.contains(rid));
        if media.iter().any(|m| m.kind == track.kind && (m.rid == rid || m.rid.is_none() || rid.is_none())) {
            continue;
        }
        let index = media.len() * 2;
        let [ssrc, rtx_ssrc] = [sources.ssrcs[index], sources.ssrcs[index + 1]];
        media.push(SentMedia { rid, ..send(offer, section, track, (ssrc, rtx_ssrc))? });
        if media.len() == MAX_MEDIA {
            break;
        }
    }
    prefer_estimates(&mut media);
    if media.is_empty() {
        return Err(Refusal::unsupported(format!("nothing to play: published is {}", describe(tracks))));
    }
    Ok(Sending { peer: offer.transport.clone(), media })
}

/// The answer that says what `negotiate` chose; what the stream lacks is answered with port 0.
#[must_use]
pub fn answer(local: &LocalTransport, sources: &LocalSources, offer: &Offer, sending: &Sending) -> String {
    let sections: Vec<Section<'_>> = offer
        .media
        .iter()
        .map(|offered| {
            let chosen = sending.media.iter().find(|m| offered.kind.is_some() && m.mid == offered.mid);
            chosen.map_or(Section::Rejected(offered), |m| section(m, &sources.cname))
        })
        .collect();
    let setup = if sending.peer.setup.makes_us_active() { "active" } else { "passive" };
    answer::write(local, setup, sending.peer.over_tcp, &sections)
}

fn section<'a>(media: &'a SentMedia, cname: &'a str) -> Section<'a> {
    Section::Media(MediaSection {
        mid: &media.mid,
        kind: media.kind,
        direction: "sendonly",
        payloads: &media.payloads,
        extensions: &media.extensions,
        source: Some((media.ssrc, media.rtx_ssrc, cname)),
        layers: media.rid.as_ref().map(|rid| ("send", std::slice::from_ref(rid))),
    })
}

/// Where the viewer can say its estimate (REMB, rarely) it does not tell of every packet's arrival (transport-cc, often).
fn prefer_estimates(media: &mut [SentMedia]) {
    let estimates = media.iter().any(|media| media.payloads.iter().any(|payload| payload.remb));
    for media in media {
        // A plain repetition is the same byte for byte, so only what is repaired as RTX says when it was sent.
        if !estimates || media.rtx_ssrc.is_none() {
            media.extensions = media.extensions.without(Extension::AbsSendTime);
        }
        if !estimates {
            continue;
        }
        media.payloads.iter_mut().for_each(|payload| payload.transport_cc = false);
        media.extensions = media.extensions.without(Extension::TransportCc);
    }
}

fn wanted_track<'a>(section: &OfferedMedia, kind: Kind, tracks: &'a [Track]) -> Option<&'a Track> {
    tracks.iter().find(|track| track.kind == kind && section.direction.receives)
}

fn send(offer: &Offer, section: &OfferedMedia, track: &Track, ssrcs: (u32, u32)) -> Result<SentMedia, Refusal> {
    let Some(current) = best(&section.payloads, &track.format) else {
        let kind = track.kind;
        return Err(Refusal::unsupported(format!(
            "no common {} codec: published is {}, offered was {}",
            kind.name(),
            track.format,
            offer.describe(kind),
        )));
    };
    let others = Codec::ALL.into_iter().filter(|codec| codec.kind() == track.kind && *codec != track.format.codec);
    let other_payloads = others.filter_map(|codec| best(&section.payloads, &default_format(codec)));
    let payloads: Vec<NegotiatedPayload> = std::iter::once(played(current, played_fmtp(current, track)))
        .chain(other_payloads.map(|p| played(p, p.format.fmtp.clone())))
        .collect();
    let rtx_ssrc = payloads.iter().any(|p| p.rtx.is_some()).then_some(ssrcs.1);
    Ok(SentMedia {
        mid: section.mid.clone(),
        kind: track.kind,
        payloads,
        extensions: section.extensions.only(&EXTENSIONS),
        ssrc: ssrcs.0,
        rtx_ssrc,
        rid: None,
    })
}

fn played(payload: &OfferedPayload, fmtp: String) -> NegotiatedPayload {
    let remb = payload.format.codec.kind() == Kind::Video && payload.feedback.iter().any(|f| f == "goog-remb");
    NegotiatedPayload { remb, ..negotiated(payload, fmtp) }
}

fn best<'a>(payloads: &'a [OfferedPayload], published: &Format) -> Option<&'a OfferedPayload> {
    let fitting = payloads.iter().filter(|p| published.fits(&p.format));
    fitting.rev().max_by_key(|p| published.likeness(&p.format))
}

/// How a codec looks that is not on air now but may be after the next publication.
pub(super) fn default_format(codec: Codec) -> Format {
    let fmtp = if codec == Codec::H264 { "packetization-mode=1;profile-level-id=42e01f" } else { "" };
    Format { codec, fmtp: fmtp.to_owned() }
}

/// The viewer's own parameters (a profile must stay as offered); stereo is announced where it is published.
fn played_fmtp(payload: &OfferedPayload, track: &Track) -> String {
    let stereo = ["stereo", "sprop-stereo"].iter().any(|name| track.format.parameter(name) == Some("1"));
    if track.format.codec == Codec::Opus && stereo && payload.format.parameter("sprop-stereo").is_none() {
        let separator = if payload.format.fmtp.is_empty() { "" } else { ";" };
        format!("{}{separator}sprop-stereo=1", payload.format.fmtp)
    } else {
        payload.format.fmtp.clone()
    }
}

fn describe(tracks: &[Track]) -> String {
    let names: Vec<String> = tracks.iter().map(|t| t.format.to_string()).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(" and ") }
}
