//! The tracks that a peer sends, in the order of the negotiation, and whose each packet is.

use std::time::{Duration, Instant};

use super::arrivals::Arrivals;
use super::missing::Missing;
use crate::border::{Layer, TrackSpec};
use crate::negotiation::{Extension, ExtensionIds, ReceivedMedia};
use crate::ring::MAX_JUMP;
use crate::rtp::RtpView;

/// A track's packets come with another SSRC: believed once the one before was quiet for this long.
const QUIET: Duration = Duration::from_millis(200);

/// What a packet is to its track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Media,
    /// RFC 4588.
    Repair,
}

/// The newest frame.
#[derive(Debug, Default)]
pub struct Frame {
    pub timestamp: Option<u32>,
    /// Its packets have no lower number: what is missing before may be its own beginning.
    pub first: u64,
}

impl Frame {
    /// A packet above all others, of `timestamp`; `before`: the highest number until then.
    pub fn advance(&mut self, timestamp: u32, before: Option<u64>) {
        if self.timestamp != Some(timestamp) {
            *self = Self { timestamp: Some(timestamp), first: before.map_or(0, |before| before + 1) };
        }
    }
}

#[derive(Debug)]
pub struct Track {
    pub spec: TrackSpec,
    pub extensions: ExtensionIds,
    /// Whether the peer repairs what we ask for.
    pub nack: bool,
    pub ssrc: Option<u32>,
    pub missing: Missing,
    pub frame: Frame,
    pub arrivals: Option<Arrivals>,
    /// The peer said BYE for it.
    pub ended: bool,
    /// What the forwarder's numbers are above the peer's: another SSRC begins anew, the forwarder's numbers never do.
    pub offset: u64,
    pub mid: String,
    pub payload_type: u8,
    /// A layer that the peer is not to send.
    pub paused: bool,
    /// How often that was changed.
    pub pauses: u16,
    rtx: Option<u8>,
    rtx_ssrc: Option<u32>,
    last_packet: Option<Instant>,
}

impl Track {
    #[must_use]
    pub fn new(media: &ReceivedMedia, rid: Option<&str>) -> Self {
        let format = &media.payload.format;
        Self {
            spec: TrackSpec {
                kind: media.kind,
                codec: format.codec,
                clock_rate: format.codec.clock_rate(),
                fmtp: format.fmtp.clone(),
                pli: media.payload.pli,
                layer: rid.map(Layer::named),
            },
            extensions: media.extensions.clone(),
            nack: media.payload.nack,
            ssrc: media.ssrc,
            missing: Missing::default(),
            frame: Frame::default(),
            arrivals: None,
            ended: false,
            offset: 0,
            mid: media.mid.clone(),
            payload_type: media.payload.payload_type,
            paused: false,
            pauses: 0,
            rtx: media.payload.rtx,
            rtx_ssrc: media.rtx_ssrc,
            last_packet: None,
        }
    }

    /// What `packet` is to this track; None: it belongs to another, or to nobody.
    fn way(&self, packet: &RtpView<'_>) -> Option<Way> {
        let mid = self.extensions.id(Extension::Mid).and_then(|id| packet.extension(id));
        if mid.is_some_and(|mid| mid != self.mid.as_bytes()) {
            return None;
        }
        let way = match packet.payload_type {
            own if own == self.payload_type => Way::Media,
            own if Some(own) == self.rtx => Way::Repair,
            _ => return None,
        };
        self.names(way, packet).then_some(way)
    }

    /// Whether a layer's packet says so, by its SSRC or its rid (RFC 8852); a track without layers need not be named.
    fn names(&self, way: Way, packet: &RtpView<'_>) -> bool {
        let Some(layer) = &self.spec.layer else { return true };
        let (extension, known) = match way {
            Way::Media => (Extension::Rid, self.ssrc),
            Way::Repair => (Extension::RepairedRid, self.rtx_ssrc),
        };
        match self.extensions.id(extension).and_then(|id| packet.extension(id)) {
            Some(rid) => rid == layer.rid.as_bytes(),
            None => known == Some(packet.ssrc),
        }
    }

    /// Whether `ssrc` is the track's, or becomes it.
    fn accepts(&mut self, way: Way, ssrc: u32, now: Instant) -> bool {
        let (known, heard) = match way {
            Way::Media => (&mut self.ssrc, self.last_packet.is_some_and(|last| now < last + QUIET)),
            // A repair means nothing before there is something to repair.
            Way::Repair if self.arrivals.is_none() => return false,
            Way::Repair => (&mut self.rtx_ssrc, false),
        };
        if *known == Some(ssrc) {
            return true;
        }
        if heard {
            return false;
        }
        *known = Some(ssrc);
        if way == Way::Media && self.arrivals.take().is_some() {
            self.begin_anew();
        }
        true
    }

    fn begin_anew(&mut self) {
        let highest = self.missing.highest().unwrap_or(0);
        // Far enough for the forwarder to see that nothing connects the two, and above all that the old one may still send.
        self.offset = highest + MAX_JUMP + 0x1_0000;
        self.missing.forget();
        self.rtx_ssrc = None;
    }

    /// Note a media packet with the peer's number `sequence`.
    pub fn count(&mut self, sequence: u64, timestamp: u32, now: Instant) {
        self.last_packet = Some(now);
        match &mut self.arrivals {
            Some(arrivals) => arrivals.on_packet(sequence, timestamp, now),
            None => self.arrivals = Some(Arrivals::new(self.spec.clock_rate, sequence, timestamp, now)),
        }
    }
}

/// The track that an authentic packet belongs to.
pub fn find(tracks: &mut [Track], packet: &RtpView<'_>, now: Instant) -> Option<(usize, Way)> {
    let (index, way) = tracks.iter().enumerate().find_map(|(index, track)| Some((index, track.way(packet)?)))?;
    tracks[index].accepts(way, packet.ssrc, now).then_some((index, way))
}
