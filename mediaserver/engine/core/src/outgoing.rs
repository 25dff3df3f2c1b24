//! One track on its way to one viewer: numbers, timestamps, headers.
//!
//! What a packet looks like is a function of the ring's packet and the mapping's segment alone (but for transport-cc's counter and the send time),
//! so that a plain retransmission is the same byte for byte.

mod write;

use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::border::{CodecPayload, ViewerTrack};
use crate::mapping::{Mapping, Segment, Squeeze};
use crate::negotiation::{Codec, Kind};
use crate::picture::{Picture, Shift};
use crate::replay::{self, Replay};
use crate::ring::{MAX_JUMP, Packet};
use crate::source::Burst;
use write::Ids;
pub use write::Stamps;

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
        // What it began with is not all of that key frame.
        let begins_earlier = |segment: &Segment| burst.starts_key_frame && first.sequence < segment.first_source;
        if let Some(segment) = current.filter(|segment| !self.broken && !jumps && !begins_earlier(segment)) {
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
        let kept = current.map(|segment| segment.timestamp_offset).or(offset);
        let kept = kept.filter(|offset| self.is_near(first.timestamp.wrapping_add(*offset), first, burst.clock_rate));
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
        let behind = replay.map_or(0, |replay| replay.live(burst).wrapping_sub(first.timestamp).cast_signed());
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
}

fn picture_of(packet: &Packet) -> Option<Picture> {
    Picture::of(packet.picture, &packet.payload, packet.extensions.dependency_descriptor.as_deref())
}

/// 12 bits each, in units of 10 ms.
#[allow(clippy::cast_possible_truncation)] // Bytes are meant.
fn playout_delay_bytes((min, max): (u16, u16)) -> [u8; 3] {
    let (min, max) = (min.min(0xfff), max.min(0xfff));
    [(min >> 4) as u8, (min << 4) as u8 | (max >> 8) as u8, max as u8]
}
