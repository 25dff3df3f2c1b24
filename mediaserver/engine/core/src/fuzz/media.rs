//! Packets: cut smaller, received from a hostile publisher, forwarded to hostile viewers.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use super::{Ground, clock, config, keys, parts};
use crate::border::{
    CodecPayload, ExtensionValues, SourceId, SourceKind, SourcePacket, TrackSpec, ViewerId, ViewerSpec, ViewerTrack,
};
use crate::egress::{Egress, Message};
use crate::forwarder::Forwarder;
use crate::negotiation::{
    Codec, Extension, ExtensionIds, Format, Kind, NegotiatedPayload, PeerTransport, ReceivedMedia, Receiving, Setup,
};
use crate::receive::{Received, Receiver};
use crate::refragment::{self, Refragmenter};
use crate::rtp::header_len;
use crate::session::is_rtp;
use crate::srtp::{IndexUse, Sealer, Unsealed, nearest};

/// What a socket takes.
const LARGEST: usize = 2048;

/// The codec that the first byte names, and the rest.
pub fn codec(data: &[u8]) -> Option<(Codec, &[u8])> {
    let (first, rest) = data.split_first()?;
    Some((Codec::ALL[usize::from(*first) % Codec::ALL.len()], rest))
}

/// A step of −128…127, of up to 16,000 now and then, and a payload that may be longer than it is written.
fn packet(highest: u64, part: &[u8]) -> Option<SourcePacket> {
    let ([step, flags, time], payload) = part.split_first_chunk::<3>()?;
    let payload = &payload[..payload.len().min(LARGEST)];
    let step = i64::from(step.cast_signed()) * if flags & 0x0f == 0x0f { 127 } else { 1 };
    let times = if flags & 0x80 != 0 { LARGEST.checked_div(payload.len()).unwrap_or(0) } else { 1 };
    let descriptor = (flags & 0x20 != 0).then(|| payload.get(..7.min(payload.len())).unwrap_or_default().into());
    Some(SourcePacket {
        sequence: highest.saturating_add_signed(step),
        timestamp: u32::from(*time).wrapping_mul(3000).wrapping_sub(90_000),
        marker: flags & 0x40 != 0,
        payload: payload.repeat(times).into(),
        extensions: ExtensionValues { dependency_descriptor: descriptor, ..ExtensionValues::default() },
    })
}

/// New numbers are used once and keep the order of the old; pieces fit, or could not be cut.
pub fn refragment(_: &mut Ground, data: &[u8]) {
    let Some((codec, rest)) = codec(data) else { return };
    let mut cutter = Refragmenter::new(codec);
    let mut highest = 70_000;
    let mut sent: BTreeMap<u64, u64> = BTreeMap::new();
    for part in parts(rest) {
        let Some(packet) = packet(highest, part) else { continue };
        let (sequence, size) = (packet.sequence, packet.payload.len());
        highest = highest.max(sequence);
        let known = sent.values().any(|old| *old == sequence);
        let pieces = cutter.push(packet);
        assert!(pieces.len() <= size.max(8) && (pieces.len() <= 1 || pieces.iter().all(refragment::fits) || size > 0));
        for piece in pieces {
            let before = sent.insert(piece.sequence, sequence);
            assert!(before.is_none() || known, "number {} of {sequence} was {before:?}'s", piece.sequence);
        }
    }
    assert!(sent.values().collect::<Vec<_>>().windows(2).all(|pair| pair[0] <= pair[1]), "order");
}

