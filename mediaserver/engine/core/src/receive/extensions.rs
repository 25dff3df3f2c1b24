//! Header extensions of a packet that pass through, by the ids that the session gave them (RFC 8285).

use std::sync::Arc;

use crate::border::{AbsCaptureTime, ExtensionValues};
use crate::negotiation::{Extension, ExtensionIds};
use crate::rtp::RtpView;

/// The values that go on to viewers; what is not negotiated or malformed is left out.
#[must_use]
pub fn values(ids: &ExtensionIds, packet: &RtpView<'_>) -> ExtensionValues {
    let mut values = ExtensionValues::default();
    for (id, value) in packet.extensions() {
        let Some((extension, _)) = ids.iter().find(|(_, known)| *known == id) else { continue };
        match extension {
            Extension::AbsCaptureTime => values.abs_capture_time = abs_capture_time(value),
            Extension::AudioLevel => values.audio_level = value.first().copied(),
            Extension::Orientation => values.orientation = value.first().copied(),
            Extension::DependencyDescriptor => {
                values.dependency_descriptor = (!value.is_empty()).then(|| Arc::from(value));
            }
            Extension::Mid
            | Extension::Rid
            | Extension::RepairedRid
            | Extension::TransportCc
            | Extension::AbsSendTime
            | Extension::PlayoutDelay => {}
        }
    }
    values
}

/// The transport-wide number of a packet.
#[must_use]
pub fn transport_number(ids: &ExtensionIds, packet: &RtpView<'_>) -> Option<u16> {
    let value = packet.extension(ids.id(Extension::TransportCc)?)?;
    Some(u16::from_be_bytes(value.try_into().ok()?))
}

fn abs_capture_time(value: &[u8]) -> Option<AbsCaptureTime> {
    let timestamp = u64::from_be_bytes(value.get(..8)?.try_into().ok()?);
    let clock_offset = value.get(8..16).and_then(|offset| offset.try_into().ok()).map(i64::from_be_bytes);
    Some(AbsCaptureTime { timestamp, clock_offset })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::{HeaderWriter, RtpHeader};

    #[test]
    fn values_are_read_by_negotiated_ids_and_bad_ones_left_out() {
        let ids: ExtensionIds = [
            (Extension::TransportCc, 1),
            (Extension::AbsCaptureTime, 2),
            (Extension::AudioLevel, 3),
            (Extension::DependencyDescriptor, 4),
            (Extension::Orientation, 5),
        ]
        .into_iter()
        .collect();
        let header = RtpHeader { marker: false, payload_type: 96, sequence: 1, timestamp: 2, ssrc: 3, padded: false };
        let read = |written: &[(u8, &[u8])]| {
            let mut packet = vec![];
            let mut writer = HeaderWriter::begin(&mut packet, header, 40);
            for (id, value) in written {
                writer.extension(*id, value);
            }
            assert!(writer.end() > 0);
            let view = RtpView::parse(&packet).unwrap();
            (values(&ids, &view), transport_number(&ids, &view))
        };
        let long = [9; 30];
        let (all, number) =
            read(&[(1, &[1, 2]), (2, &[0, 0, 0, 1, 0, 0, 0, 2]), (3, &[0x85]), (4, &long), (5, &[1]), (6, &[7])]);
        let expected = ExtensionValues {
            abs_capture_time: Some(AbsCaptureTime { timestamp: 1 << 32 | 2, clock_offset: None }),
            audio_level: Some(0x85),
            orientation: Some(1),
            dependency_descriptor: Some(Arc::from(&long[..])),
        };
        assert_eq!((all, number), (expected, Some(0x102)));
        let offset = [0, 0, 0, 1, 0, 0, 0, 2, 255, 255, 255, 255, 255, 255, 255, 254];
        assert_eq!(read(&[(2, &offset)]).0.abs_capture_time.unwrap().clock_offset, Some(-2));
        assert_eq!(read(&[(1, &[1]), (2, &[1; 7])]), (ExtensionValues::default(), None));
    }
}
