//! RTP packets (RFC 3550) and their header extensions (RFC 8285): read, and written for a viewer.

/// Fixed part of the header.
const FIXED: usize = 12;
const ONE_BYTE: u16 = 0xbede;
const TWO_BYTE: u16 = 0x1000;

/// Length of the header with CSRCs and extensions; None when `packet` is no RTP packet.
#[must_use]
pub fn header_len(packet: &[u8]) -> Option<usize> {
    if packet.len() < FIXED || packet[0] >> 6 != 2 {
        return None;
    }
    let base = FIXED + usize::from(packet[0] & 15) * 4;
    if packet[0] & 0x10 == 0 {
        return (base <= packet.len()).then_some(base);
    }
    let words = u16::from_be_bytes(packet.get(base + 2..base + 4)?.try_into().ok()?);
    let len = base + 4 + usize::from(words) * 4;
    (len <= packet.len()).then_some(len)
}

/// A parsed packet; slices borrow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpView<'a> {
    pub marker: bool,
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    /// Without padding.
    pub payload: &'a [u8],
    pub padding: u8,
    profile: u16,
    extensions: &'a [u8],
}

impl<'a> RtpView<'a> {
    /// None when the packet is malformed.
    #[must_use]
    pub fn parse(packet: &'a [u8]) -> Option<Self> {
        let header = header_len(packet)?;
        let padding = if packet[0] & 0x20 == 0 { 0 } else { *packet[header..].last()? };
        let end = packet.len().checked_sub(padding.into()).filter(|&end| end >= header)?;
        if packet[0] & 0x20 != 0 && padding == 0 {
            return None;
        }
        let base = FIXED + usize::from(packet[0] & 15) * 4;
        let (profile, extensions) = if packet[0] & 0x10 == 0 {
            (0, &[][..])
        } else {
            (u16::from_be_bytes([packet[base], packet[base + 1]]), &packet[base + 4..header])
        };
        Some(Self {
            marker: packet[1] & 0x80 != 0,
            payload_type: packet[1] & 0x7f,
            sequence: u16::from_be_bytes([packet[2], packet[3]]),
            timestamp: u32::from_be_bytes(packet[4..8].try_into().ok()?),
            ssrc: u32::from_be_bytes(packet[8..12].try_into().ok()?),
            payload: &packet[header..end],
            padding,
            profile,
            extensions,
        })
    }

    /// The value of the extension with this id.
    #[must_use]
    pub fn extension(&self, id: u8) -> Option<&'a [u8]> {
        self.extensions().find(|(found, _)| *found == id).map(|(_, value)| value)
    }

    /// (id, value) of every extension, as far as they can be read.
    pub fn extensions(&self) -> impl Iterator<Item = (u8, &'a [u8])> {
        let mut rest = self.extensions;
        let profile = self.profile;
        std::iter::from_fn(move || next_extension(profile, &mut rest))
    }
}

fn next_extension<'a>(profile: u16, rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let zeros = rest.iter().take_while(|&&b| b == 0).count();
    *rest = &rest[zeros..];
    let (id, len, head) = if profile == ONE_BYTE {
        let first = *rest.first()?;
        (first >> 4, usize::from(first & 15) + 1, 1)
    } else if profile & 0xfff0 == TWO_BYTE {
        (*rest.first()?, usize::from(*rest.get(1)?), 2)
    } else {
        return None;
    };
    // Id 15 ends a one-byte block (RFC 8285, 4.2).
    if profile == ONE_BYTE && id == 15 {
        return None;
    }
    let value = rest.get(head..head + len)?;
    *rest = &rest[head + len..];
    Some((id, value))
}

/// The fixed fields of a header to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpHeader {
    pub marker: bool,
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    /// Whether RTP padding will follow the payload.
    pub padded: bool,
}

/// Writes a header: `begin`, extensions, `end`.
pub struct HeaderWriter<'a> {
    buffer: &'a mut Vec<u8>,
    start: usize,
    wide: bool,
}

