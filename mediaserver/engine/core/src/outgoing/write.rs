//! A packet as it leaves: header, extensions, payload.

use super::Outgoing;
use crate::mapping::Segment;
use crate::negotiation::{Extension, ExtensionIds};
use crate::picture::Shift;
use crate::ring::Packet;
use crate::rtp::{self, HeaderWriter, RtpHeader};
use crate::srtp::Unsealed;

/// Ids of the header extensions; 0: not negotiated.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ids {
    mid: u8,
    transport_cc: u8,
    abs_send_time: u8,
    abs_capture_time: u8,
    audio_level: u8,
    dependency_descriptor: u8,
    orientation: u8,
    playout_delay: u8,
}

impl Ids {
    pub(super) fn new(ids: &ExtensionIds) -> Self {
        let id = |extension| ids.id(extension).unwrap_or(0);
        Self {
            mid: id(Extension::Mid),
            transport_cc: id(Extension::TransportCc),
            abs_send_time: id(Extension::AbsSendTime),
            abs_capture_time: id(Extension::AbsCaptureTime),
            audio_level: id(Extension::AudioLevel),
            dependency_descriptor: id(Extension::DependencyDescriptor),
            orientation: id(Extension::Orientation),
            playout_delay: id(Extension::PlayoutDelay),
        }
    }
}

/// What the headers of a session say of each packet by itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stamps {
    /// The transport-wide number of the next packet; moved on when it is used.
    transport_cc: u16,
    /// 24 bits: 6.18 seconds.
    send_time: u32,
}

impl Stamps {
    /// What is written from now on leaves at `ntp`.
    #[allow(clippy::cast_possible_truncation)] // 24 bits are meant.
    pub fn leave_at(&mut self, ntp: u64) {
        self.send_time = (ntp >> 14) as u32 & 0x00ff_ffff;
    }
}

impl Outgoing {
    /// Whether the receiver knows of each packet when it was sent: its estimate bears with repeated packets then.
    #[must_use]
    pub fn tells_send_times(&self) -> bool {
        self.ids.abs_send_time != 0
    }

    /// Whether `packet` may be sent again under its own number: only where nothing in it differs from time to time.
    #[must_use]
    pub fn repeats_plainly(&self, segment: &Segment) -> bool {
        self.ids.transport_cc == 0
            && self.ids.abs_send_time == 0
            && (self.rtx_ssrc.is_none() || segment.rtx_payload_type.is_none())
    }

    /// Begin to write `packet` as `number`. `stamps`: what differs from packet to packet of the session.
    #[allow(clippy::cast_possible_truncation)] // The low bits are the sequence number.
    pub fn write<'a>(
        &self,
        buffer: &mut Vec<u8>,
        segment: &Segment,
        packet: &'a Packet,
        number: u64,
        stamps: &mut Stamps,
    ) -> Unsealed<'a> {
        let header = RtpHeader {
            marker: packet.marker,
            payload_type: segment.payload_type,
            sequence: number as u16,
            timestamp: segment.timestamp(packet),
            ssrc: self.ssrc,
            padded: packet.padding > 0,
        };
        let mut writer = HeaderWriter::begin(buffer, header, self.longest_extension(packet));
        self.write_session(&mut writer, stamps);
        self.write_passing(&mut writer, segment, packet);
        if let Some(delay) = self.playout_delay.filter(|_| packet.key_frame) {
            writer.extension(self.ids.playout_delay, &delay);
        }
        let header = writer.end();
        Unsealed { header, rest: payload(buffer, segment, packet), padding: rtp::padding(packet.padding) }
    }

    fn longest_extension(&self, packet: &Packet) -> usize {
        let descriptor = packet.extensions.dependency_descriptor.as_deref().map_or(0, <[u8]>::len);
        self.mid.len().max(if self.ids.dependency_descriptor == 0 { 0 } else { descriptor })
    }

    /// What the source said with the packet; a repair says it too (RFC 4588, 4).
    fn write_passing(&self, writer: &mut HeaderWriter<'_>, segment: &Segment, packet: &Packet) {
        let extensions = &packet.extensions;
        if let Some(captured) = extensions.abs_capture_time.filter(|_| self.ids.abs_capture_time != 0) {
            let mut value = [0; 16];
            value[..8].copy_from_slice(&captured.timestamp.to_be_bytes());
            value[8..].copy_from_slice(&captured.clock_offset.unwrap_or(0).to_be_bytes());
            writer.extension(self.ids.abs_capture_time, &value[..if captured.clock_offset.is_some() { 16 } else { 8 }]);
        }
        if let Some(level) = extensions.audio_level {
            writer.extension(self.ids.audio_level, &[level]);
        }
        if let Some(orientation) = extensions.orientation {
            writer.extension(self.ids.orientation, &[orientation]);
        }
        if let Some(descriptor) =
            extensions.dependency_descriptor.as_deref().filter(|_| self.ids.dependency_descriptor != 0)
        {
            writer.extension(self.ids.dependency_descriptor, &segment.pictures.descriptor(descriptor));
        }
    }

    fn write_session(&self, writer: &mut HeaderWriter<'_>, stamps: &mut Stamps) {
        writer.extension(self.ids.mid, &self.mid);
        if self.ids.transport_cc != 0 {
            writer.extension(self.ids.transport_cc, &stamps.transport_cc.to_be_bytes());
            stamps.transport_cc = stamps.transport_cc.wrapping_add(1);
        }
        if self.ids.abs_send_time != 0 {
            writer.extension(self.ids.abs_send_time, &stamps.send_time.to_be_bytes()[1..]);
        }
    }

    /// Begin to write `packet`, first sent as `number`, as a repair (RFC 4588, 4): it and its own extended number. None: no RTX here.
    #[allow(clippy::cast_possible_truncation)] // The low bits are the sequence number.
    pub fn write_rtx<'a>(
        &mut self,
        buffer: &mut Vec<u8>,
        segment: &Segment,
        packet: &'a Packet,
        number: u64,
        stamps: &mut Stamps,
    ) -> Option<(Unsealed<'a>, u64)> {
        let (ssrc, payload_type) = (self.rtx_ssrc?, segment.rtx_payload_type?);
        let own_number = self.next_rtx;
        self.next_rtx += 1;
        let header = RtpHeader {
            marker: packet.marker,
            payload_type,
            sequence: own_number as u16,
            timestamp: segment.timestamp(packet),
            ssrc,
            padded: false,
        };
        let mut writer = HeaderWriter::begin(buffer, header, self.longest_extension(packet));
        self.write_session(&mut writer, stamps);
        self.write_passing(&mut writer, segment, packet);
        let header = writer.end();
        buffer.extend_from_slice(&(number as u16).to_be_bytes());
        Some((Unsealed { header, rest: payload(buffer, segment, packet), padding: &[] }, own_number))
    }
}

/// The payload, its picture counted as the viewer counts: where that changes something it is written, else nothing is.
fn payload<'a>(buffer: &mut Vec<u8>, segment: &Segment, packet: &'a Packet) -> &'a [u8] {
    let Some(place) = packet.picture.filter(|_| segment.pictures != Shift::default()) else { return &packet.payload };
    let start = buffer.len();
    buffer.extend_from_slice(&packet.payload);
    place.shift(segment.pictures, &mut buffer[start..]);
    &[]
}
