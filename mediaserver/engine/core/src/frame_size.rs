//! How large a picture is, from the first payload of its key frame.

use crate::key_frame;
use crate::negotiation::Codec;

/// (width, height) in pixels; None: the payload does not say it (AV1 and H.265 are not read).
#[must_use]
pub fn find(codec: Codec, payload: &[u8]) -> Option<(u16, u16)> {
    match codec {
        Codec::Vp8 => vp8(payload),
        Codec::Vp9 => vp9(payload),
        Codec::H264 => h264(key_frame::sps(payload)?),
        _ => None,
    }
}

/// RFC 7741, 4.2, then RFC 6386, 9.1.
fn vp8(payload: &[u8]) -> Option<(u16, u16)> {
    let first = *payload.first()?;
    let mut at = 1;
    if first & 0x80 != 0 {
        let flags = *payload.get(1)?;
        at += 1;
        if flags & 0x80 != 0 {
            at += if payload.get(at)? & 0x80 != 0 { 2 } else { 1 };
        }
        at += usize::from(flags & 0x40 != 0) + usize::from(flags & 0x30 != 0);
    }
    let head = payload.get(at..at + 10).filter(|head| head[0] & 1 == 0 && head[3..6] == [0x9d, 0x01, 0x2a])?;
    let side = |low: u8, high: u8| u16::from_le_bytes([low, high]) & 0x3fff;
    Some((side(head[6], head[7]), side(head[8], head[9])))
}

/// RFC 9628, 4.2: the scalability structure, which comes with a key frame, names the sizes of the spatial layers.
fn vp9(payload: &[u8]) -> Option<(u16, u16)> {
    let first = *payload.first()?;
    let mut at = 1;
    if first & 0x80 != 0 {
        at += if payload.get(at)? & 0x80 != 0 { 2 } else { 1 };
    }
    if first & 0x20 != 0 {
        at += if first & 0x10 != 0 { 1 } else { 2 };
    }
    let structure = *payload.get(at).filter(|_| first & 0x02 != 0)?;
    if structure & 0x10 == 0 {
        return None;
    }
    let largest = at + 1 + usize::from(structure >> 5) * 4;
    let side = payload.get(largest..largest + 4)?;
    Some((u16::from_be_bytes([side[0], side[1]]), u16::from_be_bytes([side[2], side[3]])))
}

/// ITU-T H.264, 7.3.2.1.1: `sps` without its NAL unit header.
fn h264(sps: &[u8]) -> Option<(u16, u16)> {
    let profile = *sps.first()?;
    let bytes: Vec<u8> = without_emulation(sps.get(3..)?);
    let mut bits = Bits { bytes: &bytes, at: 0 };
    bits.unsigned()?;
    let mut chroma = 1;
    if [100, 110, 122, 244, 44, 83, 86, 118, 128].contains(&profile) {
        chroma = bits.unsigned()?;
        if chroma == 3 {
            bits.bit()?;
        }
        bits.unsigned()?;
        bits.unsigned()?;
        bits.bit()?;
        // Scaling matrices are not read: no encoder of ours sends them.
        if bits.bit()? == 1 {
            return None;
        }
    }
    bits.unsigned()?;
    match bits.unsigned()? {
        0 => {
            bits.unsigned()?;
        }
        1 => return None,
        _ => {}
    }
    bits.unsigned()?;
    bits.bit()?;
    let (columns, rows) = (bits.unsigned()? + 1, bits.unsigned()? + 1);
    let frames_only = bits.bit()?;
    if frames_only == 0 {
        bits.bit()?;
    }
    bits.bit()?;
    let mut crop = [0; 4];
    if bits.bit()? == 1 {
        for side in &mut crop {
            *side = bits.unsigned()?;
        }
    }
    let (unit_x, unit_y) = (if matches!(chroma, 1 | 2) { 2 } else { 1 }, if chroma == 1 { 2 } else { 1 });
    let width = columns.checked_mul(16)?.checked_sub((crop[0].checked_add(crop[1])?).checked_mul(unit_x)?)?;
    let fields = 2 - frames_only;
    let cropped = (crop[2].checked_add(crop[3])?).checked_mul(unit_y * fields)?;
    let height = rows.checked_mul(16 * fields)?.checked_sub(cropped)?;
    Some((u16::try_from(width).ok()?, u16::try_from(height).ok()?))
}

fn without_emulation(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut zeros = 0;
    for &byte in bytes.iter().take(64) {
        zeros = match byte {
            3 if zeros >= 2 => {
                zeros = 0;
                continue;
            }
            0 => zeros + 1,
            _ => 0,
        };
        out.push(byte);
    }
    out
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn bit(&mut self) -> Option<u32> {
        let byte = *self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit.into())
    }

    /// Exp-Golomb, 9.1.
    fn unsigned(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
            if zeros > 16 {
                return None;
            }
        }
        let mut rest = 0;
        for _ in 0..zeros {
            rest = rest << 1 | self.bit()?;
        }
        Some((1 << zeros) - 1 + rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_from_real_headers() {
        // SPS by x264 (constrained baseline 640×360, high 1920×1080 with cropping) and by OpenH264 (320×180).
        let x264 = [0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0xa0, 0x2f, 0xf9, 0x70, 0x11, 0x00, 0x00, 0x03, 0x00, 0x01];
        let high = [
            0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02, 0x27, 0xe5, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00, 0x04,
        ];
        for (name, codec, payload, expected) in [
            (
                "vp8 with picture id and base index",
                Codec::Vp8,
                &[0x90, 0xe0, 0x92, 0x34, 9, 0x20, 0x50, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x41][..],
                Some((640, 360)),
            ),
            ("vp8, not a key frame", Codec::Vp8, &[0x10, 0x51, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 2, 0x68, 1], None),
            ("vp8, cut short", Codec::Vp8, &[0x10, 0x50, 0, 0, 0x9d, 0x01, 0x2a, 0x80], None),
            (
                "vp9 with two spatial layers",
                Codec::Vp9,
                &[0xaa, 0x81, 0x02, 0x00, 0x01, 0x30, 0x01, 0x40, 0x00, 0xb4, 0x02, 0x80, 0x01, 0x68],
                Some((640, 360)),
            ),
            ("vp9 without structure", Codec::Vp9, &[0xa8, 0x81, 0x02, 0x00, 0x01, 7], None),
            ("h264", Codec::H264, &x264, Some((640, 368 - 8))),
            ("h264 high", Codec::H264, &high, Some((1920, 1080))),
            ("h264 without SPS", Codec::H264, &[0x65, 1, 2, 3], None),
            ("h264, cut short", Codec::H264, &[0x67, 0x42, 0xc0, 0x1e, 0xd9], None),
            ("opus", Codec::Opus, &[1, 2, 3], None),
        ] {
            assert_eq!(find(codec, payload), expected, "{name}");
        }
    }

    #[test]
    fn no_bytes_make_it_fail() {
        let mut random = crate::random::Random::new(7);
        for _ in 0..20_000 {
            let len = random.word() % 40;
            let mut payload: Vec<u8> = (0..len).map(|_| random.word().to_le_bytes()[0]).collect();
            if let Some(first) = payload.first_mut() {
                *first = 0x67;
            }
            for codec in Codec::ALL {
                let _ = find(codec, &payload);
            }
        }
    }
}
