//! Picture ids of VP8 (RFC 7741, 4.2) and VP9 (RFC 9628, 4.2), and frame numbers of dependency descriptors (AV1 RTP payload
//! specification, A.4): where a packet has them, and how a viewer's go on.
//!
//! Every publication counts from a number of its own; a viewer's count goes on over all of them.

use crate::negotiation::Codec;

/// Where a payload says which picture it belongs to. 0: nowhere (the first byte is something else in both codecs).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    id: u8,
    /// 15 bits instead of 7.
    wide: bool,
    /// The index of the base layer's picture, TL0PICIDX.
    base: u8,
}

/// What a payload says there. A part that is not there is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Picture {
    id: u16,
    base: u8,
    /// Of the dependency descriptor; None: there is none.
    frame: Option<u16>,
}

/// What is added to a source's numbers, modulo what they can hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shift {
    id: u16,
    base: u8,
    frame: u16,
}

impl Place {
    /// None: the payload has neither (or is cut short).
    #[must_use]
    pub fn find(codec: Codec, payload: &[u8]) -> Option<Self> {
        let place = match codec {
            Codec::Vp8 => vp8(payload)?,
            Codec::Vp9 => vp9(payload)?,
            _ => return None,
        };
        let last = usize::from((place.id + u8::from(place.wide)).max(place.base));
        (last > 0 && last < payload.len()).then_some(place)
    }

    /// What stands there.
    #[must_use]
    pub fn read(self, payload: &[u8]) -> Picture {
        let byte = |at: u8| if at == 0 { 0 } else { payload.get(usize::from(at)).copied().unwrap_or(0) };
        let (high, base) = (u16::from(byte(self.id) & 0x7f), byte(self.base));
        Picture { id: if self.wide { high << 8 | u16::from(byte(self.id + 1)) } else { high }, base, frame: None }
    }

    /// Add `shift` to what stands there.
    pub fn shift(self, shift: Shift, payload: &mut [u8]) {
        let Picture { id, base, .. } = self.read(payload).shifted(shift);
        let [high, low] = id.to_be_bytes();
        let mut put = |at: u8, keep: u8, value: u8| {
            if let Some(byte) = payload.get_mut(usize::from(at)).filter(|_| at > 0) {
                *byte = *byte & keep | value & !keep;
            }
        };
        put(self.id, 0x80, if self.wide { high } else { low });
        put(if self.wide { self.id + 1 } else { 0 }, 0, low);
        put(self.base, 0, base);
    }
}

impl Picture {
    /// Of a packet; None: it says nothing of it. `place`: where its `payload` does.
    #[must_use]
    pub fn of(place: Option<Place>, payload: &[u8], descriptor: Option<&[u8]>) -> Option<Self> {
        let picture = place.map(|place| place.read(payload));
        let frame = descriptor.map(frame_number);
        (picture.is_some() || frame.is_some()).then(|| Self { frame, ..picture.unwrap_or_default() })
    }

    #[must_use]
    pub fn shifted(self, shift: Shift) -> Self {
        Self {
            id: self.id.wrapping_add(shift.id) & 0x7fff,
            base: self.base.wrapping_add(shift.base),
            frame: self.frame.map(|frame| frame.wrapping_add(shift.frame)),
        }
    }
}

impl Shift {
    /// With which `first` comes next after `last`.
    #[must_use]
    pub fn between(last: Picture, first: Picture) -> Self {
        Self {
            id: last.id.wrapping_add(1).wrapping_sub(first.id),
            base: last.base.wrapping_add(1).wrapping_sub(first.base),
            frame: last.frame.zip(first.frame).map_or(0, |(last, first)| last.wrapping_add(1).wrapping_sub(first)),
        }
    }

    /// A dependency descriptor with its frame counted on: it stands behind the byte that every descriptor begins with.
    #[must_use]
    pub fn descriptor(self, descriptor: &[u8]) -> Vec<u8> {
        let mut bytes = descriptor.to_vec();
        if let Some(number) = bytes.get_mut(1..3) {
            number.copy_from_slice(&frame_number(descriptor).wrapping_add(self.frame).to_be_bytes());
        }
        bytes
    }
}

fn frame_number(descriptor: &[u8]) -> u16 {
    descriptor.get(1..3).map_or(0, |number| u16::from_be_bytes([number[0], number[1]]))
}

fn vp8(payload: &[u8]) -> Option<Place> {
    if payload.first()? & 0x80 == 0 {
        return None;
    }
    let flags = *payload.get(1)?;
    let mut place = Place::default();
    let mut at = 2;
    if flags & 0x80 != 0 {
        (place.id, place.wide) = (at, payload.get(2)? & 0x80 != 0);
        at += 1 + u8::from(place.wide);
    }
    if flags & 0x40 != 0 {
        place.base = at;
    }
    Some(place)
}