/// `layered`: video comes as two layers.
fn receiving(layered: bool) -> Receiving {
    let ids = [
        (Extension::TransportCc, 1),
        (Extension::AbsCaptureTime, 2),
        (Extension::AudioLevel, 3),
        (Extension::Mid, 4),
        (Extension::Orientation, 5),
        (Extension::DependencyDescriptor, 6),
        (Extension::Rid, 7),
        (Extension::RepairedRid, 8),
    ];
    let layers = |kind| if layered && kind == Kind::Video { vec!["h".to_owned(), "l".to_owned()] } else { vec![] };
    let media = |mid: &str, kind, codec: Codec, payload_type, rtx| ReceivedMedia {
        mid: mid.to_owned(),
        kind,
        payload: NegotiatedPayload {
            payload_type,
            rtx,
            format: Format { codec, fmtp: String::new() },
            nack: kind == Kind::Video,
            pli: true,
            transport_cc: true,
            remb: false,
        },
        others: vec![],
        extensions: ids.into_iter().collect(),
        reduced_size: false,
        ssrc: None,
        rtx_ssrc: None,
        layers: layers(kind),
    };
    let (ufrag, password) = (String::new(), String::new());
    let fingerprint = (String::new(), String::new());
    Receiving {
        peer: PeerTransport { ufrag, password, fingerprint, setup: Setup::Active, over_tcp: false },
        media: vec![media("0", Kind::Audio, Codec::Opus, 111, None), media("1", Kind::Video, Codec::Vp8, 96, Some(97))],
    }
}

/// `packet` sealed by its peer; None where nobody could seal it.
pub fn sealed(sealer: &mut Sealer, highest: &mut HashMap<u32, u64>, packet: &[u8]) -> Option<Vec<u8>> {
    let mut packet = packet.get(..packet.len().min(LARGEST))?.to_vec();
    if !is_rtp(&packet) {
        return (packet.len() >= 8 && sealer.seal_rtcp(&mut packet, 0)).then_some(packet);
    }
    let header = header_len(&packet)?;
    let ssrc = u32::from_be_bytes(packet.get(8..12)?.try_into().ok()?);
    let sequence = u16::from_be_bytes([packet[2], packet[3]]);
    let known = highest.entry(ssrc).or_insert(sequence.into());
    let index = nearest(*known, sequence);
    *known = index.max(*known);
    sealer.seal_rtp(&mut packet, 0, Unsealed::whole(header), index, IndexUse::First).then_some(packet)
}

/// No packet goes on twice, and what is sent back is little.
pub fn receive(ground: &mut Ground, data: &[u8]) {
    let mut now = ground.start;
    let mut receiver = Receiver::new(&receiving(data.len() % 2 == 1), "cname");
    let mut sealer = Sealer::new(&keys(true));
    receiver.set_keys(&keys(false), now);
    let (mut highest, mut passed) = (HashMap::new(), HashSet::new());
    for part in parts(data) {
        let Some((wait, packet)) = part.split_first() else { continue };
        match sealed(&mut sealer, &mut highest, packet) {
            Some(packet) => receiver.on_datagram(&packet, now),
            None => receiver.on_datagram(packet, now),
        }
        now += Duration::from_millis(u64::from(*wait) * 4);
        receiver.on_timeout(now);
        let mut feedback = 0;
        while let Some(output) = receiver.poll_output() {
            match output {
                Received::Packet { track, packet } => assert!(passed.insert((track, packet.sequence)), "twice"),
                Received::Feedback(datagram) => {
                    assert!(datagram.len() <= 1200, "{}", datagram.len());
                    feedback += 1;
                }
                Received::Report { .. }
                | Received::Retuned { .. }
                | Received::NeedsKeyFrame { .. }
                | Received::Ended
                | Received::TooFast => {}
            }
        }
        assert!(feedback <= 16, "{feedback} at once");
    }
    assert!(passed.len() <= data.len());
}

fn spec(rich: bool) -> ViewerSpec {
    let extensions: ExtensionIds = if rich {
        [
            (Extension::Mid, 4),
            (Extension::TransportCc, 1),
            (Extension::AbsCaptureTime, 2),
            (Extension::DependencyDescriptor, 6),
            (Extension::PlayoutDelay, 7),
        ]
        .into_iter()
        .collect()
    } else {
        ExtensionIds::default()
    };
    let track = |kind: Kind, mid: &str, ssrc| ViewerTrack {
        kind,
        mid: mid.to_owned(),
        payloads: Codec::ALL
            .into_iter()
            .zip(100..)
            .filter(|(codec, _)| codec.kind() == kind)
            .map(|(codec, payload_type)| CodecPayload { codec, payload_type, rtx: rich.then_some(payload_type + 10) })
            .collect(),
        ssrc,
        rtx_ssrc: rich.then_some(ssrc + 1),
        extensions: extensions.clone(),
        rid: None,
    };
    let tracks = vec![track(Kind::Audio, "0", 1000), track(Kind::Video, "1", 2000)];
    ViewerSpec { tracks, cname: "cname".to_owned(), relay: false, layer: None }
}

