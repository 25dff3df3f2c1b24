#![allow(clippy::cast_possible_truncation)] // Low bits are meant.

mod allowance;
mod layers;
mod sources;

use super::*;
use crate::negotiation::{Codec, ExtensionIds, Format, Kind, NegotiatedPayload, PeerTransport, ReceivedMedia, Setup};
use crate::random::Random;
use crate::rtcp::{ReportBlock, SenderReport};
use crate::rtp::{HeaderWriter, RtpHeader};
use crate::srtp::{IndexUse, SrtpProfile, Unsealed};

const AUDIO: usize = 0;
const VIDEO: usize = 1;
const VIDEO_TYPE: u8 = 96;
const RTX_TYPE: u8 = 97;
const AUDIO_TYPE: u8 = 111;
const RTT: Duration = Duration::from_millis(84);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A peer that sends to a receiver, and what has come of it.
struct World {
    now: Instant,
    receiver: Receiver,
    sealer: Sealer,
    opener: Opener,
    transport_number: u16,
    packets: Vec<(usize, SourcePacket)>,
    reports: Vec<(usize, u64, u32)>,
    feedback: Vec<(Instant, Vec<u8>)>,
    retuned: Vec<(usize, Codec)>,
    key_frames_needed: usize,
    ended: bool,
    too_fast: bool,
}

fn receiving(ssrcs: Option<u32>) -> Receiving {
    let media = |mid: &str, kind, codec: Codec, payload_type, rtx| ReceivedMedia {
        mid: mid.to_owned(),
        kind,
        payload: NegotiatedPayload {
            payload_type,
            rtx,
            format: Format { codec, fmtp: String::new() },
            nack: kind == Kind::Video,
            pli: kind == Kind::Video,
            transport_cc: true,
            remb: false,
        },
        others: vec![],
        extensions: ids(),
        reduced_size: false,
        ssrc: ssrcs.filter(|_| kind == Kind::Video),
        rtx_ssrc: None,
        layers: vec![],
    };
    Receiving {
        peer: PeerTransport {
            ufrag: "u".into(),
            password: "p".into(),
            fingerprint: (String::new(), String::new()),
            setup: Setup::Active,
            over_tcp: false,
        },
        media: vec![
            media("a", Kind::Audio, Codec::Opus, AUDIO_TYPE, None),
            media("v", Kind::Video, Codec::Vp8, VIDEO_TYPE, Some(RTX_TYPE)),
        ],
    }
}

fn ids() -> ExtensionIds {
    [(Extension::Mid, 4), (Extension::TransportCc, 1), (Extension::AudioLevel, 3)].into_iter().collect()
}

impl World {
    fn new(receiver: Receiver) -> Self {
        let material: Vec<u8> = (0..120).collect();
        let keys = |client| SrtpKeys::from_exporter(SrtpProfile::AeadAes128Gcm, &material, client).unwrap();
        let (now, mut receiver) = (Instant::now(), receiver);
        receiver.set_keys(&keys(false), now);
        receiver.note_round_trip(RTT);
        Self {
            now,
            receiver,
            sealer: Sealer::new(&keys(true)),
            opener: Opener::new(&keys(true)),
            transport_number: 0,
            packets: vec![],
            reports: vec![],
            feedback: vec![],
            retuned: vec![],
            key_frames_needed: 0,
            ended: false,
            too_fast: false,
        }
    }

    /// An RTP packet, sealed; the extended number's low bits stand in its header.
    fn rtp(&mut self, payload_type: u8, ssrc: u32, number: u64, mid: Option<&str>, payload: &[u8]) -> Vec<u8> {
        let header =
            RtpHeader { marker: false, payload_type, sequence: number as u16, timestamp: 9, ssrc, padded: false };
        let mut packet = vec![];
        let mut writer = HeaderWriter::begin(&mut packet, header, 0);
        writer.extension(1, &self.transport_number.to_be_bytes());
        self.transport_number = self.transport_number.wrapping_add(1);
        writer.extension(4, mid.unwrap_or_default().as_bytes());
        let header = writer.end();
        packet.extend_from_slice(payload);
        assert!(self.sealer.seal_rtp(&mut packet, 0, Unsealed::whole(header), number, IndexUse::First));
        packet
    }

    fn video(&mut self, number: u64) -> Vec<u8> {
        self.rtp(VIDEO_TYPE, 2000, number, None, &[0x10, 1, number as u8])
    }

