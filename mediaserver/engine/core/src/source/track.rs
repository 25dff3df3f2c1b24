//! One track of a publication: its packets gathered, levelled and kept, what is known of its codec and its layer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::border::TrackSpec;
use crate::frame_size;
use crate::gather::Gather;
use crate::key_frame;
use crate::layer::{self, LayerWatch};
use crate::negotiation::{Codec, Kind};
use crate::picture;
use crate::refragment::Refragmenter;
use crate::ring::{Packet, Ring};
use crate::runs;

/// The newest key frame, and its first packet as far as is known: with that a viewer may start.
#[derive(Debug, Clone, Copy)]
struct KeyFrame {
    timestamp: u32,
    first: u64,
    /// How often it was found to begin further ahead.
    again: u8,
}

/// More often a key frame does not begin again: viewers are sent all that has come since, each time.
const MOST_AGAIN: u8 = 3;

#[derive(Debug)]
pub struct SourceTrack {
    pub spec: TrackSpec,
    pub ring: Ring,
    pub(super) ordinal: usize,
    pub(super) refragmenter: Refragmenter,
    /// None: audio is never held.
    gather: Option<Gather>,
    key_frame: Option<KeyFrame>,
    /// The newest one that was counted, and when.
    last_key_frame: Option<(u32, Instant)>,
    gop: Option<Duration>,
    /// Of a layer.
    watch: LayerWatch,
    /// A layer that we have asked the source not to send.
    pub paused: bool,
}

impl SourceTrack {
    #[must_use]
    pub fn new(spec: TrackSpec, ordinal: usize, history: Duration, hold: Duration) -> Self {
        let gather = (spec.kind == Kind::Video).then(|| Gather::new(hold));
        let refragmenter = Refragmenter::new(spec.codec);
        Self {
            spec,
            ring: Ring::new(history),
            ordinal,
            refragmenter,
            gather,
            key_frame: None,
            last_key_frame: None,
            gop: None,
            watch: LayerWatch::new(),
            paused: false,
        }
    }

    /// As another thread knows it.
    #[must_use]
    pub fn shown(self, paused: bool) -> Self {
        Self { paused, ..self }
    }

