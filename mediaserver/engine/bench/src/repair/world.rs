//! Origin, edge and viewer in memory: two forwarders and two receivers with paths between them. No sockets, no wall time.

use std::time::{Duration, Instant};

use rivulet_core::border::{
    CodecPayload, ExtensionValues, ForwarderConfig, SourceId, SourceKind, SourcePacket, StreamKey, TrackSpec, ViewerId,
    ViewerSpec, ViewerTrack, WallClock,
};
use rivulet_core::egress::{Egress, Message};
use rivulet_core::forwarder::Forwarder;
use rivulet_core::negotiation::{Codec, Format, LocalSources, LocalTransport, Offer, Track, relay, whep};
use rivulet_core::receive::{Figures, Received, Receiver};
use rivulet_core::srtp::{SrtpKeys, SrtpProfile};

use super::path::{Loss, Path};
use super::picture::{Mark, Picture, Seen};

const FRAME: Duration = Duration::from_nanos(33_333_333);
const STEP: Duration = Duration::from_millis(1);
/// A key frame each 2 s, as large as six others.
const GOP: u32 = 60;
const KEY_FRAME: usize = 6;
const PAYLOAD: usize = 1100;

/// Where it is that packets are lost; the other path has a round trip of 20 ms and loses nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Relay,
    Viewer,
}

#[derive(Debug, Clone, Copy)]
pub struct Scene {
    pub place: Place,
    pub loss: Loss,
    pub round_trip: Duration,
    /// bit/s of the video.
    pub rate: usize,
    pub length: Duration,
    pub seed: u64,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    pub seen: Seen,
    /// Of the receiver behind the lossy path.
    pub figures: Figures,
    /// Packets on the lossy path for each of the stream.
    pub overhead: f64,
}

/// One hop: a forwarder's viewer, the way there and back, and the receiver.
struct Hop {
    viewer: ViewerId,
    receiver: Receiver,
    there: Path,
    back: Path,
}

struct Wire<'a> {
    path: &'a mut Path,
    now: Instant,
}

impl Egress for Wire<'_> {
    fn send(&mut self, messages: &[Message], bytes: &[u8]) -> usize {
        for message in messages {
            for datagram in bytes[message.start..message.start + message.len].chunks(message.segment.into()) {
                self.path.send(datagram.to_vec(), self.now);
            }
        }
        messages.len()
    }
}

impl Hop {
    fn new(forwarder: &mut Forwarder, stream: &StreamKey, scene: &Scene, place: Place, now: Instant) -> Self {
        let (loss, round_trip) =
            if scene.place == place { (scene.loss, scene.round_trip) } else { (Loss::None, Duration::from_millis(20)) };
        let (spec, mut receiver) = negotiated(place == Place::Relay);
        let material: Vec<u8> = (0..120).collect();
        let keys =
            |client| SrtpKeys::from_exporter(SrtpProfile::AeadAes128Gcm, &material, client).expect("long enough");
        let destination = Some(([192, 0, 2, 1], 9).into());
        let viewer = forwarder.add_viewer(stream, spec, &keys(false), destination, now);
        receiver.set_keys(&keys(true), now);
        receiver.note_round_trip(round_trip);
        let path = |seed| Path::new(loss, round_trip / 2, scene.seed * 4 + seed);
        let seed = if place == Place::Relay { 0 } else { 2 };
        Self { viewer, receiver, there: path(seed), back: path(seed + 1) }
    }

    /// Let what is due happen between `forwarder` and the receiver; what the receiver gets.
    fn turn(&mut self, forwarder: &mut Forwarder, now: Instant) -> Vec<Received> {
        while let Some(datagram) = self.back.arrived(now) {
            forwarder.on_viewer_datagram(self.viewer, &datagram, now);
        }
        forwarder.poll_transmit(now, &mut Wire { path: &mut self.there, now });
        while let Some(datagram) = self.there.arrived(now) {
            self.receiver.on_datagram(&datagram, now);
        }
        if self.receiver.next_deadline().is_some_and(|at| at <= now) {
            self.receiver.on_timeout(now);
        }
        let mut received = Vec::new();
        while let Some(output) = self.receiver.poll_output() {
            match output {
                Received::Feedback(datagram) => self.back.send(datagram, now),
                output => received.push(output),
            }
        }
        received
    }
}

