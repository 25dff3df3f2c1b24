//! Packets too large for a path of 1,280 bytes are cut smaller where they come in, and numbered anew.
//!
//! Invariant: the new numbers are a function of the old ones that keeps their order and their gaps: a number once given stands for
//! the same bytes for ever, and a packet that is missing has its numbers kept free, as many as its like needed, until it comes.

mod av1;
mod h26x;
mod vp8;
mod vp9;

use std::collections::BTreeMap;

use crate::border::{ExtensionValues, SourcePacket};
use crate::negotiation::Codec;

/// What IPv6 carries everywhere (1,280), less its header and UDP's, an RTP header, a tag of 16 bytes, a repair's number (RFC 4588),
/// and 16 bytes of extensions of ours: mid, transport-cc, playout delay.
const ROOM: usize = 1_280 - 40 - 8 - 12 - 16 - 2 - 16;
/// Numbers kept free for a missing packet, at most.
const MAX_SLOTS: u64 = 8;
/// A longer gap gets one number for each packet: nobody repairs it.
const MAX_GAP: u64 = 512;
const MAX_MISSING: usize = 2048;

/// The numbers of a packet that has not come.
#[derive(Debug, Clone, Copy)]
struct Slots {
    first: u64,
    count: u64,
}

#[derive(Debug)]
pub struct Refragmenter {
    codec: Codec,
    /// The first number that was cut: below it nothing is renumbered. None: none was.
    since: Option<u64>,
    /// The next number of the source, and what is added to it.
    next: u64,
    offset: u64,
    /// Most pieces that a packet needed.
    slots: u64,
    missing: BTreeMap<u64, Slots>,
}

impl Refragmenter {
    #[must_use]
    pub fn new(codec: Codec) -> Self {
        Self { codec, since: None, next: 0, offset: 0, slots: 1, missing: BTreeMap::new() }
    }

    /// What comes from now on has another codec; its numbers go on.
    pub fn retune(&mut self, codec: Codec) {
        self.codec = codec;
    }

    /// The packets that stand for `packet`; none when it came before.
    #[must_use]
    pub fn push(&mut self, packet: SourcePacket) -> Vec<SourcePacket> {
        let sequence = packet.sequence;
        if self.since.is_none() {
            if fits(&packet) {
                self.next = self.next.max(sequence + 1);
                return vec![packet];
            }
            self.since = Some(sequence.max(self.next));
            self.next = self.next.max(sequence);
        }
        if sequence >= self.next {
            self.reserve(sequence);
            let packets = self.cut(&packet, sequence + self.offset, None);
            let count = packets.len() as u64;
            self.offset += count - 1;
            self.slots = self.slots.max(count.min(MAX_SLOTS));
            self.next = sequence + 1;
            return packets;
        }
        match self.missing.remove(&sequence) {
            Some(slots) => self.cut(&packet, slots.first, Some(slots.count)),
            // It was there before the first cut, as it was, or is a late one of that time.
            None if self.since.is_some_and(|since| sequence < since) => vec![packet],
            None => Vec::new(),
        }
    }

    /// Keep numbers free for what is missing before `sequence`.
    fn reserve(&mut self, sequence: u64) {
        if sequence - self.next > MAX_GAP {
            return;
        }
        for missing in self.next..sequence {
            self.missing.insert(missing, Slots { first: missing + self.offset, count: self.slots });
            self.offset += self.slots - 1;
        }
        while self.missing.len() > MAX_MISSING {
            self.missing.pop_first();
        }
    }

