//! RTP payloads that look like H.264 (RFC 6184) and Opus, and that a receiver can check byte for byte.

use std::sync::LazyLock;

use crate::frames::{Frame, PARAMETER_SETS};

/// Constrained baseline, level 3.1, 1280x720, as x264 writes it.
const SPS: [u8; 24] = [
    0x67, 0x42, 0xc0, 0x1f, 0xd9, 0x00, 0x50, 0x05, 0xba, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x03,
    0xc8, 0xf1, 0x83, 0x24, 0x80,
];
const PPS: [u8; 5] = [0x68, 0xcb, 0x83, 0xcb, 0x20];
const STAP_A: u8 = 0x78;
const FU_A: u8 = 0x7c;
const IDR: u8 = 5;
const SLICE: u8 = 1;
const SEI: u8 = 0x06;
/// Opus, full band by CELT, 20 ms, one frame (RFC 6716, 3.1).
const OPUS: u8 = 0xf8;

/// Bytes without zeroes, so that no start code can arise.
static NOISE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut random = 0x1234_5678_u32;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        random.to_be_bytes()[0] | 1
    };
    (0..4_096).map(|_| next()).collect()
});

/// The payloads of a frame's packets; `number` varies their contents.
pub fn of_frame(frame: &Frame, number: u32) -> Vec<Vec<u8>> {
    let slices = usize::from(frame.key);
    let last = frame.lengths.len() - 1;
    let cut = |(at, &length): (usize, &usize)| {
        if at < slices {
            return parameter_sets(length, number);
        }
        let kind = if frame.key { IDR } else { SLICE };
        let edges = if at == slices { 0x80 } else { 0 } | if at == last { 0x40 } else { 0 };
        let mut payload = vec![FU_A, edges | kind];
        fill(&mut payload, length, number.wrapping_add(u32::try_from(at).unwrap_or(0)));
        payload
    };
    frame.lengths.iter().enumerate().map(cut).collect()
}

/// An audio packet's payload.
pub fn of_sound(length: usize, number: u32) -> Vec<u8> {
    let mut payload = vec![OPUS];
    fill(&mut payload, length, number);
    payload
}

/// What carries the time at which it left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Of a slice.
    Slice {
        begins: bool,
    },
    Sound,
}

/// Bytes of the time.
const STAMP: usize = 8;

/// Where a payload has the time at which it left, behind what it begins with and its mark, and what it is.
fn stamp_place(payload: &[u8]) -> Option<(usize, Part)> {
    match payload {
        [FU_A, header, ..] => Some((3, Part::Slice { begins: header & 0x80 != 0 })),
        [OPUS, ..] => Some((2, Part::Sound)),
        _ => None,
    }
}

/// Write the time of sending into a payload that has a place for it.
pub fn stamp(payload: &mut [u8], micros: u64) {
    if let Some((at, _)) = stamp_place(payload)
        && let Some(place) = payload.get_mut(at..at + STAMP)
    {
        place.copy_from_slice(&micros.to_be_bytes());
    }
}

/// When a payload was sent, µs, and what it is. None: it does not say.
pub fn stamped(payload: &[u8]) -> Option<(u64, Part)> {
    let (at, part) = stamp_place(payload)?;
    Some((u64::from_be_bytes(payload.get(at..at + STAMP)?.try_into().ok()?), part))
}

/// Whether a payload has arrived as it was made, its stamp left out.
pub fn is_intact(payload: &[u8]) -> bool {
    if let Some((at, _)) = stamp_place(payload) {
        let Some((&mark, rest)) = payload.get(at - 1..).and_then(<[u8]>::split_first) else { return false };
        let skipped = STAMP.min(rest.len());
        return rest[skipped..] == noise(mark, rest.len())[skipped..];
    }
    let noise_at = match payload.first() {
        Some(&STAP_A) if payload.len() <= PARAMETER_SETS => return payload == parameter_sets(payload.len(), 0),
        // Behind the sets: length and type of the supplemental unit.
        Some(&STAP_A) => PARAMETER_SETS + 3,
        _ => return false,
    };
    let Some((&mark, rest)) = payload.get(noise_at..).and_then(<[u8]>::split_first) else { return false };
    rest == noise(mark, rest.len())
}

/// SPS and PPS in one packet; a supplemental unit fills it up to `length`.
fn parameter_sets(length: usize, number: u32) -> Vec<u8> {
    let mut payload = vec![STAP_A];
    for unit in [&SPS[..], &PPS[..]] {
        payload.extend(u16::try_from(unit.len()).unwrap_or(0).to_be_bytes());
        payload.extend(unit);
    }
    if length > payload.len() + 3 {
        payload.extend(u16::try_from(length - payload.len() - 2).unwrap_or(0).to_be_bytes());
        payload.push(SEI);
        fill(&mut payload, length, number);
    }
    payload
}

/// Fill up to `length`: a mark that says where in the noise, then the noise.
fn fill(payload: &mut Vec<u8>, length: usize, number: u32) {
    let mark = u8::try_from(number % 255).unwrap_or(0) + 1;
    payload.push(mark);
    payload.extend(noise(mark, length.saturating_sub(payload.len())));
}

fn noise(mark: u8, length: usize) -> &'static [u8] {
    let from = usize::from(mark) * 8;
    &NOISE[from..(from + length).min(NOISE.len())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::{Frames, Pattern};
    use rivulet_core::key_frame::{begins, profile_level_id};
    use rivulet_core::negotiation::Codec;

    #[test]
    fn payloads_have_the_wanted_lengths_and_are_intact_until_touched() {
        for pattern in [Pattern::Paced, Pattern::Burst] {
            let mut frames = Frames::new(pattern);
            for number in 0..600 {
                let frame = frames.next_frame();
                let mut payloads = of_frame(&frame, number);
                let lengths: Vec<usize> = payloads.iter().map(Vec::len).collect();
                assert_eq!(lengths, frame.lengths, "{pattern:?}");
                assert!(payloads.iter().all(|payload| is_intact(payload)), "{pattern:?}");
                let last = payloads[0].len() - 1;
                payloads[0][last] ^= 2;
                assert!(!is_intact(&payloads[0]), "{pattern:?}");
            }
        }
        assert!(is_intact(&of_sound(100, 7)));
    }

    #[test]
    fn a_stamp_is_read_back_and_does_not_count_as_damage() {
        let mut frames = Frames::new(Pattern::Burst);
        frames.next_frame();
        let mut payloads = of_frame(&frames.next_frame(), 3);
        for payload in &mut payloads {
            stamp(payload, 77);
        }
        let read: Vec<_> = payloads.iter().map(|payload| (stamped(payload), is_intact(payload))).collect();
        let slice = |begins| (Some((77, Part::Slice { begins })), true);
        assert_eq!(read[0], slice(true));
        assert!(read[1..].iter().all(|read| *read == slice(false)));
        let mut sound = of_sound(100, 7);
        stamp(&mut sound, 78);
        assert_eq!((stamped(&sound), is_intact(&sound)), (Some((78, Part::Sound)), true));
        assert_eq!(stamped(&parameter_sets(60, 1)), None);
    }

    #[test]
    fn the_engine_sees_key_frames_where_they_are() {
        for pattern in [Pattern::Paced, Pattern::Burst] {
            let mut frames = Frames::new(pattern);
            for number in 0..120 {
                let frame = frames.next_frame();
                let first = &of_frame(&frame, number)[0];
                assert_eq!(begins(Codec::H264, first), frame.key, "{pattern:?}");
                assert_eq!(profile_level_id(first).as_deref(), frame.key.then_some("42c01f"), "{pattern:?}");
            }
        }
    }
}