    fn repair(&mut self, own: u64, number: u64) -> Vec<u8> {
        let payload = [(number as u16).to_be_bytes().to_vec(), vec![0x10, 1, number as u8]].concat();
        self.rtp(RTX_TYPE, 3000, own, None, &payload)
    }

    fn rtcp(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut packet = vec![];
        write(&mut packet);
        assert!(self.sealer.seal_rtcp(&mut packet, 0));
        packet
    }

    fn arrive(&mut self, datagram: &[u8]) {
        self.receiver.on_datagram(datagram, self.now);
        self.collect();
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.receiver.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.receiver.on_timeout(self.now);
            self.collect();
        }
        self.now = end;
    }

    fn collect(&mut self) {
        while let Some(output) = self.receiver.poll_output() {
            match output {
                Received::Packet { track, packet } => self.packets.push((track, packet)),
                Received::Report { track, ntp, rtp_timestamp } => self.reports.push((track, ntp, rtp_timestamp)),
                Received::Retuned { track, spec } => self.retuned.push((track, spec.codec)),
                Received::NeedsKeyFrame { .. } => self.key_frames_needed += 1,
                Received::Ended => self.ended = true,
                Received::TooFast => self.too_fast = true,
                Received::Feedback(mut sealed) => {
                    let len = self.opener.open_rtcp(&mut sealed).expect("ours");
                    sealed.truncate(len);
                    self.feedback.push((self.now, sealed));
                }
            }
        }
    }

    fn numbers(&self, track: usize) -> Vec<u64> {
        self.packets.iter().filter(|(of, _)| *of == track).map(|(_, packet)| packet.sequence).collect()
    }

    /// (ms since `start`, numbers) of each NACK.
    fn nacks(&self, start: Instant) -> Vec<(u64, Vec<u16>)> {
        let nacks = self.feedback.iter().flat_map(|(at, packet)| rtcp::parse(packet).into_iter().map(|r| (*at, r)));
        nacks
            .filter_map(|(at, report)| match report {
                Report::Nack { ssrc: 2000, lost } => Some(((at - start).as_millis() as u64, lost)),
                _ => None,
            })
            .collect()
    }
}

fn publisher() -> World {
    World::new(Receiver::new(&receiving(None), "cname"))
}

#[test]
fn what_is_lost_is_asked_for_and_its_repair_goes_through_once() {
    let mut world = publisher();
    let start = world.now;
    for number in [65_533, 65_534, 65_537] {
        let packet = world.video(number);
        world.arrive(&packet);
    }
    world.wait(ms(4));
    let (repair, original) = (world.repair(7, 65_535), world.video(65_535));
    world.wait(RTT);
    world.arrive(&repair);
    world.arrive(&original);
    world.arrive(&repair);
    world.wait(ms(2000));
    assert_eq!(world.numbers(VIDEO), [65_533, 65_534, 65_537, 65_535]);
    assert_eq!(world.packets[3].1.payload[..], [0x10, 1, 255], "without the repair's own header");
    let nacks = world.nacks(start);
    assert_eq!(nacks[..2], [(3, vec![65_535, 0]), (92, vec![0])], "over the wrap; then only what is missing still");
    let figures = world.receiver.figures();
    assert_eq!((figures.repaired, figures.given_up, figures.rejected), (1, 1, 1));
    assert_eq!(figures.nacks, nacks.iter().map(|(_, lost)| lost.len() as u64).sum::<u64>());
    assert_eq!(world.key_frames_needed, 1, "for the one that was given up");
}

#[test]
fn audio_is_not_asked_for_and_nothing_before_the_handshake_is_heard() {
    let mut world = publisher();
    let packet = world.rtp(AUDIO_TYPE, 1000, 5, None, b"a");
    let later = world.rtp(AUDIO_TYPE, 1000, 9, None, b"a");
    let mut early = Receiver::new(&receiving(None), "cname");
    early.on_datagram(&packet, world.now);
    assert!(early.poll_output().is_none() && early.next_deadline().is_none());
    world.arrive(&packet);
    world.arrive(&later);
    world.wait(ms(3000));
    assert_eq!(world.numbers(AUDIO), [5, 9]);
    let figures = world.receiver.figures();
    assert_eq!((figures.nacks, figures.given_up, world.key_frames_needed), (0, 0, 0));
}