    /// Whether it comes, or would if it were asked for; a track without layers does.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.paused || self.spec.layer.as_ref().is_none_or(|layer| layer.live)
    }

    /// A layer of which more must be seen.
    #[must_use]
    pub fn is_unknown(&self, now: Instant) -> bool {
        self.spec.layer.as_ref().is_some_and(|layer| self.watch.is_unknown(layer, now))
    }

    /// Another node is to send the layer, or to send it no more.
    pub fn want(&mut self, wanted: bool, now: Instant) {
        self.paused = !wanted;
        if let Some(layer) = self.spec.layer.as_mut().filter(|_| wanted) {
            self.watch.expect(layer, now);
        }
    }

    /// Whether another layer goes on without this one: all at once is no layer's silence but the source's.
    /// `newest`: when the layer would count as not sent that came last.
    #[must_use]
    pub fn is_outlived(&self, newest: Option<Instant>) -> bool {
        self.silent_from().zip(newest).is_some_and(|(own, newest)| own + layer::SILENCE / 2 <= newest)
    }

    /// When the layer counts as not sent unless something of it comes.
    #[must_use]
    pub fn silent_from(&self) -> Option<Instant> {
        self.watch.silent_from()
    }

    /// True: the layer has just stopped while another goes on.
    pub fn layer_stops(&mut self, newest: Option<Instant>, now: Instant) -> bool {
        let outlived = self.is_outlived(newest);
        let layer = self.spec.layer.as_mut().filter(|_| outlived);
        layer.is_some_and(|layer| self.watch.falls_silent(layer, now))
    }

    /// What comes from now on has another codec.
    pub fn retune(&mut self, spec: TrackSpec) {
        self.refragmenter.retune(spec.codec);
        self.spec = spec;
        self.key_frame = None;
    }

    /// When packets that are held must go.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.gather.as_ref()?.deadline()
    }

    /// What was held long enough (`all`: whatever is held).
    pub fn expired(&mut self, now: Instant, all: bool) -> Vec<Packet> {
        let Some(gather) = &mut self.gather else { return Vec::new() };
        let at = if all { gather.deadline().unwrap_or(now).max(now) } else { now };
        gather.expired(at)
    }

    /// Count a key frame, once; the time since the one before. False: it is known.
    pub fn note_key_frame(&mut self, timestamp: u32, now: Instant) -> bool {
        let last = self.last_key_frame.filter(|(known, _)| *known == timestamp);
        if last.is_some() {
            return false;
        }
        self.gop = self.last_key_frame.map(|(_, last)| now.saturating_duration_since(last));
        self.last_key_frame = Some((timestamp, now));
        true
    }

    #[must_use]
    pub const fn gop(&self) -> Option<Duration> {
        self.gop
    }

    /// When the next key frame is due by the rhythm of the last ones.
    #[must_use]
    pub fn next_key_frame(&self) -> Option<Instant> {
        Some(self.last_key_frame?.1 + self.gop?)
    }

    /// Note a packet of a layer; true: what is known of it has changed.
    pub(super) fn watch(&mut self, payload: &[u8], now: Instant) -> bool {
        let Some(layer) = &mut self.spec.layer else { return false };
        let size = frame_size::find(self.spec.codec, payload);
        let larger = LayerWatch::on_key_frame(layer, size);
        self.watch.on_packet(layer, payload.len(), now) || larger
    }

    /// Correct H.264's profile from the stream itself; true when that changed something.
    pub(super) fn learn(&mut self, payload: &[u8]) -> bool {
        let spec = &mut self.spec;
        if spec.codec != Codec::H264 {
            return false;
        }
        let Some(id) = key_frame::profile_level_id(payload) else { return false };
        if crate::negotiation::codec::parameter(&spec.fmtp, "profile-level-id")
            .is_some_and(|known| known.eq_ignore_ascii_case(&id))
        {
            return false;
        }
        spec.fmtp = key_frame::with_profile_level_id(&spec.fmtp, &id);
        true
    }

    /// Bursts that a packet completes.
    pub(super) fn push(&mut self, packet: Packet) -> [Vec<Packet>; 2] {
        let known = self.ring.get(packet.sequence).is_some();
        let late = self.ring.highest().is_some_and(|highest| packet.sequence < highest);
        match &mut self.gather {
            Some(gather) if known || gather.holds(packet.sequence) => [Vec::new(), Vec::new()],
            Some(gather) if !late => gather.push(packet),
            _ => [vec![packet], Vec::new()],
        }
    }

    /// Settle what decides the packets' bytes and put them in the ring.
    pub(super) fn emit(&mut self, mut held: Vec<Packet>) -> Option<Emission> {
        let timestamp = held.first()?.timestamp;
        let starts_key_frame = self.find_beginning(&held, timestamp);
        self.level(&mut held);
        let highest = self.ring.highest();
        let mut packets: Vec<Arc<Packet>> = held.into_iter().map(Arc::new).collect();
        packets.retain(|packet| self.ring.insert(packet.clone()));
        let last = packets.last()?.sequence;
        let overtaken = starts_key_frame && highest.is_some_and(|highest| last < highest);
        let follow = if overtaken { self.ring.above(last) } else { Vec::new() };
        Some(Emission { packets, follow, starts_key_frame })
    }

    /// Whether a viewer may start with these packets of `timestamp`: a key frame begins with them, or further ahead than was known
    /// (parameter sets may come late).
    fn find_beginning(&mut self, held: &[Packet], timestamp: u32) -> bool {
        let begin = |packet: &&Packet| key_frame::begins(self.spec.codec, &packet.payload);
        let Some(first) = held.iter().find(begin).map(|packet| packet.sequence) else { return false };
        let again = match self.key_frame {
            Some(known) if known.timestamp == timestamp => {
                Some(known.again + 1).filter(|again| first < known.first && *again <= MOST_AGAIN)
            }
            Some(known) => (first > known.first).then_some(0),
            None => Some(0),
        };
        self.key_frame = again.map(|again| KeyFrame { timestamp, first, again }).or(self.key_frame);
        again.is_some()
    }

    /// Makes headers and payloads equally long where that is cheap, so that few runs are needed.
    fn level(&self, held: &mut [Packet]) {
        let lengths: Vec<usize> = held.iter().map(|packet| packet.payload.len()).collect();
        let paddings = if self.spec.kind == Kind::Video { runs::paddings(&lengths) } else { vec![0; lengths.len()] };
        // One timestamp, one capture, one orientation: what one packet says holds for its neighbours.
        let captured = held.iter().find_map(|packet| packet.extensions.abs_capture_time);
        let orientation = held.iter().find_map(|packet| packet.extensions.orientation);
        for (packet, padding) in held.iter_mut().zip(paddings) {
            packet.padding = padding;
            packet.key_frame = self.key_frame.is_some_and(|known| known.timestamp == packet.timestamp);
            packet.picture = picture::Place::find(self.spec.codec, &packet.payload);
            packet.extensions.abs_capture_time = captured;
            packet.extensions.orientation = orientation;
        }
    }
}

/// What becomes one burst.
pub(super) struct Emission {
    pub packets: Vec<Arc<Packet>>,
    pub follow: Vec<Arc<Packet>>,
    pub starts_key_frame: bool,
}
