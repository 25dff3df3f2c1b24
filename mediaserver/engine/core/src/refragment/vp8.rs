//! VP8 (RFC 7741): the descriptor is repeated; only the first piece begins a partition.

use super::parts;

/// The S bit: start of a partition.
const BEGINS: u8 = 0x10;

pub fn pieces(payload: &[u8], limit: usize, count: usize) -> Option<Vec<Vec<u8>>> {
    let (descriptor, body) = payload.split_at_checked(descriptor_len(payload)?)?;
    let later = [&[descriptor[0] & !BEGINS], &descriptor[1..]].concat();
    let parts = parts(body, limit.checked_sub(descriptor.len())?, count)?;
    let piece = |(at, part): (usize, &[u8])| [if at == 0 { descriptor } else { &later }, part].concat();
    Some(parts.enumerate().map(piece).collect())
}

fn descriptor_len(payload: &[u8]) -> Option<usize> {
    let first = *payload.first()?;
    if first & 0x80 == 0 {
        return Some(1);
    }
    let flags = *payload.get(1)?;
    let picture = if flags & 0x80 == 0 { 0 } else { 1 + usize::from(payload.get(2)? >> 7) };
    Some(2 + picture + usize::from(flags & 0x40 != 0) + usize::from(flags & 0x30 != 0))
}
