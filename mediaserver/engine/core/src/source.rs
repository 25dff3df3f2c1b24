//! One publication as it arrives: packets in, bursts out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::border::{SourceId, SourcePacket, SourceStats, TrackSpec};
use crate::forwarder::Remote;
use crate::frame_size;
use crate::gather::Gather;
use crate::key_frame;
use crate::layer::{self, LayerWatch};
use crate::negotiation::{Codec, Kind};
use crate::picture;
use crate::refragment::{self, Refragmenter};
use crate::ring::{Packet, Ring};
use crate::runs;
use crate::slots::Id;
use crate::timeline::Timeline;

/// A source is silent after this long without a packet.
pub const SILENCE: Duration = Duration::from_secs(3);

/// Between two corrections of what a track is: each is told to the whole CDN, and a publisher could send another SPS with each packet.
const LEARNT: Duration = Duration::from_secs(2);

/// Packets of one timestamp (or a late one) that go to every viewer together. Kept until the slowest viewer may want it.
#[derive(Debug, Clone)]
pub struct Burst {
    pub source: SourceId,
    pub track: usize,
    /// Which of the source's tracks of this kind it is; layers of one are the same.
    pub ordinal: usize,
    /// Of a layer.
    pub rid: Option<Arc<str>>,
    pub kind: Kind,
    pub codec: Codec,
    pub clock_rate: u32,
    /// At least one, by number.
    pub packets: Vec<Arc<Packet>>,
    /// Sent before this burst, but needed by a viewer that starts with it: its key frame began with a packet that came late.
    pub follow: Vec<Arc<Packet>>,
    /// A viewer may start with this burst.
    pub starts_key_frame: bool,
    /// Of its packets' payloads.
    pub bytes: usize,
    pub emitted: Instant,
}

#[derive(Debug)]
pub struct SourceTrack {
    pub spec: TrackSpec,
    pub ring: Ring,
    ordinal: usize,
    refragmenter: Refragmenter,
    /// None: audio is never held.
    gather: Option<Gather>,
    key_timestamp: Option<u32>,
    last_key_frame: Option<Instant>,
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
            key_timestamp: None,
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

    /// Note a packet of a layer; true: what is known of it has changed.
    fn watch(&mut self, payload: &[u8], now: Instant) -> bool {
        let Some(layer) = &mut self.spec.layer else { return false };
        let size = frame_size::find(self.spec.codec, payload);
        let larger = LayerWatch::on_key_frame(layer, size);
        self.watch.on_packet(layer, payload.len(), now) || larger
    }

    /// Bursts that a packet completes.
    fn push(&mut self, packet: Packet) -> [Vec<Packet>; 2] {
        let known = self.ring.get(packet.sequence).is_some();
        let late = self.ring.highest().is_some_and(|highest| packet.sequence < highest);
        match &mut self.gather {
            Some(gather) if known || gather.holds(packet.sequence) => [Vec::new(), Vec::new()],
            Some(gather) if !late => gather.push(packet),
            _ => [vec![packet], Vec::new()],
        }
    }

    /// Settle what decides the packets' bytes and put them in the ring.
    fn emit(&mut self, mut held: Vec<Packet>) -> Option<Emission> {
        let timestamp = held.first()?.timestamp;
        let begins = held.iter().any(|packet| key_frame::begins(self.spec.codec, &packet.payload));
        let starts_key_frame = begins && self.key_timestamp != Some(timestamp);
        if begins {
            self.key_timestamp = Some(timestamp);
        }
        self.level(&mut held);
        let highest = self.ring.highest();
        let mut packets: Vec<Arc<Packet>> = held.into_iter().map(Arc::new).collect();
        packets.retain(|packet| self.ring.insert(packet.clone()));
        let last = packets.last()?.sequence;
        let overtaken = starts_key_frame && highest.is_some_and(|highest| last < highest);
        let follow = if overtaken { self.ring.above(last) } else { Vec::new() };
        Some(Emission { packets, follow, starts_key_frame })
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
            packet.key_frame = self.key_timestamp == Some(packet.timestamp);
            packet.picture = picture::Place::find(self.spec.codec, &packet.payload);
            packet.extensions.abs_capture_time = captured;
            packet.extensions.orientation = orientation;
        }
    }
}

struct Emission {
    packets: Vec<Arc<Packet>>,
    follow: Vec<Arc<Packet>>,
    starts_key_frame: bool,
}

