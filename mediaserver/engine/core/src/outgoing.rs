//! One track on its way to one viewer: numbers, timestamps, headers.
//!
//! What a packet looks like is a function of the ring's packet and the mapping's segment alone (but for transport-cc's counter and the send time),
//! so that a plain retransmission is the same byte for byte.

use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::border::{CodecPayload, ViewerTrack};
use crate::mapping::{Mapping, Segment, Squeeze};
use crate::negotiation::{Codec, Extension, ExtensionIds, Kind};
use crate::picture::{Picture, Shift};
use crate::replay::{self, Replay};
use crate::ring::{MAX_JUMP, Packet};
use crate::rtp::{self, HeaderWriter, RtpHeader};
use crate::source::Burst;
use crate::srtp::Unsealed;

/// Ids of the header extensions; 0: not negotiated.
#[derive(Debug, Clone, Copy, Default)]
struct Ids {
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
    fn new(ids: &ExtensionIds) -> Self {
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

/// No replay lasts longer.
const SQUEEZED_FOR: Duration = Duration::from_secs(30);
/// Percent; where timestamps would stand still or go back without it.
const DEFAULT_SPEED: u32 = 400;

/// The newest packet sent: where the timeline goes on.
#[derive(Debug, Clone, Copy)]
struct Sent {
    timestamp: u32,
    /// When it came, or would have come had it been live.
    arrived: Instant,
    sequence: u64,
    picture: Option<Picture>,
}

/// What is to be done with a burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    Continue(Segment),
    /// A new segment begins with it.
    Begin(Segment),
    /// Not before the next key frame.
    Wait,
    /// The viewer has no payload type for it.
    Unplayable,
}

#[derive(Debug)]
pub struct Outgoing {
    pub kind: Kind,
    pub ssrc: u32,
    pub mapping: Mapping,
    /// RTP packets and payload bytes for sender reports.
    pub packets: u32,
    pub payload_bytes: u32,
    rtx_ssrc: Option<u32>,
    next_rtx: u64,
    payloads: Vec<CodecPayload>,
    /// Beside the rest in memory: it is written with every packet.
    mid: SmallVec<[u8; 16]>,
    ids: Ids,
    playout_delay: Option<[u8; 3]>,
    /// What comes next begins a new segment.
    broken: bool,
    last: Option<Sent>,
    first_timestamp: u32,
    /// The layer that it is for good.
    pub rid: Option<String>,
    /// A layer that the peer wants no more of for now (RFC 7728).
    pub paused: bool,
    pub last_key_frame: Option<Instant>,
    pub last_pli: Option<Instant>,
}

/// Random beginnings of a track (RFC 3550, 5.1).
#[derive(Debug, Clone, Copy)]
pub struct Beginnings {
    /// 1…32,767.
    pub number: u16,
    pub rtx_number: u16,
    pub timestamp: u32,
}

impl Outgoing {
    #[must_use]
    pub fn new(track: ViewerTrack, beginnings: Beginnings, playout_delay: Option<(u16, u16)>) -> Self {
        Self {
            kind: track.kind,
            ssrc: track.ssrc,
            mapping: Mapping::new(beginnings.number.into()),
            packets: 0,
            payload_bytes: 0,
            rtx_ssrc: track.rtx_ssrc,
            next_rtx: beginnings.rtx_number.into(),
            payloads: track.payloads,
            mid: SmallVec::from_slice(track.mid.as_bytes()),
            ids: Ids::new(&track.extensions),
            playout_delay: playout_delay.map(playout_delay_bytes),
            broken: true,
            last: None,
            first_timestamp: beginnings.timestamp,
            rid: track.rid,
            paused: false,
            last_key_frame: None,
            last_pli: None,
        }
    }

    /// Whether the track goes on without waiting for anything.
    #[must_use]
    pub fn is_playing(&self) -> bool {
        !self.broken
    }

