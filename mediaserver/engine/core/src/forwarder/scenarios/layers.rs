//! A publisher with several layers: what each viewer gets, and that what it sees goes on over every switch.

#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)] // Test data.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::testing::*;
use super::contiguous;
use super::layered_relays::relay_spec;
use crate::border::*;
use crate::negotiation::Codec;
use crate::picture::{Place, Shift};
use crate::random::Random;
use crate::rtcp::{self, ReportBlock};
use crate::srtp::SrtpProfile::AeadAes128Gcm;

pub const FRAME: Duration = Duration::from_nanos(33_333_333);
/// (rid, width, height, bytes of each of a frame's two packets): about 560, 200 and 95 kbit/s.
pub const LAYERS: [(&str, u16, u16, usize); 3] = [("h", 1280, 720, 1150), ("m", 640, 360, 400), ("l", 320, 180, 180)];

/// A publisher that answers requests for key frames layer by layer.
pub struct Simulcast {
    pub id: SourceId,
    layers: Vec<usize>,
    /// Of each track: audio, then the layers.
    sequence: Vec<u64>,
    zero: Vec<u32>,
    pub sent: Vec<bool>,
    pub key: Vec<bool>,
    /// How often each layer's key frame was asked for.
    pub asked: Vec<usize>,
    picture: u16,
    began: Instant,
    frames: u64,
}

impl Simulcast {
    pub fn publish(world: &mut World, layers: &[usize], seed: u32, kind: SourceKind) -> Self {
        let named = |&layer: &usize| Some(Layer::named(LAYERS[layer].0));
        let video = layers.iter().map(|layer| TrackSpec { layer: named(layer), ..TrackSpec::plain(Codec::Vp8) });
        let tracks: Vec<TrackSpec> = std::iter::once(TrackSpec::plain(Codec::Opus)).chain(video).collect();
        let id = world.forwarder.start_source(&world.stream, &format!("of {seed}"), kind, &tracks, world.now);
        let mut random = Random::new(u64::from(seed));
        Self {
            id,
            layers: layers.to_vec(),
            sequence: tracks.iter().map(|_| 100 + u64::from(random.word() % 60_000)).collect(),
            zero: tracks.iter().map(|_| random.word()).collect(),
            sent: vec![true; layers.len()],
            key: vec![true; layers.len()],
            asked: vec![0; layers.len()],
            picture: random.word() as u16 & 0x7fff,
            began: world.now,
            frames: 0,
        }
    }

    fn timestamp(&self, track: usize, world: &World) -> u32 {
        let rate = if track == 0 { 48_000 } else { 90_000 };
        let ticks = (world.now - self.began).as_nanos() * rate / 1_000_000_000;
        self.zero[track].wrapping_add(ticks as u32)
    }

    fn packet(&mut self, world: &World, track: usize, payload: Vec<u8>, marker: bool) -> SourcePacket {
        let sequence = self.sequence[track];
        self.sequence[track] += 1;
        let timestamp = self.timestamp(track, world);
        SourcePacket {
            sequence,
            timestamp,
            marker,
            payload: Arc::from(payload),
            extensions: ExtensionValues::default(),
        }
    }

    /// The last byte of each payload names the layer.
    fn frame(&mut self, world: &World, at: usize) -> Vec<SourcePacket> {
        let (_, width, height, len) = LAYERS[self.layers[at]];
        let key = std::mem::take(&mut self.key[at]);
        let [high, low] = (self.picture | 0x8000).to_be_bytes();
        let mut first = vec![0x90, 0xe0, high, low, self.picture as u8, 0x20, 0x50 | u8::from(!key), 0, 0];
        if key {
            first.extend_from_slice(&[0x9d, 0x01, 0x2a]);
            first.extend_from_slice(&width.to_le_bytes());
            first.extend_from_slice(&height.to_le_bytes());
        }
        let mut second = vec![0x80, 0xe0, high, low, self.picture as u8, 0x20];
        for payload in [&mut first, &mut second] {
            payload.resize(len, 0);
            *payload.last_mut().unwrap() = self.layers[at] as u8;
        }
        vec![self.packet(world, at + 1, first, false), self.packet(world, at + 1, second, true)]
    }