/// The relay profile: what the one side sends, and the other's receiver.
fn negotiated(relay: bool) -> (ViewerSpec, Receiver) {
    let local = |name: &str| LocalTransport {
        session_id: 1,
        ufrag: name.repeat(8),
        password: name.repeat(24),
        fingerprint: vec!["00"; 32].join(":"),
        candidates: Vec::new(),
        tcp: false,
    };
    let tracks = [Track {
        kind: Codec::H264.kind(),
        format: Format { codec: Codec::H264, fmtp: String::new() },
        layers: vec![],
    }];
    let sources = LocalSources { cname: "c".to_owned(), ssrcs: [10, 20, 30, 40, 50, 60, 70, 80] };
    let offer = Offer::parse(&relay::offer(&local("a"), &tracks).expect("a track")).expect("our own");
    let sending = whep::negotiate(&offer, &tracks, &sources).expect("playable");
    let answer = whep::answer(&local("b"), &sources, &offer, &sending);
    let receiving = relay::accept(&Offer::parse(&answer).expect("our own")).expect("a track");
    let tracks = sending.media.iter().map(|media| ViewerTrack {
        kind: media.kind,
        mid: media.mid.clone(),
        payloads: media
            .payloads
            .iter()
            .map(|p| CodecPayload { codec: p.format.codec, payload_type: p.payload_type, rtx: p.rtx })
            .collect(),
        ssrc: media.ssrc,
        rtx_ssrc: media.rtx_ssrc,
        extensions: media.extensions.clone(),
        rid: media.rid.clone(),
    });
    let spec = ViewerSpec { tracks: tracks.collect(), cname: sources.cname, relay, layer: None };
    (spec, Receiver::new(&receiving, "r").without_arrival_times())
}

/// Video of an even rate; a key frame at the beginning of each GOP and when one is asked for.
struct Camera {
    source: SourceId,
    packets_a_frame: usize,
    frame: u32,
    since_key: u32,
    sequence: u64,
    wanted: bool,
    next: Instant,
    captured: Vec<Instant>,
}

impl Camera {
    fn shoot(&mut self, forwarder: &mut Forwarder, now: Instant) {
        if now < self.next {
            return;
        }
        self.next += FRAME;
        let key = self.wanted || self.since_key == 0;
        self.since_key = if key { GOP - 1 } else { self.since_key - 1 };
        self.wanted = false;
        let count = self.packets_a_frame * if key { KEY_FRAME } else { 1 };
        for index in 0..count {
            let mut payload = vec![if key { 0x65 } else { 0x41 }; PAYLOAD];
            #[allow(clippy::cast_possible_truncation)] // A frame has at most some hundred packets.
            Mark { frame: self.frame, index: index as u16, count: count as u16 }.write(&mut payload);
            let packet = SourcePacket {
                sequence: self.sequence,
                timestamp: self.frame.wrapping_mul(3000),
                marker: index + 1 == count,
                payload: payload.into(),
                extensions: ExtensionValues::default(),
            };
            self.sequence += 1;
            forwarder.on_source_packet(self.source, 0, packet, now);
        }
        self.frame += 1;
        self.captured.push(now);
    }
}

pub fn play(scene: &Scene) -> Option<Outcome> {
    let start = Instant::now();
    let clock = WallClock { at: start, since_unix_epoch: Duration::from_hours(500_000) };
    let stream: StreamKey = "s".into();
    let track = TrackSpec::plain(Codec::H264);
    let forwarder = |seed| Forwarder::new(ForwarderConfig::default(), clock, seed);
    let (mut origin, mut edge) = (forwarder(scene.seed), forwarder(scene.seed + 1));
    let published = origin.start_source(&stream, "i", SourceKind::Publisher, std::slice::from_ref(&track), start);
    let relayed = edge.start_source(&stream, "i", SourceKind::Relay, &[track], start);
    let mut relay = Hop::new(&mut origin, &stream, scene, Place::Relay, start);
    let mut last = Hop::new(&mut edge, &stream, scene, Place::Viewer, start);
    let mut camera = Camera {
        source: published,
        packets_a_frame: (scene.rate / 30 / 8 / (PAYLOAD + 40)).max(1),
        frame: 0,
        since_key: 0,
        sequence: 1,
        wanted: false,
        next: start,
        captured: Vec::new(),
    };
    let mut picture = Picture::new();
    let mut now = start;
    // The last two seconds bring the repairs of what was sent before.
    while now < start + scene.length + Duration::from_secs(2) {
        if now < start + scene.length {
            camera.shoot(&mut origin, now);
        }
        for received in relay.turn(&mut origin, now) {
            match received {
                Received::Packet { track, packet } => edge.on_source_packet(relayed, track, packet, now),
                Received::Report { track, ntp, rtp_timestamp } => {
                    edge.on_source_report(relayed, track, ntp, rtp_timestamp, now);
                }
                Received::NeedsKeyFrame { .. } => edge.request_key_frame(&stream, now),
                Received::Retuned { .. } | Received::Ended | Received::TooFast | Received::Feedback(_) => {}
            }
        }
        for received in last.turn(&mut edge, now) {
            match received {
                Received::Packet { packet, .. } => picture.on_packet(&packet.payload, now),
                Received::NeedsKeyFrame { .. } => last.receiver.request_key_frame(0),
                _ => {}
            }
        }
        while edge.poll_source_request().is_some() {
            relay.receiver.request_key_frame(0);
        }
        camera.wanted |= std::iter::from_fn(|| origin.poll_source_request()).count() > 0;
        now += STEP;
    }
    let lossy = if scene.place == Place::Relay { &relay } else { &last };
    #[allow(clippy::cast_precision_loss)] // Some thousand packets.
    let overhead = lossy.there.sent as f64 / camera.sequence as f64;
    let behind = scene.round_trip / 2 + Duration::from_millis(10 + 50) + scene.round_trip;
    Some(Outcome { seen: picture.seen(&camera.captured, behind)?, figures: lossy.receiver.figures(), overhead })
}
