//! What crosses the border of the [`Forwarder`](crate::forwarder::Forwarder): plain values, no behaviour but construction.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::negotiation::{Codec, ExtensionIds, Kind};
use crate::pacing::WayOut;
use crate::slots::Id;

/// A stream's name. Cheap to clone.
pub type StreamKey = Arc<str>;

/// One publication arriving at this node; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub(crate) Id);

/// One session that we send to; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ViewerId(pub(crate) Id);

#[derive(Debug, Clone)]
pub struct ForwarderConfig {
    /// How long video packets of one timestamp are held at the node where they are published.
    pub gather_publisher: Duration,
    /// The same for packets that come over a relay.
    pub gather_relay: Duration,
    /// How far back the rings reach, for repairs.
    pub history: Duration,
    /// A viewer whose oldest packet waits longer is cut to the next key frame.
    pub late_limit: Duration,
    /// The node's; a frame's fan-out is spread accordingly, over at most `spread_limit`.
    pub way_out: WayOut,
    pub spread_limit: Duration,
    /// Minimum and maximum playout delay asked of viewers, in units of 10 ms; None: the extension is not written.
    pub playout_delay: Option<(u16, u16)>,
}

impl Default for ForwarderConfig {
    fn default() -> Self {
        Self {
            gather_publisher: Duration::from_millis(20),
            gather_relay: Duration::ZERO,
            history: Duration::from_millis(1500),
            late_limit: Duration::from_millis(200),
            way_out: WayOut::new(1000, 1),
            spread_limit: Duration::from_millis(8),
            playout_delay: None,
        }
    }
}

/// One reading of the monotonic and the wall clock together: sender reports speak wall clock.
#[derive(Debug, Clone, Copy)]
pub struct WallClock {
    pub at: Instant,
    /// Since 1970-01-01 UTC, at the instant `at`.
    pub since_unix_epoch: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// A client publishes here.
    Publisher,
    /// Another node sends to us.
    Relay,
}

/// A track of a publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackSpec {
    pub kind: Kind,
    pub codec: Codec,
    /// Hz.
    pub clock_rate: u32,
    /// As published; the forwarder corrects H.264's from the SPS.
    pub fmtp: String,
    /// Whether the source answers PLI.
    pub pli: bool,
    /// Some: one of several encodings of the same picture (simulcast), each a track to the engine.
    pub layer: Option<Layer>,
}

impl TrackSpec {
    /// Without parameters and layers, of a source that answers PLI.
    #[must_use]
    pub const fn plain(codec: Codec) -> Self {
        Self { kind: codec.kind(), codec, clock_rate: codec.clock_rate(), fmtp: String::new(), pli: true, layer: None }
    }
}

/// One encoding of a picture, as far as its packets have shown it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// RFC 8851.
    pub rid: Arc<str>,
    /// Width and height in pixels.
    pub size: Option<(u16, u16)>,
    /// Bit/s, headers included.
    pub bitrate: Option<u32>,
    /// Whether it is sent now.
    pub live: bool,
}

impl Layer {
    /// Of which nothing has been seen.
    #[must_use]
    pub fn named(rid: &str) -> Self {
        Self { rid: rid.into(), size: None, bitrate: None, live: false }
    }
}

/// Header extensions that pass through, parsed; ids differ per session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExtensionValues {
    /// The extension's bytes: 8 (timestamp) or 16 (with the offset).
    pub abs_capture_time: Option<AbsCaptureTime>,
    /// The byte of RFC 6464.
    pub audio_level: Option<u8>,
    /// The byte of 3GPP TS 26.114 (coordination of video orientation).
    pub orientation: Option<u8>,
    pub dependency_descriptor: Option<Arc<[u8]>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbsCaptureTime {
    /// NTP, 32.32 seconds.
    pub timestamp: u64,
    /// Estimated offset of the capture clock, 32.32 seconds, signed.
    pub clock_offset: Option<i64>,
}

/// A decrypted packet of a source, without its RTP padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePacket {
    /// Sequence number, extended by the cycles.
    pub sequence: u64,
    pub timestamp: u32,
    pub marker: bool,
    pub payload: Arc<[u8]>,
    pub extensions: ExtensionValues,
}

/// How one codec goes to a viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodecPayload {
    pub codec: Codec,
    pub payload_type: u8,
    /// Payload type of its RTX (RFC 4588).
    pub rtx: Option<u8>,
}

