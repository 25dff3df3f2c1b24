//! Where a key frame begins, by codec, and what an H.264 SPS says.

use crate::negotiation::Codec;

/// Whether this payload begins a frame that needs no other (parameter sets that lead one belong to it).
#[must_use]
pub fn begins(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::H264 => h264_units(payload).any(|unit| matches!(unit.first().map(|b| b & 31), Some(5 | 7))),
        Codec::H265 => h265(payload),
        Codec::Vp8 => vp8(payload).unwrap_or(false),
        Codec::Vp9 => vp9(payload).unwrap_or(false),
        // The N bit: first packet of a coded video sequence (AV1 RTP payload specification, 4.4).
        Codec::Av1 => payload.first().is_some_and(|b| b & 0x08 != 0),
        Codec::Opus => false,
    }
}

/// `profile-level-id` of the SPS in this H.264 payload, six hex digits (RFC 6184, 8.1).
#[must_use]
pub fn profile_level_id(payload: &[u8]) -> Option<String> {
    let sps = h264_units(payload).find(|unit| unit.first().is_some_and(|b| b & 31 == 7))?;
    let [profile, constraints, level] = sps.get(1..4)?.try_into().ok()?;
    Some(format!("{profile:02x}{constraints:02x}{level:02x}"))
}

/// The SPS in this H.264 payload, without its NAL unit header; None also where it is fragmented.
#[must_use]
pub fn sps(payload: &[u8]) -> Option<&[u8]> {
    let unit = h264_units(payload).find(|unit| unit.head.is_none() && unit.first().is_some_and(|b| b & 31 == 7))?;
    unit.bytes.get(1..)
}

/// `fmtp` with its `profile-level-id` replaced.
#[must_use]
pub fn with_profile_level_id(fmtp: &str, id: &str) -> String {
    let others = fmtp.split(';').map(str::trim).filter(|pair| {
        let name = pair.split('=').next().unwrap_or_default().trim();
        !pair.is_empty() && !name.eq_ignore_ascii_case("profile-level-id")
    });
    let own = format!("profile-level-id={id}");
    others.chain(std::iter::once(own.as_str())).collect::<Vec<_>>().join(";")
}

/// NAL units (of a fragmented one the first piece, its header restored) of an RTP payload (RFC 6184, 5.2).
fn h264_units(payload: &[u8]) -> impl Iterator<Item = Unit<'_>> {
    let kind = payload.first().map_or(0, |b| b & 31);
    let single = (1..=23).contains(&kind).then_some(Unit { head: None, bytes: payload });
    let fragment = (kind == 28).then(|| first_fragment(payload)).flatten();
    let aggregate = if kind == 24 { payload.get(1..).unwrap_or_default() } else { &[] };
    single.into_iter().chain(fragment).chain(aggregated(aggregate).map(|bytes| Unit { head: None, bytes }))
}

/// A NAL unit whose first byte may stand elsewhere.
struct Unit<'a> {
    head: Option<u8>,
    bytes: &'a [u8],
}

impl Unit<'_> {
    fn first(&self) -> Option<u8> {
        self.head.or_else(|| self.bytes.first().copied())
    }

    fn get(&self, range: std::ops::Range<usize>) -> Option<&[u8]> {
        let shift = usize::from(self.head.is_some());
        self.bytes.get(range.start - shift..range.end - shift)
    }
}

fn first_fragment(payload: &[u8]) -> Option<Unit<'_>> {
    let header = *payload.get(1).filter(|b| *b & 0x80 != 0)?;
    Some(Unit { head: Some(header & 31), bytes: &payload[2..] })
}

/// Units with their 16-bit lengths before them.
fn aggregated(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let len = usize::from(u16::from_be_bytes(rest.get(..2)?.try_into().ok()?));
        let unit = rest.get(2..2 + len)?;
        rest = &rest[2 + len..];
        Some(unit)
    })
}

/// VPS, SPS or an IRAP picture (RFC 7798, 4.4).
fn h265(payload: &[u8]) -> bool {
    let kind = |b: u8| b >> 1 & 0x3f;
    let starts = |kind| matches!(kind, 16..=21 | 32 | 33);
    match payload.first().map(|&b| kind(b)) {
        Some(48) => {
            aggregated(payload.get(2..).unwrap_or_default()).any(|u| u.first().is_some_and(|&b| starts(kind(b))))
        }
        Some(49) => payload.get(2).is_some_and(|b| b & 0x80 != 0 && starts(b & 0x3f)),
        Some(other) => starts(other),
        None => false,
    }
}