    /// Frames of all layers that are sent, audio, reports each second, and whatever falls due until the next frame.
    pub fn live(&mut self, world: &mut World, frames: usize) {
        for _ in 0..frames {
            while let Some(request) = world.forwarder.poll_source_request() {
                if request.source == self.id {
                    self.key[request.track - 1] = true;
                    self.asked[request.track - 1] += 1;
                }
            }
            if self.frames.is_multiple_of(30) {
                let ntp = (3_000_000_000 << 32) + (((world.now - self.began).as_nanos() << 32) / 1_000_000_000) as u64;
                for track in 0..self.zero.len() {
                    let timestamp = self.timestamp(track, world);
                    world.forwarder.on_source_report(self.id, track, ntp, timestamp, world.now);
                }
            }
            for at in (0..self.layers.len()).rev().filter(|at| self.sent[*at]).collect::<Vec<_>>() {
                for packet in self.frame(world, at) {
                    world.forwarder.on_source_packet(self.id, at + 1, packet, world.now);
                }
            }
            let audio = self.packet(world, 0, vec![7; 100], false);
            world.forwarder.on_source_packet(self.id, 0, audio, world.now);
            self.picture = (self.picture + 1) & 0x7fff;
            self.frames += 1;
            world.wait(FRAME);
        }
    }
}

pub fn viewer_spec() -> ViewerSpec {
    let mut spec = browser(true);
    spec.tracks[1].payloads[0].codec = Codec::Vp8;
    spec
}

/// Layers of the video packets in the order of their numbers, each once in a row.
pub fn seen(world: &World, viewer: ViewerId) -> Vec<u8> {
    let mut layers: Vec<u8> = video(world, viewer).iter().map(|packet| *packet.payload.last().unwrap()).collect();
    layers.dedup();
    layers
}

fn video(world: &World, viewer: ViewerId) -> Vec<Received> {
    let mut packets = world.player(viewer).packets.get(&VIDEO_SSRC).cloned().unwrap_or_default();
    packets.sort_by_key(|packet| packet.number);
    packets
}

/// Numbers without a gap, each switch at a key frame, pictures one after the other, and time that goes on.
pub fn sane(world: &World, viewer: ViewerId) {
    let packets = video(world, viewer);
    assert!(contiguous(&packets.iter().map(|packet| packet.number).collect::<Vec<_>>()));
    let place = Place::find(Codec::Vp8, &packets[0].payload).unwrap();
    for pair in packets.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        let passed = after.timestamp.wrapping_sub(before.timestamp).cast_signed();
        let wall = (after.at - before.at).as_secs_f64() * 90_000.0;
        assert!(passed >= 0 && (f64::from(passed) - wall).abs() < 9000.0, "{passed} ticks in {wall}");
        if before.payload.last() != after.payload.last() {
            assert_eq!((after.payload[0], after.payload[6] & 1), (0x90, 0), "a switch is at a key frame");
        }
        if after.payload[0] == 0x90 {
            let step = Shift::between(place.read(&before.payload), place.read(&after.payload));
            assert_eq!(step, Shift::default(), "pictures follow each other");
        }
    }
}

/// How far video's and audio's reports are apart from what was captured together, in ms.
fn lip_sync(world: &World, viewer: ViewerId) -> f64 {
    let player = world.player(viewer);
    let of = |ssrc: u32, rate: f64| {
        let (_, reported) = player.last_report(ssrc).unwrap();
        let last = player.packets[&ssrc].iter().max_by_key(|packet| packet.number).unwrap();
        f64::from(reported.wrapping_sub(last.timestamp).cast_signed()) * 1000.0 / rate
    };
    of(VIDEO_SSRC, 90_000.0) - of(AUDIO_SSRC, 48_000.0)
}

fn report(world: &mut World, viewer: ViewerId, lost: f64) {
    let block = ReportBlock { ssrc: VIDEO_SSRC, fraction_lost: (lost * 256.0) as u8, last_report: 0, delay: 0 };
    world.feedback(viewer, |b| rtcp::write_receiver_report(b, 1, block, 0));
}

/// Seconds of the publication with a report of the viewer after each.
fn seconds(world: &mut World, publication: &mut Simulcast, viewer: ViewerId, seconds: usize, lost: f64) {
    for _ in 0..seconds {
        publication.live(world, 30);
        report(world, viewer, lost);
    }
}