#[derive(Debug)]
pub struct Source {
    pub stream: Id,
    pub incarnation: String,
    /// Later sources take over from earlier ones.
    pub order: u64,
    pub tracks: Vec<SourceTrack>,
    pub timeline: Timeline,
    /// Another node sends it.
    pub relay: bool,
    /// When it was last looked which of its layers somebody watches.
    pub looked: Option<Instant>,
    pub last_packet: Option<Instant>,
    pub silent: bool,
    /// None: its packets come to this thread.
    pub mirrors: Option<Remote>,
    counters: SourceStats,
    last_video: Option<Instant>,
    last_learnt: Option<Instant>,
}

/// What a packet brought about besides bursts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Noticed {
    /// First packet, or first after silence.
    pub active: bool,
    /// A track's `fmtp` changed.
    pub tracks: bool,
}

impl Source {
    #[must_use]
    pub fn new(stream: Id, incarnation: &str, order: u64, tracks: Vec<SourceTrack>) -> Self {
        Self {
            stream,
            incarnation: incarnation.to_owned(),
            order,
            timeline: Timeline::new(tracks.iter().map(|track| track.spec.clock_rate).collect()),
            tracks,
            relay: false,
            looked: None,
            last_packet: None,
            silent: false,
            mirrors: None,
            counters: SourceStats::default(),
            last_video: None,
            last_learnt: None,
        }
    }

    /// `now` also as NTP in our time. Bursts are appended to `out`.
    pub fn on_packet(
        &mut self,
        id: SourceId,
        track: usize,
        packet: SourcePacket,
        now: (Instant, u64),
        out: &mut Vec<Burst>,
    ) -> Noticed {
        let Some(slot) = self.tracks.get_mut(track) else { return Noticed::default() };
        let learns = self.last_learnt.is_none_or(|last| now.0 >= last + LEARNT);
        let noticed = Noticed {
            active: self.last_packet.is_none() || self.silent,
            tracks: learns && learn(&mut slot.spec, &packet.payload),
        };
        if noticed.tracks {
            self.last_learnt = Some(now.0);
        }
        self.silent = false;
        self.last_packet = Some(now.0);
        self.count(track, packet.payload.len(), now.0);
        self.timeline.on_packet(track, packet.timestamp, now.1);
        let noticed = Noticed { tracks: noticed.tracks | self.tracks[track].watch(&packet.payload, now.0), ..noticed };
        for packet in self.tracks[track].refragmenter.push(packet) {
            self.counters.oversized += u64::from(!refragment::fits(&packet));
            for held in self.tracks[track].push(as_kept(packet, now.0)) {
                self.emit(id, track, held, now.0, out);
            }
        }
        noticed
    }

    /// What comes of `track` from now on has another codec. What is still held goes out as what it is.
    pub fn retune(&mut self, id: SourceId, track: usize, spec: TrackSpec, now: Instant, out: &mut Vec<Burst>) {
        self.expire(id, now, true, out);
        if let Some(slot) = self.tracks.get_mut(track) {
            slot.refragmenter.retune(spec.codec);
            slot.spec = spec;
            slot.key_timestamp = None;
        }
    }

    /// Bursts that were held long enough (`all`: whatever is held).
    pub fn expire(&mut self, id: SourceId, now: Instant, all: bool, out: &mut Vec<Burst>) {
        for track in 0..self.tracks.len() {
            let Some(gather) = &mut self.tracks[track].gather else { continue };
            let at = if all { gather.deadline().unwrap_or(now).max(now) } else { now };
            let held = gather.expired(at);
            self.emit(id, track, held, now, out);
        }
    }

    fn emit(&mut self, id: SourceId, track: usize, held: Vec<Packet>, now: Instant, out: &mut Vec<Burst>) {
        let slot = &mut self.tracks[track];
        let Some(Emission { packets, follow, starts_key_frame }) = slot.emit(held) else { return };
        let TrackSpec { kind, codec, clock_rate, .. } = slot.spec;
        let (ordinal, rid) = (slot.ordinal, slot.spec.layer.as_ref().map(|layer| layer.rid.clone()));
        if starts_key_frame {
            self.note_key_frame(track, now);
        }
        out.push(Burst {
            source: id,
            track,
            ordinal,
            rid,
            kind,
            codec,
            clock_rate,
            bytes: packets.iter().map(|packet| packet.payload.len()).sum(),
            packets,
            follow,
            starts_key_frame,
            emitted: now,
        });
    }

    fn note_key_frame(&mut self, track: usize, now: Instant) {
        let Some(slot) = self.tracks.get_mut(track) else { return };
        slot.gop = slot.last_key_frame.map(|last| now.saturating_duration_since(last));
        slot.last_key_frame = Some(now);
        self.counters.key_frames += 1;
        self.counters.gop = slot.gop;
    }

