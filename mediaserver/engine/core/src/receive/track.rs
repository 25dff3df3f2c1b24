//! The tracks that a peer sends, in the order of the negotiation, and whose each packet is.

use std::time::{Duration, Instant};

use super::arrivals::Arrivals;
use super::missing::Missing;
use super::punctuality::{Punctuality, Verdict};
use crate::border::{Layer, TrackSpec};
use crate::key_frame;
use crate::negotiation::{Extension, ExtensionIds, NegotiatedPayload, ReceivedMedia};
use crate::ring::MAX_JUMP;
use crate::rtp::RtpView;

/// Between two changes of a track's codec: each is told to the whole CDN.
const CODEC_KEPT: Duration = Duration::from_secs(2);
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
    pub ssrc: Option<u32>,
    pub missing: Missing,
    pub frame: Frame,
    pub arrivals: Option<Arrivals>,
    /// None: it is never too late.
    pub punctuality: Option<Punctuality>,
    /// The peer said BYE for it.
    pub ended: bool,
    /// What the forwarder's numbers are above the peer's: another SSRC begins anew, the forwarder's numbers never do, and leap where
    /// something was left out.
    pub offset: u64,
    pub mid: String,
    /// What it sends now.
    payload: NegotiatedPayload,
    /// What was agreed on besides.
    others: Vec<NegotiatedPayload>,
    codec_since: Option<Instant>,
    /// A layer that the peer is not to send.
    pub paused: bool,
    /// How often that was changed.
    pub pauses: u16,
    rtx_ssrc: Option<u32>,
    last_packet: Option<Instant>,
}

impl Track {
    #[must_use]
    pub fn new(media: &ReceivedMedia, rid: Option<&str>) -> Self {
        Self {
            spec: spec(&media.payload, rid.map(Layer::named)),
            extensions: media.extensions.clone(),
            ssrc: media.ssrc,
            missing: Missing::default(),
            frame: Frame::default(),
            arrivals: None,
            punctuality: None,
            ended: false,
            offset: 0,
            mid: media.mid.clone(),
            payload: media.payload.clone(),
            others: media.others.clone(),
            codec_since: None,
            paused: false,
            pauses: 0,
            rtx_ssrc: media.rtx_ssrc,
            last_packet: None,
        }
    }

    /// Whether the peer repairs what we ask for.
    #[must_use]
    pub fn nack(&self) -> bool {
        self.payload.nack
    }

    #[must_use]
    pub fn payload_type(&self) -> u8 {
        self.payload.payload_type
    }

    /// What `packet` is to this track; None: it belongs to another, or to nobody.
    fn way(&self, packet: &RtpView<'_>) -> Option<Way> {
        let mid = self.extensions.id(Extension::Mid).and_then(|id| packet.extension(id));
        if mid.is_some_and(|mid| mid != self.mid.as_bytes()) {
            return None;
        }
        let way = match packet.payload_type {
            own if own == self.payload.payload_type => Way::Media,
            own if Some(own) == self.payload.rtx => Way::Repair,
            other if self.others.iter().any(|payload| payload.payload_type == other) => Way::Media,
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

    /// A media packet came as `payload_type`: the track's codec from now on. None: it is what it was. False: too soon.
    fn follow(&mut self, payload_type: u8, now: Instant) -> Option<bool> {
        let at = self.others.iter().position(|payload| payload.payload_type == payload_type)?;
        if self.codec_since.is_some_and(|since| now < since + CODEC_KEPT) {
            return Some(false);
        }
        self.codec_since = Some(now);
        std::mem::swap(&mut self.payload, &mut self.others[at]);
        self.spec = spec(&self.payload, self.spec.layer.take());
        Some(true)
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

    /// What to do with `packet`, by when it comes.
    pub fn judge(&mut self, (packet, payload): (&RtpView<'_>, &[u8]), now: Instant) -> Verdict {
        let Some(punctuality) = &mut self.punctuality else { return Verdict::Passes };
        punctuality.judge(packet.timestamp, key_frame::begins(self.spec.codec, payload), now)
    }

    /// Go on after a gap that nobody is to ask for: far enough for the forwarder to see that nothing connects the two.
    pub fn resume(&mut self) {
        self.offset += MAX_JUMP + 1;
        (self.missing, self.frame) = (Missing::default(), Frame::default());
    }

    /// Note a media packet with the peer's number `sequence`.
    pub fn count(&mut self, sequence: u64, timestamp: u32, now: Instant) {
        self.last_packet = Some(now);
        self.ended = false;
        match &mut self.arrivals {
            Some(arrivals) => arrivals.on_packet(sequence, timestamp, now),
            None => self.arrivals = Some(Arrivals::new(self.spec.clock_rate, sequence, timestamp, now)),
        }
    }
}

/// What an authentic packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub track: usize,
    pub way: Way,
    /// The track has another codec from this packet on.
    pub retuned: bool,
}

/// The track that an authentic packet belongs to.
pub fn find(tracks: &mut [Track], packet: &RtpView<'_>, now: Instant) -> Option<Found> {
    let (index, way) = tracks.iter().enumerate().find_map(|(index, track)| Some((index, track.way(packet)?)))?;
    let track = &mut tracks[index];
    if !track.accepts(way, packet.ssrc, now) {
        return None;
    }
    let followed = if way == Way::Media { track.follow(packet.payload_type, now) } else { None };
    (followed != Some(false)).then_some(Found { track: index, way, retuned: followed.is_some() })
}

fn spec(payload: &NegotiatedPayload, layer: Option<Layer>) -> TrackSpec {
    let codec = payload.format.codec;
    TrackSpec {
        kind: codec.kind(),
        codec,
        clock_rate: codec.clock_rate(),
        fmtp: payload.format.fmtp.clone(),
        pli: payload.pli,
        layer,
    }
}