    #[must_use]
    pub fn has_codec(&self, codec: Codec) -> bool {
        self.payloads.iter().any(|payload| payload.codec == codec)
    }

    /// Whether the receiver knows of each packet when it was sent: its estimate bears with repeated packets then.
    #[must_use]
    pub fn tells_send_times(&self) -> bool {
        self.ids.abs_send_time != 0
    }

    /// Whether what it sends now can be repaired as RTX.
    #[must_use]
    pub fn can_repair(&self) -> bool {
        self.rtx_ssrc.is_some() && self.mapping.current().is_some_and(|segment| segment.rtx_payload_type.is_some())
    }

    /// Packets were left out: begin a new segment.
    pub fn interrupt(&mut self) {
        self.broken = true;
    }

    /// `replay`: the one that the burst is part of. `offset`: the timestamp offset at which another layer of the same source goes on.
    pub fn admit(&mut self, burst: &Burst, replay: Option<&Replay>, offset: Option<u32>) -> Admission {
        let first = &burst.packets[0];
        let goes_on = |segment: &&Segment| {
            segment.source == burst.source && segment.track == burst.track && segment.codec == burst.codec
        };
        let current = self.mapping.current().filter(goes_on);
        let jumps = self.last.is_some_and(|last| first.sequence > last.sequence + MAX_JUMP);
        if let Some(segment) = current.filter(|_| !self.broken && !jumps) {
            return Admission::Continue(*segment);
        }
        let current = current.copied();
        self.broken = true;
        let Some(&payload) = self.payloads.iter().find(|payload| payload.codec == burst.codec) else {
            return Admission::Unplayable;
        };
        let resumes = replay.is_some_and(|replay| replay.resumes) && current.is_some();
        if burst.kind == Kind::Video && !burst.starts_key_frame && !resumes {
            return Admission::Wait;
        }
        self.broken = false;
        let offset =
            offset.filter(|offset| self.is_near(first.timestamp.wrapping_add(*offset), first, burst.clock_rate));
        let kept = current.map(|segment| segment.timestamp_offset).or(offset);
        let segment = self.segment(burst, payload, kept, replay);
        // In the midst of a group of pictures its numbers go on as they are.
        let pictures = current.filter(|_| resumes).map_or_else(|| self.pictures(first), |segment| segment.pictures);
        self.mapping.start(Segment { pictures, ..segment });
        if let Some(last) = &mut self.last {
            last.sequence = first.sequence;
        }
        self.mapping.current().map_or(Admission::Wait, |segment| Admission::Begin(*segment))
    }

    /// The segment that begins with `burst`; `kept`: its timestamp offset, where that goes on from the same source.
    fn segment(&self, burst: &Burst, payload: CodecPayload, kept: Option<u32>, replay: Option<&Replay>) -> Segment {
        let first = &burst.packets[0];
        let timestamp_offset =
            kept.unwrap_or_else(|| self.next_timestamp(first, burst.clock_rate).wrapping_sub(first.timestamp));
        Segment {
            first_number: 0,
            source: burst.source,
            track: burst.track,
            first_source: first.sequence,
            timestamp_offset,
            squeeze: (burst.kind == Kind::Video).then(|| self.squeeze(burst, timestamp_offset, replay)).flatten(),
            pictures: Shift::default(),
            codec: payload.codec,
            payload_type: payload.payload_type,
            rtx_payload_type: payload.rtx,
        }
    }

    /// From the live edge on, and never back from where the viewer is.
    fn squeeze(&self, burst: &Burst, timestamp_offset: u32, replay: Option<&Replay>) -> Option<Squeeze> {
        let first = &burst.packets[0];
        let behind = replay.map_or(0, |replay| replay.live.wrapping_sub(first.timestamp).cast_signed());
        let ours = first.timestamp.wrapping_add(timestamp_offset);
        let past = self.last.map_or(0, |last| last.timestamp.wrapping_add(1).wrapping_sub(ours).cast_signed());
        // More is no distance but a jump of the source's.
        let most = burst.clock_rate.saturating_mul(10);
        let ahead = u32::try_from(behind.max(past)).ok().filter(|ahead| (1..=most).contains(ahead))?;
        Some(Squeeze {
            from: first.timestamp,
            ahead,
            speed: replay.map_or(DEFAULT_SPEED, |replay| replay.speed),
            clock_rate: burst.clock_rate,
            until: first.arrived + SQUEEZED_FOR,
        })
    }