    /// A burst of the source that this one mirrors, as its own.
    pub fn mirror(&mut self, id: SourceId, burst: &Burst, timeline: &Timeline) -> Burst {
        self.timeline.clone_from(timeline);
        self.silent = false;
        self.last_packet = Some(burst.emitted);
        if burst.starts_key_frame {
            self.note_key_frame(burst.track, burst.emitted);
        }
        if let Some(track) = self.tracks.get_mut(burst.track) {
            for packet in &burst.packets {
                track.ring.insert(packet.clone());
            }
        }
        Burst { source: id, ..burst.clone() }
    }

    fn count(&mut self, track: usize, payload: usize, now: Instant) {
        self.counters.packets += 1;
        self.counters.bytes += payload as u64 + 12;
        if self.tracks[track].spec.kind == Kind::Video {
            let gap = self.last_video.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
            self.counters.longest_gap = self.counters.longest_gap.max(gap);
            self.last_video = Some(now);
        }
    }

    pub fn asked_for_key_frame(&mut self) {
        self.counters.key_frame_requests += 1;
    }

    /// When the track's next key frame is due by the rhythm of the last ones.
    #[must_use]
    pub fn next_key_frame(&self, track: usize) -> Option<Instant> {
        let track = self.tracks.get(track)?;
        Some(track.last_key_frame? + track.gop?)
    }

    /// The layers that can be sent on, the least first; empty: the source has none.
    #[must_use]
    pub fn layers(&self) -> Vec<usize> {
        let named = self.tracks.iter().enumerate().filter_map(|(at, track)| Some((at, track.spec.layer.as_ref()?)));
        let available = named.filter(|(at, _)| self.tracks[*at].is_available());
        let mut layers: Vec<_> = available.map(|(at, layer)| (layer::rank(layer, at), at)).collect();
        layers.sort_unstable();
        layers.into_iter().map(|(_, at)| at).collect()
    }

    #[must_use]
    pub fn has_layers(&self) -> bool {
        self.tracks.iter().any(|track| track.spec.layer.is_some())
    }

    /// True: a layer has just stopped while another goes on.
    #[must_use]
    pub fn layer_stops(&mut self, now: Instant) -> bool {
        let newest = self.newest_layer();
        let mut stops = false;
        for track in &mut self.tracks {
            if let Some(layer) = track.spec.layer.as_mut().filter(|_| outlived(&track.watch, newest)) {
                stops |= track.watch.falls_silent(layer, now);
            }
        }
        stops
    }

    /// When the layer would count as not sent that came last.
    fn newest_layer(&self) -> Option<Instant> {
        let layers = self.tracks.iter().filter(|track| track.spec.layer.is_some());
        layers.filter_map(|track| track.watch.silent_from()).max()
    }

    /// When something must be done without a packet.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let gathers = self.tracks.iter().filter_map(|track| track.gather.as_ref()?.deadline());
        let silence = self.last_packet.filter(|_| !self.silent).map(|last| last + SILENCE);
        let live = |track: &&SourceTrack| track.spec.layer.as_ref().is_some_and(|layer| layer.live);
        let newest = self.newest_layer();
        let layers = self.tracks.iter().filter(live).filter(|track| outlived(&track.watch, newest));
        let layers = layers.filter_map(|track| track.watch.silent_from());
        gathers.chain(silence).chain(layers).min()
    }

    /// True once, when the source has just become silent.
    #[must_use]
    pub fn falls_silent(&mut self, now: Instant) -> bool {
        let silent = self.last_packet.is_some_and(|last| last + SILENCE <= now);
        let falls = silent && !self.silent;
        self.silent = silent;
        falls
    }

    #[must_use]
    pub fn stats(&self, now: Instant) -> SourceStats {
        let media_age = self.last_packet.map(|last| now.saturating_duration_since(last));
        SourceStats { media_age, ..self.counters.clone() }
    }
}

/// Whether another layer goes on without this one: all at once is no layer's silence but the source's.
fn outlived(watch: &LayerWatch, newest: Option<Instant>) -> bool {
    watch.silent_from().zip(newest).is_some_and(|(own, newest)| own + layer::SILENCE / 2 <= newest)
}

/// A packet as the ring keeps it.
fn as_kept(packet: SourcePacket, arrived: Instant) -> Packet {
    let SourcePacket { sequence, timestamp, marker, payload, extensions } = packet;
    Packet { sequence, timestamp, marker, payload, extensions, padding: 0, key_frame: false, picture: None, arrived }
}

/// Correct H.264's profile from the stream itself; true when that changed something.
fn learn(spec: &mut TrackSpec, payload: &[u8]) -> bool {
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