impl<'a> HeaderWriter<'a> {
    /// `longest`: the longest extension value to come, bytes; above 16 the two-byte form is needed.
    pub fn begin(buffer: &'a mut Vec<u8>, header: RtpHeader, longest: usize) -> Self {
        let start = buffer.len();
        let wide = longest > 16;
        let mut fixed = [0; FIXED + 4];
        fixed[0] = 0x90 | if header.padded { 0x20 } else { 0 };
        fixed[1] = header.payload_type & 0x7f | if header.marker { 0x80 } else { 0 };
        fixed[2..4].copy_from_slice(&header.sequence.to_be_bytes());
        fixed[4..8].copy_from_slice(&header.timestamp.to_be_bytes());
        fixed[8..12].copy_from_slice(&header.ssrc.to_be_bytes());
        fixed[12..14].copy_from_slice(&if wide { TWO_BYTE } else { ONE_BYTE }.to_be_bytes());
        buffer.extend_from_slice(&fixed);
        Self { buffer, start, wide }
    }

    /// `id` 0: not negotiated, nothing is written. Values of no or more than 255 bytes are left out.
    #[allow(clippy::cast_possible_truncation)] // The length is checked.
    pub fn extension(&mut self, id: u8, value: &[u8]) {
        if id == 0 || value.is_empty() || value.len() > if self.wide { 255 } else { 16 } {
            return;
        }
        let len = value.len() as u8;
        if self.wide {
            self.buffer.extend_from_slice(&[id, len]);
        } else {
            self.buffer.push(id << 4 | (len - 1));
        }
        self.buffer.extend_from_slice(value);
    }

    /// Close the header; its length.
    #[must_use]
    #[allow(clippy::cast_possible_truncation)] // At most seven extensions of 257 bytes.
    pub fn end(self) -> usize {
        let block = self.buffer.len() - self.start - FIXED - 4;
        if block == 0 {
            self.buffer.truncate(self.start + FIXED);
            self.buffer[self.start] &= !0x10;
            return FIXED;
        }
        let words = block.div_ceil(4);
        self.buffer.resize(self.start + FIXED + 4 + words * 4, 0);
        let at = self.start + FIXED + 2;
        self.buffer[at..at + 2].copy_from_slice(&(words as u16).to_be_bytes());
        FIXED + 4 + words * 4
    }
}

/// RTP padding of `len` bytes (RFC 3550, 5.1): zeroes, and last how many bytes there are.
#[must_use]
pub fn padding(len: u8) -> &'static [u8] {
    /// For each length its last byte behind as many zeroes as the longest needs.
    static LADDER: [[u8; 255]; 256] = {
        let mut ladder = [[0; 255]; 256];
        let mut len = u8::MAX;
        while len > 0 {
            ladder[len as usize][len as usize - 1] = len;
            len -= 1;
        }
        ladder
    };
    let len = usize::from(len);
    &LADDER[len][..len]
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: RtpHeader =
        RtpHeader { marker: true, payload_type: 96, sequence: 7, timestamp: 9, ssrc: 11, padded: false };

    #[test]
    fn what_is_written_is_read_back() {
        let long = [5; 20];
        for (name, values) in [
            ("none", vec![]),
            ("one-byte", vec![(1, &b"ab"[..]), (14, &b"c"[..])]),
            ("two-byte", vec![(3, &long[..]), (4, &b"c"[..])]),
        ] {
            let mut packet = vec![];
            let longest = values.iter().map(|(_, v)| v.len()).max().unwrap_or(0);
            let mut writer = HeaderWriter::begin(&mut packet, RtpHeader { padded: true, ..HEADER }, longest);
            for (id, value) in &values {
                writer.extension(*id, value);
            }
            let len = writer.end();
            assert_eq!(packet.len(), len, "{name}");
            packet.extend_from_slice(b"payload");
            packet.extend_from_slice(padding(3));
            let view = RtpView::parse(&packet).unwrap();
            assert_eq!((view.payload, view.padding, view.marker), (&b"payload"[..], 3, true), "{name}");
            assert_eq!((view.payload_type, view.sequence, view.timestamp, view.ssrc), (96, 7, 9, 11), "{name}");
            assert_eq!(view.extensions().collect::<Vec<_>>(), values, "{name}");
        }
    }

    #[test]
    fn malformed_packets_are_refused() {
        for (name, packet) in [
            ("short", vec![0x80; 11]),
            ("version 1", vec![0x40; 12]),
            ("extension beyond the end", [&[0x90; 12][..], &[0xbe, 0xde, 0, 9]].concat()),
            ("padding beyond the payload", [&[0xa0][..], &[0; 11], &[9]].concat()),
            ("padding of nothing", [&[0xa0][..], &[0; 11], &[0]].concat()),
        ] {
            assert_eq!(RtpView::parse(&packet), None, "{name}");
        }
    }
}