    /// With which the picture of `first` comes next.
    fn pictures(&self, first: &Packet) -> Shift {
        let last = self.last.and_then(|last| last.picture);
        let picture = picture_of(first);
        last.zip(picture).map_or_else(Shift::default, |(last, picture)| Shift::between(last, picture))
    }

    /// Whether a timestamp is where time has led to: clocks of two layers may contradict each other.
    fn is_near(&self, timestamp: u32, first: &Packet, rate: u32) -> bool {
        let distance = timestamp.wrapping_sub(self.next_timestamp(first, rate)).cast_signed();
        distance.unsigned_abs() <= rate.saturating_mul(3)
    }

    /// Another source goes on where the last one stopped, plus the time that passed.
    fn next_timestamp(&self, first: &Packet, rate: u32) -> u32 {
        let Some(last) = self.last else { return self.first_timestamp };
        let elapsed = first.arrived.saturating_duration_since(last.arrived);
        last.timestamp.wrapping_add(replay::ticks(elapsed, rate).max(1))
    }

    /// The packet's number; None before the segment's beginning, or so far ahead that a receiver would lose count.
    #[must_use]
    pub fn number(&self, segment: &Segment, packet: &Packet) -> Option<u64> {
        segment.number(packet.sequence).filter(|number| *number <= self.mapping.next_number() + MAX_JUMP)
    }

    /// `packet` goes out as `number`.
    #[allow(clippy::cast_possible_truncation)] // Counters of sender reports wrap.
    pub fn count(&mut self, packet: &Packet, number: u64) {
        self.mapping.advance(number);
        self.packets = self.packets.wrapping_add(1);
        self.payload_bytes = self.payload_bytes.wrapping_add(packet.payload.len() as u32);
    }

    /// `packet` was the last of its burst to go out.
    pub fn note(&mut self, segment: &Segment, packet: &Packet) {
        let timestamp = segment.timestamp(packet);
        let sequence = self.last.map_or(packet.sequence, |last| last.sequence.max(packet.sequence));
        match &mut self.last {
            Some(last) if timestamp.wrapping_sub(last.timestamp).cast_signed() < 0 => last.sequence = sequence,
            last => {
                let picture = picture_of(packet).map(|picture| picture.shifted(segment.pictures));
                *last = Some(Sent { timestamp, arrived: segment.live_arrival(packet), sequence, picture });
            }
        }
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

fn picture_of(packet: &Packet) -> Option<Picture> {
    Picture::of(packet.picture, &packet.payload, packet.extensions.dependency_descriptor.as_deref())
}

/// The payload, its picture counted as the viewer counts: where that changes something it is written, else nothing is.
fn payload<'a>(buffer: &mut Vec<u8>, segment: &Segment, packet: &'a Packet) -> &'a [u8] {
    let Some(place) = packet.picture.filter(|_| segment.pictures != Shift::default()) else { return &packet.payload };
    let start = buffer.len();
    buffer.extend_from_slice(&packet.payload);
    place.shift(segment.pictures, &mut buffer[start..]);
    &[]
}

/// 12 bits each, in units of 10 ms.
#[allow(clippy::cast_possible_truncation)] // Bytes are meant.
fn playout_delay_bytes((min, max): (u16, u16)) -> [u8; 3] {
    let (min, max) = (min.min(0xfff), max.min(0xfff));
    [(min >> 4) as u8, (min << 4) as u8 | (max >> 8) as u8, max as u8]
}