#[test]
fn reports_tell_loss_and_the_peers_own_time_comes_back() {
    let mut world = publisher();
    let start = world.now;
    let report = SenderReport { ssrc: 2000, ntp: 0x0001_0002_0003_0004, timestamp: 5, packets: 1, bytes: 1 };
    let first = world.video(1);
    world.arrive(&first);
    let sealed = world.rtcp(|b| rtcp::write_sender_report(b, report));
    world.arrive(&sealed);
    for number in [2, 4] {
        let packet = world.video(number);
        world.arrive(&packet);
    }
    world.wait(ms(1200));
    assert_eq!(world.reports, [(VIDEO, 0x0001_0002_0003_0004, 5)]);
    let blocks: Vec<(u64, Report)> = world
        .feedback
        .iter()
        .flat_map(|(at, packet)| rtcp::parse(packet).into_iter().map(|r| ((*at - start).as_millis() as u64, r)))
        .filter(|(_, report)| matches!(report, Report::Block(_)))
        .collect();
    let block = |fraction_lost, delay| {
        Report::Block(ReportBlock { ssrc: 2000, fraction_lost, last_report: 0x0002_0003, delay })
    };
    assert_eq!(blocks, [(100, block(64, 6553)), (1100, block(0, 72_089))]);
    assert_eq!(world.receiver.figures().loss, Some(0.0));
    assert_eq!(world.receiver.figures().rtt, Some(RTT));
}

#[test]
fn a_publisher_hears_when_its_packets_came_and_a_relay_does_not() {
    for (relay, expected) in [(false, true), (true, false)] {
        let receiver = Receiver::new(&receiving(None), "cname");
        let mut world = World::new(if relay { receiver.without_arrival_times() } else { receiver });
        for number in 1..200 {
            let packet = world.video(number);
            world.arrive(&packet);
            world.wait(ms(10));
        }
        let told = world.feedback.iter().filter(|(_, packet)| packet[8] & 31 == 15 && packet[9] == 205).count();
        assert_eq!(told > 0, expected);
        assert!(!expected || (20..=30).contains(&told), "every 75 ms and a packet: {told}");
        assert!(world.feedback.len() - told <= 3, "else receiver reports only");
    }
}

#[test]
fn feedback_stands_alone_where_the_peer_takes_it_so() {
    for (reduced_size, first) in [(true, 206), (false, 201)] {
        let mut receiving = receiving(None);
        receiving.media[VIDEO].reduced_size = reduced_size;
        let mut world = World::new(Receiver::new(&receiving, "us"));
        let video = world.video(1);
        world.arrive(&video);
        world.receiver.request_key_frame(VIDEO);
        world.collect();
        assert_eq!(world.feedback[0].1[1], first, "{reduced_size}");
    }
}

#[test]
fn a_leap_of_audio_asks_for_no_key_frame() {
    let mut world = publisher();
    for number in [1, 3000] {
        let audio = world.rtp(AUDIO_TYPE, 1000, number, None, b"a");
        world.arrive(&audio);
    }
    assert_eq!(world.key_frames_needed, 0);
    for number in [1, 3000] {
        let video = world.video(number);
        world.arrive(&video);
    }
    assert_eq!(world.key_frames_needed, 1);
}

#[test]
fn any_authentic_bytes_are_survived() {
    let mut random = Random::new(5);
    let mut world = publisher();
    let mut bytes = |len: u32| -> Vec<u8> { (0..len).map(|_| random.word() as u8).collect() };
    for round in 0..20_000_u32 {
        let mut packet = bytes(12 + round % 60);
        packet[0] = 0x80 | packet[0] & 0x3f;
        if round % 2 == 0 {
            packet[1] = [VIDEO_TYPE, RTX_TYPE, AUDIO_TYPE][round as usize / 2 % 3] | packet[1] & 0x80;
            packet[8..12].copy_from_slice(&(round % 40).to_be_bytes());
            let Some(header) = crate::rtp::header_len(&packet) else { continue };
            let index = u64::from(u16::from_be_bytes([packet[2], packet[3]]));
            // A sequence number twice is the guard's business, not ours.
            if world.sealer.was_sealed(round % 40, index)
                || !world.sealer.seal_rtp(&mut packet, 0, Unsealed::whole(header), index, IndexUse::First)
            {
                continue;
            }
        } else {
            packet[1] = 200 + packet[1] % 7;
            let words = packet.len() / 4 - 1;
            let said = words as u16 - u16::from(packet[2] & 1);
            packet[2..4].copy_from_slice(&said.to_be_bytes());
            assert!(world.sealer.seal_rtcp(&mut packet, 0));
        }
        world.arrive(&packet);
        let garbage = bytes(round % 90);
        world.arrive(&garbage);
        world.wait(ms(u64::from(round % 7)));
    }
    assert!(world.receiver.figures().rejected > 10_000);
    assert!(!world.packets.is_empty());
}