#[test]
fn a_viewer_gets_the_best_layer_and_changes_by_request_at_a_key_frame_within_the_session() {
    for (name, joins_first) in [("the viewer is there first", true), ("the publisher is there first", false)] {
        let mut world = World::new(50);
        let early = joins_first.then(|| world.join(viewer_spec(), AeadAes128Gcm));
        let mut publication = Simulcast::publish(&mut world, &[0, 1, 2], 1, SourceKind::Publisher);
        publication.live(&mut world, 60);
        let viewer = early.unwrap_or_else(|| world.join(viewer_spec(), AeadAes128Gcm));
        publication.live(&mut world, 90);
        assert_eq!(seen(&world, viewer).last(), Some(&0), "{name}");
        let best = world.forwarder.viewer_stats(viewer, world.now).unwrap();
        assert_eq!(best.layer.as_deref(), Some("h"), "{name}");
        for (rid, layer) in [("l", 2), ("m", 1), ("h", 0), ("l", 2)] {
            let _ = world.events();
            world.forwarder.choose_layer(viewer, Some(rid), world.now);
            publication.live(&mut world, 45);
            assert_eq!(seen(&world, viewer).last(), Some(&layer), "{name}: {rid}");
            assert!(lip_sync(&world, viewer).abs() < 40.0, "{name}: {rid} {}", lip_sync(&world, viewer));
            let told = world
                .events()
                .iter()
                .any(|event| matches!(event, ForwarderEvent::Layer { rid: told, .. } if **told == *rid));
            assert!(told, "{name}: {rid} is told");
        }
        world.forwarder.choose_layer(viewer, Some("nonsense"), world.now);
        publication.live(&mut world, 200);
        assert_eq!(seen(&world, viewer).last(), Some(&0), "{name}: the best again");
        sane(&world, viewer);
    }
}

#[test]
fn layers_that_begin_later_are_gone_over_to_in_either_order() {
    for order in [[2, 1, 0], [0, 1, 2], [1, 2, 0]] {
        let mut world = World::new(51);
        let mut publication = Simulcast::publish(&mut world, &[0, 1, 2], 2, SourceKind::Publisher);
        publication.sent = vec![false; 3];
        let viewer = world.join(viewer_spec(), AeadAes128Gcm);
        for layer in order {
            publication.sent[layer] = true;
            publication.key[layer] = true;
            publication.live(&mut world, 20);
        }
        publication.live(&mut world, 200);
        assert_eq!(seen(&world, viewer).last(), Some(&0), "{order:?}");
        sane(&world, viewer);
    }
}

#[test]
fn when_a_layer_stops_its_viewers_go_on_with_the_next_lower_at_its_key_frame_and_come_back() {
    let mut world = World::new(52);
    let mut publication = Simulcast::publish(&mut world, &[2, 0, 1], 3, SourceKind::Publisher);
    let viewer = world.join(viewer_spec(), AeadAes128Gcm);
    publication.live(&mut world, 150);
    assert_eq!(seen(&world, viewer).last(), Some(&0));
    publication.sent[1] = false;
    publication.live(&mut world, 60);
    assert_eq!(seen(&world, viewer).last(), Some(&1));
    assert!(world.forwarder.viewer_stats(viewer, world.now).unwrap().longest_gap < ms(1300));
    publication.sent[1] = true;
    publication.live(&mut world, 150);
    assert_eq!(seen(&world, viewer).last(), Some(&0));
    let packets = video(&world, viewer);
    assert!(contiguous(&packets.iter().map(|packet| packet.number).collect::<Vec<_>>()));
    assert!(lip_sync(&world, viewer).abs() < 40.0);
}

#[test]
fn loss_brings_a_viewer_down_at_once_and_a_probe_brings_it_up_after_a_quiet_time() {
    let mut world = World::new(53);
    let mut publication = Simulcast::publish(&mut world, &[0, 1, 2], 4, SourceKind::Publisher);
    let viewer = world.join(viewer_spec(), AeadAes128Gcm);
    let other = world.join(viewer_spec(), AeadAes128Gcm);
    seconds(&mut world, &mut publication, viewer, 6, 0.0);
    assert_eq!(seen(&world, viewer).last(), Some(&0));
    seconds(&mut world, &mut publication, viewer, 1, 0.4);
    seconds(&mut world, &mut publication, viewer, 1, 0.0);
    assert_eq!(seen(&world, viewer).last(), Some(&1), "the best that fits");
    let before = world.player(viewer).packets.get(&RTX_SSRC).map_or(0, Vec::len);
    seconds(&mut world, &mut publication, viewer, 9, 0.0);
    assert_eq!(seen(&world, viewer).last(), Some(&1), "not before it was quiet");
    assert_eq!(world.player(viewer).packets.get(&RTX_SSRC).map_or(0, Vec::len), before, "no padding yet");
    seconds(&mut world, &mut publication, viewer, 8, 0.0);
    assert!(world.player(viewer).packets[&RTX_SSRC].len() > before + 50, "padding was sent");
    assert_eq!(seen(&world, viewer).last(), Some(&0), "the probe got through");
    assert_eq!(seen(&world, other), [0], "nobody else has anything of it");
    sane(&world, viewer);
}