    /// `packet` as packets from number `first` on: as many as it needs, or the `slots` that were kept free for it.
    fn cut(&self, packet: &SourcePacket, first: u64, slots: Option<u64>) -> Vec<SourcePacket> {
        let count = slots.map_or(1, |slots| usize::try_from(slots).unwrap_or(1));
        let whole = count == 1 && (slots.is_some() || fits(packet));
        let pieces = if whole { None } else { pieces(self.codec, &packet.payload, room(&packet.extensions), count) };
        // What needs more numbers than it has, or cannot be cut, goes as it is.
        let pieces = pieces.filter(|pieces| slots.is_none() || pieces.len() <= count);
        let payloads = pieces.unwrap_or_else(|| vec![packet.payload.to_vec()]);
        let last = payloads.len() - 1;
        // Numbers that are left over are used up by packets without a payload, or they would look lost.
        let filling = std::iter::repeat_n(Vec::new(), count.saturating_sub(payloads.len()));
        let numbered = (first..).zip(payloads.into_iter().chain(filling).enumerate());
        numbered
            .map(|(sequence, (at, payload))| SourcePacket {
                sequence,
                timestamp: packet.timestamp,
                marker: packet.marker && at == last,
                extensions: extensions(&packet.extensions, at == 0, at == last),
                payload: if at == 0 && last == 0 { packet.payload.clone() } else { payload.into() },
            })
            .collect()
    }
}

/// Whether the packet fits a path of 1,280 bytes.
#[must_use]
pub fn fits(packet: &SourcePacket) -> bool {
    packet.payload.len() <= room(&packet.extensions)
}

/// What is left for a payload beside the extensions that pass through.
fn room(extensions: &ExtensionValues) -> usize {
    let captured = extensions.abs_capture_time.map_or(0, |time| if time.clock_offset.is_some() { 17 } else { 9 });
    let orientation = extensions.orientation.map_or(0, |_| 2);
    let descriptor = extensions.dependency_descriptor.as_ref().map_or(0, |descriptor| descriptor.len() + 2);
    ROOM.saturating_sub(captured + orientation + descriptor).max(ROOM / 2)
}

/// At least `count` payloads of at most `limit` bytes, together the same as `payload`. None: it cannot be cut.
fn pieces(codec: Codec, payload: &[u8], limit: usize, count: usize) -> Option<Vec<Vec<u8>>> {
    match codec {
        Codec::H264 => h26x::h264(payload, limit, count),
        Codec::H265 => h26x::h265(payload, limit, count),
        Codec::Vp8 => vp8::pieces(payload, limit, count),
        Codec::Vp9 => vp9::pieces(payload, limit, count),
        Codec::Av1 => av1::pieces(payload, limit),
        Codec::Opus => None,
    }
}

/// `body` in equal parts of at most `limit` bytes, at least `count` of them. None: there are fewer bytes than parts.
fn parts(body: &[u8], limit: usize, count: usize) -> Option<impl ExactSizeIterator<Item = &[u8]>> {
    let count = body.len().div_ceil(limit.max(1)).max(count).max(1);
    // Equal parts, rounded up, could be fewer than wanted: the first ones are a byte longer instead.
    let (len, longer) = (body.len() / count, body.len() % count);
    (len > 0).then(|| {
        (0..count).map(move |at| {
            let start = at * len + at.min(longer);
            &body[start..start + len + usize::from(at < longer)]
        })
    })
}

/// The dependency descriptor says which packet begins and ends a frame (AV1 RTP payload specification, A.8.1); its structure comes once.
fn extensions(whole: &ExtensionValues, first: bool, last: bool) -> ExtensionValues {
    const BEGINS: u8 = 0x80;
    const ENDS: u8 = 0x40;
    const MANDATORY: usize = 3;
    if first && last {
        return whole.clone();
    }
    let descriptor = whole.dependency_descriptor.as_ref().map(|descriptor| {
        let structure = descriptor.get(MANDATORY).is_some_and(|flags| flags & 0x80 != 0);
        let kept = if structure && !first { MANDATORY } else { descriptor.len() };
        let mut bytes = descriptor[..kept].to_vec();
        if let Some(flags) = bytes.first_mut() {
            *flags &= !(if first { 0 } else { BEGINS } | if last { 0 } else { ENDS });
        }
        bytes.into()
    });
    ExtensionValues { dependency_descriptor: descriptor, ..whole.clone() }
}

#[cfg(test)]
mod tests;
