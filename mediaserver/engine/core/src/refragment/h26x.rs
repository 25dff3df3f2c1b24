//! H.264 (RFC 6184) and H.265 (RFC 7798): fragmentation units, and aggregates taken apart.

use super::parts;

const START: u8 = 0x80;
const END: u8 = 0x40;

pub fn h264(payload: &[u8], limit: usize, count: usize) -> Option<Vec<Vec<u8>>> {
    const AGGREGATE: u8 = 24;
    const FRAGMENT: u8 = 28;
    let (&header, body) = payload.split_first()?;
    let head = |kind| vec![header & 0xe0 | kind];
    match header & 31 {
        kind @ 1..=23 => fragments(&head(FRAGMENT), START | END | kind, body, limit, count),
        AGGREGATE => regroup(&head(AGGREGATE), body, limit, |unit| h264(unit, limit, 1)),
        FRAGMENT => fragments(&head(FRAGMENT), *body.first()?, &body[1..], limit, count),
        _ => None,
    }
}

pub fn h265(payload: &[u8], limit: usize, count: usize) -> Option<Vec<Vec<u8>>> {
    const AGGREGATE: u8 = 48;
    const FRAGMENT: u8 = 49;
    let (header, body) = payload.split_first_chunk::<2>()?;
    let head = |kind: u8| vec![header[0] & 0x81 | kind << 1, header[1]];
    match header[0] >> 1 & 63 {
        kind @ 0..=47 => fragments(&head(FRAGMENT), START | END | kind, body, limit, count),
        AGGREGATE => regroup(&head(AGGREGATE), body, limit, |unit| h265(unit, limit, 1)),
        FRAGMENT => fragments(&head(FRAGMENT), *body.first()?, &body[1..], limit, count),
        _ => None,
    }
}

/// `flags`: START and END as they are for the whole, and the unit's kind.
fn fragments(head: &[u8], flags: u8, body: &[u8], limit: usize, count: usize) -> Option<Vec<Vec<u8>>> {
    // One fragment must not be a whole unit.
    let count = if flags & (START | END) == START | END { count.max(2) } else { count };
    let parts = parts(body, limit.checked_sub(head.len() + 1)?, count)?;
    let last = parts.len() - 1;
    let piece = |(at, part): (usize, &[u8])| {
        let dropped = if at == 0 { 0 } else { START } | if at == last { 0 } else { END };
        [head, &[flags & !dropped], part].concat()
    };
    Some(parts.enumerate().map(piece).collect())
}

/// An aggregate's units in new aggregates; `cut` is for a unit that is too large by itself.
fn regroup(
    head: &[u8],
    mut body: &[u8],
    limit: usize,
    cut: impl Fn(&[u8]) -> Option<Vec<Vec<u8>>>,
) -> Option<Vec<Vec<u8>>> {
    let (mut pieces, mut group): (Vec<Vec<u8>>, Vec<&[u8]>) = (Vec::new(), Vec::new());
    let mut len = head.len();
    while let Some((size, rest)) = body.split_first_chunk::<2>() {
        let (unit, rest) = rest.split_at_checked(u16::from_be_bytes(*size).into())?;
        body = rest;
        if len + 2 + unit.len() > limit {
            pieces.extend(aggregate(head, &std::mem::take(&mut group)));
            len = head.len();
        }
        if unit.len() > limit {
            pieces.extend(cut(unit)?);
        } else {
            group.push(unit);
            len += 2 + unit.len();
        }
    }
    pieces.extend(aggregate(head, &group));
    (!pieces.is_empty()).then_some(pieces)
}

#[allow(clippy::cast_possible_truncation, reason = "each length was read from 16 bits")]
fn aggregate(head: &[u8], units: &[&[u8]]) -> Option<Vec<u8>> {
    match units {
        [] => None,
        [unit] => Some(unit.to_vec()),
        _ => {
            let sized = units.iter().flat_map(|unit| [(unit.len() as u16).to_be_bytes().to_vec(), unit.to_vec()]);
            Some(std::iter::once(head.to_vec()).chain(sized).flatten().collect())
        }
    }
}
