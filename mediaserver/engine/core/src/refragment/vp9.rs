//! VP9 (RFC 9628, 4.2): the descriptor is repeated without the scalability structure; only the first piece begins a frame, only the
//! last ends it.

use super::parts;

const BEGINS: u8 = 0x08;
const ENDS: u8 = 0x04;
const STRUCTURE: u8 = 0x02;

pub fn pieces(payload: &[u8], limit: usize, count: usize) -> Option<Vec<Vec<u8>>> {
    let before_structure = layers_len(payload)?;
    let structure = if payload[0] & STRUCTURE == 0 { 0 } else { structure_len(payload.get(before_structure..)?)? };
    let (descriptor, body) = payload.split_at_checked(before_structure + structure)?;
    let parts = parts(body, limit.checked_sub(descriptor.len())?, count)?;
    let last = parts.len() - 1;
    let piece = |(at, part): (usize, &[u8])| {
        let dropped = if at == 0 { 0 } else { BEGINS | STRUCTURE } | if at == last { 0 } else { ENDS };
        let kept = if at == 0 { descriptor } else { &descriptor[..before_structure] };
        [&[kept[0] & !dropped], &kept[1..], part].concat()
    };
    Some(parts.enumerate().map(piece).collect())
}

/// Bytes of the descriptor before the scalability structure.
fn layers_len(payload: &[u8]) -> Option<usize> {
    let first = *payload.first()?;
    let [picture_id, predicted, layers, flexible] = [0x80, 0x40, 0x20, 0x10].map(|bit| first & bit != 0);
    let mut at = 1;
    if picture_id {
        at += 1 + usize::from(payload.get(at)? >> 7);
    }
    if layers {
        at += if flexible { 1 } else { 2 };
    }
    if flexible && predicted {
        for _ in 0..3 {
            let more = payload.get(at)? & 1 != 0;
            at += 1;
            if !more {
                break;
            }
        }
    }
    Some(at)
}

fn structure_len(structure: &[u8]) -> Option<usize> {
    let first = *structure.first()?;
    let mut at = 1;
    if first & 0x10 != 0 {
        at += 4 * (usize::from(first >> 5) + 1);
    }
    if first & 0x08 != 0 {
        let pictures = *structure.get(at)?;
        at += 1;
        for _ in 0..pictures {
            at += 1 + usize::from(structure.get(at)? >> 2 & 3);
        }
    }
    Some(at)
}
