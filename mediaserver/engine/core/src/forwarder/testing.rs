//! A forwarder with sources that publish and players that open what they get, in memory.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Forwarder;
use crate::border::*;
use crate::egress::{Egress, Flow, Message};
use crate::negotiation::{Codec, Extension, ExtensionIds, Kind};
use crate::rtcp::{self, Report};
use crate::rtp::RtpView;
use crate::srtp::{Opener, Sealer, SrtpKeys, SrtpProfile};
use crate::tcp;

pub const AUDIO: usize = 0;
pub const VIDEO: usize = 1;
pub const AUDIO_SSRC: u32 = 1000;
pub const VIDEO_SSRC: u32 = 2000;
pub const RTX_SSRC: u32 = 3000;
pub const RTX_TYPE: u8 = 97;
pub const DESCRIPTOR_ID: u8 = 9;

/// A packet as a player sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Extended.
    pub number: u64,
    pub timestamp: u32,
    pub marker: bool,
    pub payload: Vec<u8>,
    pub padding: u8,
    /// The dependency descriptor.
    pub descriptor: Option<Vec<u8>>,
    pub at: Instant,
}

/// A viewer's end.
pub struct Player {
    opener: Opener,
    sealer: Sealer,
    pub packets: HashMap<u32, Vec<Received>>,
    pub reports: Vec<(Instant, Report)>,
    /// (SSRC, extended number) → the sealed bytes.
    pub sealed: BTreeMap<(u32, u64), Vec<u8>>,
    pub bye: bool,
    /// Datagrams of all kinds, and their bytes.
    pub taken: (u64, u64),
}

impl Received {
    /// The number that the source gave the packet (`World::packet`).
    pub fn source_number(&self) -> u64 {
        u64::from_be_bytes(self.payload[1..9].try_into().unwrap())
    }
}

impl Player {
    fn new(keys: &SrtpKeys) -> Self {
        let theirs = SrtpKeys { profile: keys.profile, local: keys.remote.clone(), remote: keys.local.clone() };
        Self {
            opener: Opener::new(&theirs),
            sealer: Sealer::new(&theirs),
            packets: HashMap::new(),
            reports: vec![],
            sealed: BTreeMap::new(),
            bye: false,
            taken: (0, 0),
        }
    }

    pub fn receive(&mut self, datagram: &[u8], at: Instant) {
        self.taken = (self.taken.0 + 1, self.taken.1 + datagram.len() as u64);
        let mut bytes = datagram.to_vec();
        if (200..=206).contains(&bytes[1]) {
            let len = self.opener.open_rtcp(&mut bytes).expect("authentic RTCP");
            let reports = rtcp::parse(&bytes[..len]);
            self.bye |= reports.iter().any(|report| matches!(report, Report::Bye { .. }));
            self.reports.extend(reports.into_iter().map(|report| (at, report)));
            return;
        }
        let ssrc = u32::from_be_bytes(bytes[8..12].try_into().unwrap());
        // A plain retransmission is a replay to the opener; its bytes are all that matters.
        let Some((number, len)) = self.opener.open_rtp(&mut bytes) else {
            let known = self.sealed.values().any(|sealed| sealed == datagram);
            assert!(known, "neither authentic nor a repetition");
            return;
        };
        assert_eq!(self.sealed.insert((ssrc, number), datagram.to_vec()), None);
        let view = RtpView::parse(&bytes[..len]).unwrap();
        let received = Received {
            number,
            timestamp: view.timestamp,
            marker: view.marker,
            payload: view.payload.to_vec(),
            padding: view.padding,
            descriptor: view.extension(DESCRIPTOR_ID).map(<[u8]>::to_vec),
            at,
        };
        self.packets.entry(ssrc).or_default().push(received);
    }

    pub fn numbers(&self, ssrc: u32) -> Vec<u64> {
        self.packets.get(&ssrc).map(|packets| packets.iter().map(|p| p.number).collect()).unwrap_or_default()
    }

    pub fn last_report(&self, ssrc: u32) -> Option<(u64, u32)> {
        self.reports.iter().rev().find_map(|(_, report)| match report {
            Report::Sender { ssrc: found, ntp, timestamp } if *found == ssrc => Some((*ntp, *timestamp)),
            _ => None,
        })
    }
}

/// Datagrams on their way; takes `room` messages at most.
struct Wire {
    room: usize,
    behind: bool,
    taken: Vec<(ViewerId, Vec<u8>, SocketAddr)>,
    shapes: Vec<(usize, usize)>,
}