/// RFC 7741, 4.2 and 4.3.
fn vp8(payload: &[u8]) -> Option<bool> {
    let first = *payload.first()?;
    let mut at = 1;
    if first & 0x80 != 0 {
        let flags = *payload.get(at)?;
        at += 1;
        if flags & 0x80 != 0 {
            at += if payload.get(at)? & 0x80 != 0 { 2 } else { 1 };
        }
        at += usize::from(flags & 0x40 != 0) + usize::from(flags & 0x30 != 0);
    }
    let starts_frame = first & 0x17 == 0x10;
    Some(starts_frame && payload.get(at)? & 1 == 0)
}

/// RFC 9628, 4.2.
fn vp9(payload: &[u8]) -> Option<bool> {
    let first = *payload.first()?;
    let (picture_id, predicted, layers, begins) =
        (first & 0x80 != 0, first & 0x40 != 0, first & 0x20 != 0, first & 0x08 != 0);
    let mut at = 1;
    if picture_id {
        at += if payload.get(at)? & 0x80 != 0 { 2 } else { 1 };
    }
    let spatial_layer = if layers { payload.get(at)? >> 1 & 7 } else { 0 };
    Some(begins && !predicted && spatial_layer == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_frames_are_found_by_codec() {
        for (name, codec, payload, expected) in [
            ("h264 idr", Codec::H264, &[0x65, 1][..], true),
            ("h264 sps", Codec::H264, &[0x67, 0x42, 0xe0, 0x1f], true),
            ("h264 slice", Codec::H264, &[0x41, 1], false),
            ("h264 sps and pps in a stap-a", Codec::H264, &[0x78, 0, 2, 0x67, 1, 0, 1, 0x68], true),
            ("h264 slices in a stap-a", Codec::H264, &[0x78, 0, 2, 0x41, 1, 0, 1, 0x06], false),
            ("h264 stap-a cut short", Codec::H264, &[0x78, 0, 9, 0x67], false),
            ("h264 first fragment of an idr", Codec::H264, &[0x7c, 0x85, 1], true),
            ("h264 later fragment of an idr", Codec::H264, &[0x7c, 0x05, 1], false),
            ("h264 nothing", Codec::H264, &[], false),
            ("h265 idr", Codec::H265, &[19 << 1, 1], true),
            ("h265 vps", Codec::H265, &[32 << 1, 1], true),
            ("h265 trailing picture", Codec::H265, &[1 << 1, 1], false),
            ("h265 aggregate", Codec::H265, &[48 << 1, 1, 0, 2, 33 << 1, 1], true),
            ("h265 first fragment of a cra", Codec::H265, &[49 << 1, 1, 0x80 | 0x15], true),
            ("h265 later fragment of a cra", Codec::H265, &[49 << 1, 1, 21], false),
            ("vp8 key frame", Codec::Vp8, &[0x10, 0x00], true),
            ("vp8 inter frame", Codec::Vp8, &[0x10, 0x01], false),
            ("vp8 key frame, long picture id, tl0 and tid", Codec::Vp8, &[0x90, 0xe0, 0x80, 1, 2, 3, 0x00], true),
            ("vp8 second partition", Codec::Vp8, &[0x11, 0x00], false),
            ("vp8 continuation", Codec::Vp8, &[0x00, 0x00], false),
            ("vp8 cut short", Codec::Vp8, &[0x90, 0x80], false),
            ("vp9 key frame", Codec::Vp9, &[0x88, 1], true),
            ("vp9 predicted", Codec::Vp9, &[0xc8, 1], false),
            ("vp9 second packet", Codec::Vp9, &[0x80, 1], false),
            ("vp9 base layer", Codec::Vp9, &[0xa8, 1, 0], true),
            ("vp9 upper layer", Codec::Vp9, &[0xa8, 0x81, 1, 1 << 1], false),
            ("av1 new sequence", Codec::Av1, &[0x18, 1], true),
            ("av1 inter frame", Codec::Av1, &[0x10, 1], false),
            ("opus", Codec::Opus, &[0xff, 1], false),
        ] {
            assert_eq!(begins(codec, payload), expected, "{name}");
        }
    }

    #[test]
    fn profile_level_id_comes_from_the_sps() {
        for (name, payload, expected) in [
            ("single", &[0x67, 0x64, 0x00, 0x1f, 9][..], Some("64001f")),
            ("aggregated", &[0x78, 0, 1, 9, 0, 4, 0x67, 0x42, 0xe0, 0x0d], Some("42e00d")),
            ("fragmented", &[0x7c, 0x87, 0x4d, 0x40, 0x28], Some("4d4028")),
            ("cut short", &[0x67, 0x64], None),
            ("no sps", &[0x65, 0x64, 0, 0x1f], None),
        ] {
            assert_eq!(profile_level_id(payload).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn fmtp_keeps_its_other_parameters() {
        let offered = "profile-level-id=42e01f; packetization-mode=1";
        assert_eq!(with_profile_level_id(offered, "64001f"), "packetization-mode=1;profile-level-id=64001f");
        assert_eq!(with_profile_level_id("", "64001f"), "profile-level-id=64001f");
    }
}
