//! AV1 (RTP payload specification, 4.4): OBU elements are put into new packets, each with its length, cut where a packet is full.

const CONTINUES: u8 = 0x80;
const CONTINUED: u8 = 0x40;
const NEW_SEQUENCE: u8 = 0x08;
/// An element's length in front of it.
const LENGTH: usize = 2;

pub fn pieces(payload: &[u8], limit: usize) -> Option<Vec<Vec<u8>>> {
    let elements = elements(payload)?;
    let header = payload[0];
    let mut pieces: Vec<Vec<u8>> = vec![vec![header & (CONTINUES | NEW_SEQUENCE)]];
    for mut element in elements {
        loop {
            let piece = pieces.last_mut()?;
            let room = limit.saturating_sub(piece.len() + LENGTH);
            if element.len() <= room {
                append(piece, element)?;
                break;
            }
            // A few bytes are not worth a cut.
            if room > LENGTH || piece.len() == 1 {
                let (now, later) = element.split_at_checked(room)?;
                append(piece, now)?;
                piece[0] |= CONTINUED;
                element = later;
                pieces.push(vec![CONTINUES]);
            } else {
                pieces.push(vec![0]);
            }
            if pieces.len() > payload.len() {
                return None;
            }
        }
    }
    *pieces.last_mut()?.first_mut()? |= header & CONTINUED;
    Some(pieces)
}

fn elements(payload: &[u8]) -> Option<Vec<&[u8]>> {
    let (&header, mut rest) = payload.split_first()?;
    let count = usize::from(header >> 4 & 3);
    let mut elements = Vec::new();
    while !rest.is_empty() {
        // With a count, the last one's length is what is left.
        let len = if count > 0 && elements.len() + 1 == count { rest.len() } else { read_length(&mut rest)? };
        let (element, after) = rest.split_at_checked(len)?;
        elements.push(element);
        rest = after;
    }
    (!elements.is_empty()).then_some(elements)
}

fn read_length(rest: &mut &[u8]) -> Option<usize> {
    let mut value = 0;
    for shift in (0..28).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// An element with its length in two bytes (leb128), which is allowed to be longer than needed.
fn append(piece: &mut Vec<u8>, element: &[u8]) -> Option<()> {
    let len = u16::try_from(element.len()).ok().filter(|len| *len < 1 << 14)?;
    piece.extend_from_slice(&[0x80 | u8::try_from(len & 0x7f).ok()?, u8::try_from(len >> 7).ok()?]);
    piece.extend_from_slice(element);
    Some(())
}