fn vp9(payload: &[u8]) -> Option<Place> {
    let first = *payload.first()?;
    let (has_id, layers, flexible) = (first & 0x80 != 0, first & 0x20 != 0, first & 0x10 != 0);
    let mut place = Place::default();
    let mut at = 1;
    if has_id {
        (place.id, place.wide) = (at, payload.get(1)? & 0x80 != 0);
        at += 1 + u8::from(place.wide);
    }
    if layers && !flexible {
        place.base = at + 1;
    }
    Some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_read_and_moved_on_without_touching_anything_else() {
        let last = Picture { id: 0x7fff, base: 255, frame: None };
        for (name, codec, payload, expected) in [
            (
                "vp8, 15 bits and base",
                Codec::Vp8,
                &[0x90, 0xe0, 0x92, 0x34, 9, 3, 7][..],
                Some(&[0x90, 0xe0, 0x80, 0, 0, 3, 7][..]),
            ),
            ("vp8, 7 bits", Codec::Vp8, &[0x90, 0x80, 0x12, 7], Some(&[0x90, 0x80, 0, 7])),
            ("vp8, base alone", Codec::Vp8, &[0x90, 0x40, 0x12, 7], Some(&[0x90, 0x40, 0, 7])),
            ("vp8, no extension", Codec::Vp8, &[0x10, 0x80, 0x80, 7], None),
            ("vp8, neither", Codec::Vp8, &[0x90, 0x20, 0x80, 7], None),
            ("vp8, cut short", Codec::Vp8, &[0x90, 0x80, 0x80], None),
            ("vp9, 15 bits, layers", Codec::Vp9, &[0xa8, 0x92, 0x34, 0x20, 9, 7], Some(&[0xa8, 0x80, 0, 0x20, 0, 7])),
            (
                "vp9, 15 bits, flexible layers",
                Codec::Vp9,
                &[0xb8, 0x92, 0x34, 0x20, 9, 7],
                Some(&[0xb8, 0x80, 0, 0x20, 9, 7]),
            ),
            ("vp9, 7 bits", Codec::Vp9, &[0x88, 0x12, 7], Some(&[0x88, 0, 7])),
            ("vp9, neither", Codec::Vp9, &[0x08, 0x12, 7], None),
            ("vp9, cut short", Codec::Vp9, &[0xa8, 0x92, 0x34, 0x20], None),
            ("h264", Codec::H264, &[0x90, 0xe0, 0x92, 0x34, 9, 3, 7], None),
            ("nothing", Codec::Vp8, &[], None),
        ] {
            let place = Place::find(codec, payload);
            let moved = place.map(|place| {
                let mut moved = payload.to_vec();
                place.shift(Shift::between(last, place.read(payload)), &mut moved);
                moved
            });
            assert_eq!(moved.as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn frame_numbers_of_descriptors_go_on_and_wrap() {
        let picture = |bytes: &[u8]| Picture::of(None, &[], Some(bytes)).unwrap();
        let shift = Shift::between(picture(&[0xc0, 0xff, 0xff]), picture(&[0x80, 0x12, 0x34, 0x80, 9]));
        assert_eq!(shift.descriptor(&[0x80, 0x12, 0x34, 0x80, 9]), [0x80, 0, 0, 0x80, 9]);
        assert_eq!(shift.descriptor(&[0x40, 0x12, 0x36]), [0x40, 0, 2]);
        assert_eq!(shift.descriptor(&[1, 2]), [1, 2], "cut short");
        assert_eq!((Picture::of(None, &[], None), shift.descriptor(&[])), (None, vec![]));
    }

    #[test]
    fn the_next_picture_follows_and_what_comes_after_keeps_its_distance() {
        let payload = |id: u16, base| [&[0x90, 0xe0][..], &(id | 0x8000).to_be_bytes(), &[base, 0, 1]].concat();
        let place = Place::find(Codec::Vp8, &payload(0, 0)).unwrap();
        let shift = Shift::between(place.read(&payload(32_767, 200)), place.read(&payload(77, 3)));
        for (id, base, expected) in [(77, 3, (0, 201)), (78, 4, (1, 202)), (76, 2, (32_767, 200))] {
            let mut moved = payload(id, base);
            place.shift(shift, &mut moved);
            assert_eq!(moved, payload(expected.0, expected.1), "{id}");
        }
    }
}