/// What has left: under one number of one viewer's SSRC one string of bytes.
#[derive(Default)]
pub struct Wire {
    sent: HashMap<(ViewerId, Vec<u8>), Vec<u8>>,
    pub bytes: usize,
    /// The number of the last packet.
    pub newest: [u8; 2],
}

impl Egress for Wire {
    fn send(&mut self, messages: &[Message], bytes: &[u8]) -> usize {
        for message in messages {
            let all = &bytes[message.start..message.start + message.len];
            for datagram in all.chunks(usize::from(message.segment).max(1)) {
                self.bytes += datagram.len();
                assert!(datagram.len() <= LARGEST + 400, "{}", datagram.len());
                if is_rtp(datagram) {
                    self.newest = [datagram[2], datagram[3]];
                    let name = (message.viewer, [&datagram[2..4], &datagram[8..12]].concat());
                    let before = self.sent.entry(name).or_insert_with(|| datagram.to_vec());
                    assert_eq!(before, datagram, "a number twice");
                }
            }
        }
        messages.len()
    }
}

struct Forwarding {
    forwarder: Forwarder,
    wire: Wire,
    now: Instant,
    source: SourceId,
    viewers: Vec<(ViewerId, Sealer)>,
    highest: [u64; 2],
    /// Bytes of a source's packets.
    came: usize,
}

impl Forwarding {
    fn new(start: Instant, codec: Codec) -> Self {
        let mut forwarder = Forwarder::new(config(), clock(start), 3);
        let video = if codec == Codec::Opus { Codec::Vp8 } else { codec };
        let tracks = [Codec::Opus, video].map(TrackSpec::plain);
        let source = forwarder.start_source(&"s".into(), "i", SourceKind::Publisher, &tracks, start);
        let address = Some(([192, 0, 2, 1], 5000).into());
        let viewers = [true, false].map(|rich| {
            let id = forwarder.add_viewer(&"s".into(), spec(rich), &keys(false), address, start);
            (id, Sealer::new(&keys(true)))
        });
        let viewers = viewers.into_iter().collect();
        Self { forwarder, wire: Wire::default(), now: start, source, viewers, highest: [70_000; 2], came: 0 }
    }

    fn step(&mut self, part: &[u8]) {
        let Some(([kind, which], rest)) = part.split_first_chunk::<2>() else { return };
        let at = usize::from(which % 2);
        match kind % 4 {
            0 | 1 => {
                let Some(packet) = packet(self.highest[at], rest) else { return };
                self.highest[at] = self.highest[at].max(packet.sequence);
                self.came += packet.payload.len();
                self.forwarder.on_source_packet(self.source, at, packet, self.now);
            }
            2 => {
                let (id, sealer) = &mut self.viewers[at];
                if let Some(packet) = sealed(sealer, &mut HashMap::new(), rest).filter(|packet| !is_rtp(packet)) {
                    self.forwarder.on_viewer_datagram(*id, &packet, self.now);
                }
            }
            _ => self.now += Duration::from_millis(u64::from(*which) * 4),
        }
        self.forwarder.on_timeout(self.now);
        self.forwarder.poll_transmit(self.now, &mut self.wire);
    }
}

/// Two viewers are sent no more than what came, repairs and headers; under one number one string of bytes.
pub fn forward(ground: &mut Ground, data: &[u8]) {
    let Some((codec, rest)) = codec(data) else { return };
    let mut world = Forwarding::new(ground.start, codec);
    let mut steps = 0;
    for part in parts(rest) {
        world.step(part);
        steps += 1;
    }
    let bound = 2 * world.came * 3 + 64 * 1024 + steps * 2 * 600;
    assert!(world.wire.bytes <= bound, "{} bytes of {}", world.wire.bytes, world.came);
}