impl Egress for Wire {
    fn send(&mut self, messages: &[Message], bytes: &[u8]) -> usize {
        let count = messages.len().min(self.room);
        self.room -= count;
        for message in &messages[..count] {
            let all = &bytes[message.start..message.start + message.len];
            self.shapes.push((message.count(), message.len));
            let parts =
                all.chunks(message.segment.into()).map(|part| (message.viewer, part.to_vec(), message.destination));
            self.taken.extend(parts);
        }
        count
    }

    fn is_behind(&self, destination: SocketAddr) -> bool {
        self.behind && tcp::number(destination).is_some()
    }
}

/// What a source sends next.
pub struct Publication {
    pub id: SourceId,
    pub sequence: [u64; 2],
    pub timestamp: [u32; 2],
}

pub struct World {
    pub forwarder: Forwarder,
    pub now: Instant,
    pub players: BTreeMap<ViewerId, Player>,
    pub stream: StreamKey,
    /// Packets and bytes of each message sent.
    pub shapes: Vec<(usize, usize)>,
    /// Messages that the sockets take in one go.
    pub room: usize,
    /// TCP connections take no video.
    pub behind: bool,
    started: u64,
}

pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self::with(seed, ForwarderConfig::default())
    }

    pub fn with(seed: u64, config: ForwarderConfig) -> Self {
        let now = Instant::now();
        let clock = WallClock { at: now, since_unix_epoch: Duration::from_hours(500_000) };
        Self {
            forwarder: Forwarder::new(config, clock, seed),
            now,
            players: BTreeMap::new(),
            stream: "a stream".into(),
            shapes: vec![],
            room: usize::MAX,
            behind: false,
            started: 0,
        }
    }

    pub fn publish(&mut self, sequence: u64, timestamp: u32) -> Publication {
        self.publish_as(Codec::H264, sequence, timestamp)
    }

    pub fn publish_as(&mut self, video: Codec, sequence: u64, timestamp: u32) -> Publication {
        self.started += 1;
        let tracks = [Codec::Opus, video].map(TrackSpec::plain);
        let incarnation = format!("incarnation {}", self.started);
        let id = self.forwarder.start_source(&self.stream, &incarnation, SourceKind::Publisher, &tracks, self.now);
        Publication { id, sequence: [sequence; 2], timestamp: [timestamp, timestamp.wrapping_add(77)] }
    }

    /// Payload bytes name the publication's packet, so that players can tell.
    pub fn packet(publication: &mut Publication, track: usize, first: u8, len: usize, marker: bool) -> SourcePacket {
        let mut payload = vec![first; len];
        let sequence = publication.sequence[track];
        publication.sequence[track] += 1;
        payload[1..9].copy_from_slice(&sequence.to_be_bytes());
        SourcePacket {
            sequence,
            timestamp: publication.timestamp[track],
            marker,
            payload: Arc::from(payload),
            extensions: ExtensionValues { audio_level: (track == AUDIO).then_some(30), ..ExtensionValues::default() },
        }
    }

    /// Video packets of one frame; the clock of the track then moves on by 1/30 s.
    pub fn frame(publication: &mut Publication, key: bool, lengths: &[usize]) -> Vec<SourcePacket> {
        let count = lengths.len();
        let first = if key { 0x65 } else { 0x41 };
        let packets =
            (0..count).map(|at| Self::packet(publication, VIDEO, first, lengths[at], at + 1 == count)).collect();
        publication.timestamp[VIDEO] = publication.timestamp[VIDEO].wrapping_add(3000);
        packets
    }

    /// A VP8 frame of two packets (RFC 7741, 4.2), with its picture id and TL0PICIDX.
    pub fn vp8_frame(publication: &mut Publication, key: bool, picture: (u16, u8)) -> Vec<SourcePacket> {
        let [high, low] = (picture.0 | 0x8000).to_be_bytes();
        let payload = |first: u8| [&[first, 0xe0, high, low, picture.1, 0x20, u8::from(!key)][..], &[9; 50]].concat();
        let mut packet = |first: u8, marker| SourcePacket {
            payload: payload(first).into(),
            ..Self::packet(publication, VIDEO, 0, 9, marker)
        };
        let packets = vec![packet(0x90, false), packet(0x80, true)];
        publication.timestamp[VIDEO] = publication.timestamp[VIDEO].wrapping_add(3000);
        packets
    }

    pub fn push(&mut self, publication: &Publication, track: usize, packets: impl IntoIterator<Item = SourcePacket>) {
        for packet in packets {
            self.forwarder.on_source_packet(publication.id, track, packet, self.now);
        }
    }

    /// A frame and the audio of 1/30 s, sent and received.
    pub fn play_frame(&mut self, publication: &mut Publication, key: bool) {
        let frame = Self::frame(publication, key, &[1000, 1000, 1001, 400]);
        self.push(publication, VIDEO, frame);
        let audio = Self::packet(publication, AUDIO, 7, 100, false);
        publication.timestamp[AUDIO] = publication.timestamp[AUDIO].wrapping_add(1600);
        self.push(publication, AUDIO, [audio]);
        self.settle();
    }

    /// Frames for this time, a key frame every `gop`; the first is one.
    pub fn play(&mut self, publication: &mut Publication, frames: usize, gop: usize) {
        for at in 0..frames {
            self.play_frame(publication, at % gop == 0);
            self.now += Duration::from_nanos(33_333_333);
        }
    }

    /// The same with whatever falls due between two frames; `frames`: their place in a row with a key frame every `gop`.
    pub fn live(&mut self, publication: &mut Publication, frames: std::ops::Range<usize>, gop: usize) {
        for at in frames {
            self.play_frame(publication, at % gop == 0);
            self.wait(Duration::from_nanos(33_333_333));
        }
    }

    pub fn join(&mut self, spec: ViewerSpec, profile: SrtpProfile) -> ViewerId {
        let material: Vec<u8> = (0..120).collect();
        let keys = SrtpKeys::from_exporter(profile, &material, false).unwrap();
        let destination = Some("192.0.2.1:5000".parse().unwrap());
        let viewer = self.forwarder.add_viewer(&self.stream, spec, &keys, destination, self.now);
        self.players.insert(viewer, Player::new(&keys));
        viewer
    }

    pub fn player(&self, viewer: ViewerId) -> &Player {
        &self.players[&viewer]
    }

    /// Timers and transmission at this instant.
    pub fn settle(&mut self) -> Flow {
        let mut wire = Wire { room: self.room, behind: self.behind, taken: vec![], shapes: vec![] };
        let flow = self.forwarder.poll_transmit(self.now, &mut wire);
        self.shapes.extend(wire.shapes);
        for (viewer, datagram, _) in wire.taken {
            if let Some(player) = self.players.get_mut(&viewer) {
                player.receive(&datagram, self.now);
            }
        }
        flow
    }

    /// Let time pass, with everything that is due in it.
    pub fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.settle();
        while let Some(next) = self.forwarder.next_deadline().filter(|next| *next <= end && self.now <= end) {
            self.now = self.now.max(next);
            let before = self.forwarder.next_deadline();
            self.settle();
            if self.forwarder.next_deadline() == before {
                self.now += ms(1);
            }
        }
        self.now = end;
        self.settle();
    }

    /// RTCP of a player.
    pub fn feedback(&mut self, viewer: ViewerId, write: impl FnOnce(&mut Vec<u8>)) {
        let mut datagram = vec![];
        write(&mut datagram);
        assert!(self.players.get_mut(&viewer).unwrap().sealer.seal_rtcp(&mut datagram, 0));
        self.forwarder.on_viewer_datagram(viewer, &datagram, self.now);
    }

    pub fn requests(&mut self) -> usize {
        std::iter::from_fn(|| self.forwarder.poll_source_request()).count()
    }

    pub fn events(&mut self) -> Vec<ForwarderEvent> {
        std::iter::from_fn(|| self.forwarder.poll_event()).collect()
    }
}

/// What a browser negotiates, with RTX or without.
pub fn browser(rtx: bool) -> ViewerSpec {
    let ids: ExtensionIds = [(Extension::Mid, 4), (Extension::AudioLevel, 1)].into_iter().collect();
    let payload = |codec, payload_type, rtx| CodecPayload { codec, payload_type, rtx };
    let audio = ViewerTrack {
        kind: Kind::Audio,
        mid: "0".into(),
        payloads: vec![payload(Codec::Opus, 111, None)],
        ssrc: AUDIO_SSRC,
        rtx_ssrc: None,
        extensions: ids.clone(),
        rid: None,
    };
    let video = ViewerTrack {
        kind: Kind::Video,
        mid: "1".into(),
        payloads: vec![payload(Codec::H264, 96, rtx.then_some(RTX_TYPE))],
        ssrc: VIDEO_SSRC,
        rtx_ssrc: rtx.then_some(RTX_SSRC),
        extensions: ids,
        rid: None,
    };
    ViewerSpec { tracks: vec![audio, video], cname: "cname".into(), relay: false, layer: None }
}