#[test]
fn a_publisher_that_comes_back_with_other_layers_or_none_is_gone_on_with() {
    let mut world = World::new(54);
    let viewer = world.join(viewer_spec(), AeadAes128Gcm);
    for (seed, layers, expected) in [(5, &[0, 1, 2][..], 0), (6, &[2, 1], 1), (7, &[0, 1], 0)] {
        let mut publication = Simulcast::publish(&mut world, layers, seed, SourceKind::Publisher);
        publication.live(&mut world, 150);
        assert_eq!(seen(&world, viewer).last(), Some(&expected), "{layers:?}");
        world.wait(ms(300));
    }
    let mut whole = world.publish_as(Codec::Vp8, 9, 77);
    for at in 0..20_u8 {
        let frame = World::vp8_frame(&mut whole, at == 0, (at.into(), at));
        world.push(&whole, VIDEO, frame);
        world.wait(ms(33));
    }
    let packets = video(&world, viewer);
    assert_eq!(packets.iter().rev().take_while(|packet| packet.payload.len() == 57).count(), 40);
    assert!(contiguous(&packets.iter().map(|packet| packet.number).collect::<Vec<_>>()));
    assert_eq!(world.forwarder.viewer_stats(viewer, world.now).unwrap().layer, None);
}

/// Switches, layers that come and go, publishers that come back, NACKs of everything. Players fail when they get two different
/// datagrams under one index, and so does the guard of debug builds.
fn live_through(seed: u64) -> usize {
    let mut world = World::new(seed);
    let mut random = Random::new(seed);
    let mut below = move |limit: u32| random.word() % limit;
    let mut publication = Simulcast::publish(&mut world, &[0, 1, 2], seed as u32, SourceKind::Publisher);
    let mut viewers: Vec<ViewerId> = (0..3).map(|_| world.join(viewer_spec(), AeadAes128Gcm)).collect();
    for round in 0..120 {
        let viewer = viewers[below(viewers.len() as u32) as usize];
        match below(12) {
            0..=3 => {
                let rid = [Some("h"), Some("m"), Some("l"), None][below(4) as usize];
                world.forwarder.choose_layer(viewer, rid, world.now);
            }
            4 => {
                let at = below(publication.layers.len() as u32) as usize;
                publication.sent[at] = !publication.sent[at];
            }
            5 => {
                let highest = world.player(viewer).numbers(VIDEO_SSRC).last().copied().unwrap_or(0) as u16;
                let lost: Vec<u16> = (0..200).map(|back| highest.wrapping_sub(190).wrapping_add(back)).collect();
                world.feedback(viewer, |b| rtcp::write_nack(b, 1, VIDEO_SSRC, &lost));
            }
            6 => world.feedback(viewer, |b| rtcp::write_pli(b, 1, VIDEO_SSRC)),
            7 => report(&mut world, viewer, f64::from(below(60)) / 100.0),
            8 if round % 3 == 0 => {
                let layers = [&[0, 1, 2][..], &[2, 0], &[1, 2], &[1]][below(4) as usize];
                let old = publication.id;
                publication = Simulcast::publish(&mut world, layers, below(1 << 20), SourceKind::Publisher);
                if below(2) == 0 {
                    world.forwarder.end_source(old, world.now);
                }
            }
            9 => viewers.push(world.join(viewer_spec(), AeadAes128Gcm)),
            10 => {
                let _ = world.join(relay_spec(), AeadAes128Gcm);
            }
            _ => {}
        }
        publication.live(&mut world, below(20) as usize);
    }
    for viewer in &viewers {
        let packets = video(&world, *viewer);
        let back = |pair: &[Received]| pair[1].timestamp.wrapping_sub(pair[0].timestamp).cast_signed() < 0;
        assert!(!packets.windows(2).any(back), "seed {seed}: time goes back");
    }
    viewers.iter().map(|viewer| seen(&world, *viewer).len()).sum()
}

#[test]
fn over_any_switches_no_index_is_sealed_twice_and_time_does_not_go_back() {
    let switches: usize = (0..20).map(live_through).sum();
    assert!(switches > 500, "{switches} switches are among it");
}