/// A track as negotiated with a viewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewerTrack {
    pub kind: Kind,
    pub mid: String,
    pub payloads: Vec<CodecPayload>,
    pub ssrc: u32,
    pub rtx_ssrc: Option<u32>,
    pub extensions: ExtensionIds,
    /// The layer that it is for good; None: whichever is chosen.
    pub rid: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewerSpec {
    pub tracks: Vec<ViewerTrack>,
    pub cname: String,
    /// The viewer is another node.
    pub relay: bool,
    /// The rid of the layer that it asked for; None: the best that fits.
    pub layer: Option<String>,
}

/// A layer that another node is to send, or not to send any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerRequest {
    pub source: SourceId,
    pub track: usize,
    pub wanted: bool,
}

/// Something to be asked of a source's peer: a PLI for `track`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyFrameRequest {
    pub source: SourceId,
    pub track: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForwarderEvent {
    /// First packet of the source, or the first after `Silent`.
    Active { source: SourceId },
    /// 3 s without a packet.
    Silent { source: SourceId },
    /// The tracks, with facts learnt from the packets (H.264: profile-level-id of the SPS).
    Tracks { source: SourceId, tracks: Vec<TrackSpec> },
    /// The stream's video comes in a codec that this viewer did not agree to. Said once.
    CodecChanged { viewer: ViewerId },
    /// The viewer gets this layer of its stream from now on.
    Layer { viewer: ViewerId, rid: Arc<str> },
    /// More than 30 % of what the viewer was sent was lost, for 10 s; never said of a relay.
    TooLossy { viewer: ViewerId },
    /// A defect of ours came to light over this viewer.
    Failed { viewer: ViewerId },
    /// The same of a source, which is gone.
    SourceFailed { source: SourceId },
}

/// Counters since the viewer joined; `None`: not known (yet).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ViewerStats {
    pub remote: Option<SocketAddr>,
    pub rtt: Option<Duration>,
    /// Fraction lost in the latest report.
    pub loss: Option<f64>,
    /// REMB of the peer, bit/s.
    pub remb: Option<u64>,
    /// RTP to the viewer, repairs not counted.
    pub packets: u64,
    /// RTP bytes with headers and tag, repairs not counted.
    pub bytes: u64,
    pub media_age: Option<Duration>,
    /// Numbers that the viewer asked for again.
    pub nacks: u64,
    pub repaired: u64,
    pub plis: u64,
    pub cut: u64,
    /// Times that it was caught up from the stream's log: as it joined, was cut or asked for a key frame.
    pub replays: u64,
    /// Longest time between two video packets.
    pub longest_gap: Duration,
    /// Packets of tracks that the viewer has no payload type for.
    pub unplayable: u64,
    /// The rid of the layer that it gets; None: there are none.
    pub layer: Option<Arc<str>>,
    /// What its path is thought to carry, bit/s.
    pub estimate: Option<u64>,
}

/// Counters since the source started.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SourceStats {
    pub packets: u64,
    pub bytes: u64,
    pub media_age: Option<Duration>,
    pub key_frame_requests: u64,
    pub key_frames: u64,
    /// Between the two newest key frames.
    pub gop: Option<Duration>,
    pub longest_gap: Duration,
    /// Packets too large for a path of 1,280 bytes that could not be cut.
    pub oversized: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct StreamStats {
    pub stream: StreamKey,
    /// Of the source on air.
    pub incarnation: Option<String>,
    pub source: Option<SourceId>,
    /// Newer sources have higher ones, on whichever thread they are; a mirror's is the least. None: nothing is on air.
    pub order: Option<u64>,
    pub viewers: usize,
    pub media_age: Option<Duration>,
    pub gop: Option<Duration>,
    pub key_frames: u64,
}

impl StreamStats {
    /// If `other` is the same stream on another thread of the node: the viewers of both, and what the thread of the newer source
    /// knows. False: it is not.
    pub fn join(&mut self, other: &Self) -> bool {
        if self.stream != other.stream {
            return false;
        }
        let viewers = self.viewers + other.viewers;
        if other.order > self.order {
            self.clone_from(other);
        }
        self.viewers = viewers;
        true
    }
}

/// Counters of the whole forwarder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Datagrams sent to viewers and relays: media, repairs, padding and reports.
    pub packets: u64,
    /// Of those, as sealed: with headers and tags, without those of IP, UDP and TCP.
    pub bytes: u64,
    /// Messages of more than one packet.
    pub segmented_messages: u64,
    pub messages: u64,
    /// Datagrams that did not authenticate or parse.
    pub rejected: u64,
    /// Bursts that another thread of the node, being behind, was not given.
    pub dropped_bursts: u64,
}

impl Totals {
    /// Of both together.
    pub fn add(&mut self, other: &Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.segmented_messages += other.segmented_messages;
        self.messages += other.messages;
        self.rejected += other.rejected;
        self.dropped_bursts += other.dropped_bursts;
    }
}
