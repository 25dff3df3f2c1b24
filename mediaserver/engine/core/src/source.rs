//! One publication as it arrives: packets in, bursts out.

mod track;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::border::{SourceId, SourcePacket, SourceStats, TrackSpec};
use crate::forwarder::Remote;
use crate::layer;
use crate::negotiation::{Codec, Kind};
use crate::refragment;
use crate::ring::Packet;
use crate::slots::Id;
use crate::timed::Deadline;
use crate::timeline::Timeline;
use track::Emission;
pub use track::SourceTrack;

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
pub struct Source {
    pub stream: Id,
    pub incarnation: String,
    /// Later sources take over from earlier ones.
    pub order: u64,
    pub tracks: Vec<SourceTrack>,
    pub timeline: Timeline,
    /// When it is to be looked which of its layers somebody watches; None: nobody need know.
    pub layers_due: Option<Instant>,
    pub last_packet: Option<Instant>,
    pub silent: bool,
    /// None: its packets come to this thread.
    pub mirrors: Option<Remote>,
    /// Sounds that came while a frame was being gathered. They leave with it: for many viewers a message of their own costs as much as a frame.
    sounds: Vec<Burst>,
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
            layers_due: None,
            last_packet: None,
            silent: false,
            mirrors: None,
            sounds: Vec::new(),
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
            tracks: learns && slot.learn(&packet.payload),
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
        self.release_sounds(now.0, out);
        noticed
    }

    /// What comes of `track` from now on has another codec. What is still held goes out as what it is.
    pub fn retune(&mut self, id: SourceId, track: usize, spec: TrackSpec, now: Instant, out: &mut Vec<Burst>) {
        self.expire(id, now, true, out);
        if let Some(slot) = self.tracks.get_mut(track) {
            slot.retune(spec);
        }
    }

    /// Bursts that were held long enough (`all`: whatever is held).
    pub fn expire(&mut self, id: SourceId, now: Instant, all: bool, out: &mut Vec<Burst>) {
        for track in 0..self.tracks.len() {
            let held = self.tracks[track].expired(now, all);
            self.emit(id, track, held, now, out);
        }
        self.release_sounds(now, out);
    }

    /// Unless there is a frame that they can leave with.
    fn release_sounds(&mut self, now: Instant, out: &mut Vec<Burst>) {
        let left = out.last().is_some_and(|burst| burst.kind == Kind::Video);
        if left || !self.tracks.iter().any(|track| track.deadline().is_some()) {
            out.extend(self.sounds.drain(..).map(|sound| Burst { emitted: now, ..sound }));
        }
    }

    fn emit(&mut self, id: SourceId, track: usize, held: Vec<Packet>, now: Instant, out: &mut Vec<Burst>) {
        let slot = &mut self.tracks[track];
        let Some(Emission { packets, follow, starts_key_frame }) = slot.emit(held) else { return };
        let TrackSpec { kind, codec, clock_rate, .. } = slot.spec;
        let (ordinal, rid) = (slot.ordinal, slot.spec.layer.as_ref().map(|layer| layer.rid.clone()));
        if starts_key_frame {
            self.note_key_frame(track, packets[0].timestamp, now);
        }
        let leaves = if kind == Kind::Audio { &mut self.sounds } else { out };
        leaves.push(Burst {
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

    fn note_key_frame(&mut self, track: usize, timestamp: u32, now: Instant) {
        let Some(slot) = self.tracks.get_mut(track) else { return };
        self.counters.key_frames += u64::from(slot.note_key_frame(timestamp, now));
        self.counters.gop = slot.gop();
    }

    /// A burst of the source that this one mirrors, as its own.
    pub fn mirror(&mut self, id: SourceId, burst: &Burst, timeline: &Timeline) -> Burst {
        self.timeline.clone_from(timeline);
        self.silent = false;
        self.last_packet = Some(burst.emitted);
        if burst.starts_key_frame {
            self.note_key_frame(burst.track, burst.packets[0].timestamp, burst.emitted);
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
        self.tracks.get(track)?.next_key_frame()
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

    /// Have it looked at `now` which of its layers somebody watches, if anybody need know.
    pub fn look_at_layers(&mut self, now: Instant) {
        self.layers_due = self.layers_due.map(|due| due.min(now));
    }

    #[must_use]
    pub fn has_layers(&self) -> bool {
        self.tracks.iter().any(|track| track.spec.layer.is_some())
    }

    /// True: a layer has just stopped while another goes on.
    #[must_use]
    pub fn layer_stops(&mut self, now: Instant) -> bool {
        let newest = self.newest_layer();
        self.tracks.iter_mut().fold(false, |stops, track| track.layer_stops(newest, now) | stops)
    }

    /// When the layer would count as not sent that came last.
    fn newest_layer(&self) -> Option<Instant> {
        let layers = self.tracks.iter().filter(|track| track.spec.layer.is_some());
        layers.filter_map(SourceTrack::silent_from).max()
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

impl Deadline for Source {
    fn deadline(&self) -> Option<Instant> {
        let gathers = self.tracks.iter().filter_map(SourceTrack::deadline);
        let silence = self.last_packet.filter(|_| !self.silent).map(|last| last + SILENCE);
        let live = |track: &&SourceTrack| track.spec.layer.as_ref().is_some_and(|layer| layer.live);
        let newest = self.newest_layer();
        let stops = self.tracks.iter().filter(live).filter(|track| track.is_outlived(newest));
        let stops = stops.filter_map(SourceTrack::silent_from);
        let looks = self.layers_due.filter(|_| self.has_layers());
        gathers.chain(silence).chain(stops).chain(looks).min()
    }
}

/// A packet as the ring keeps it.
fn as_kept(packet: SourcePacket, arrived: Instant) -> Packet {
    let SourcePacket { sequence, timestamp, marker, payload, extensions } = packet;
    Packet { sequence, timestamp, marker, payload, extensions, padding: 0, key_frame: false, picture: None, arrived }
}
