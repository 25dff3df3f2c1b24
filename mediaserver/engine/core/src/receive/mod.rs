//! One session's media from the peer, sans-IO: SRTP and the time in; packets, reports and our sealed feedback out.
//!
//! Invariant: nothing is ever held back, and no packet goes on twice. What is missing is asked for beside the flow, and its repair
//! goes through when it comes; who needs order makes it.

mod allowance;
mod arrivals;
mod extensions;
mod feedback;
mod missing;
mod punctuality;
mod round_trip;
#[cfg(test)]
mod tests;
mod track;
mod transport_feedback;
mod words;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::border::{SourcePacket, TrackSpec};
use crate::key_frame;
use crate::negotiation::{Extension, Kind, ReceivedMedia, Receiving};
use crate::rtcp::{self, Report};
use crate::rtp::RtpView;
use crate::srtp::{Opener, Sealer, SrtpKeys, nearest};
use allowance::{Allowance, Verdict};
use missing::Arrival;
use punctuality::Punctuality;
use round_trip::RoundTrip;
use track::{Found, Track, Way};
use transport_feedback::TransportFeedback;
pub use words::{Figures, Received};

/// What our feedback is from, as with a browser that only receives: we send no media.
const ANONYMOUS: u32 = 1;
/// The first receiver report after the first packet: the peer learns its round trip from it.
const FIRST_REPORT: Duration = Duration::from_millis(100);

/// The keys of a session, in use.
#[derive(Debug)]
struct Keyed {
    opener: Opener,
    sealer: Sealer,
}

/// One, or one for each layer.
fn tracks_of(media: &ReceivedMedia) -> Vec<Track> {
    let named = media.layers.iter().map(|rid| Track::new(media, Some(rid)));
    if media.layers.is_empty() { vec![Track::new(media, None)] } else { named.collect() }
}

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    Client,
    /// It sends the layers that we want.
    Node,
    /// The same, and goes on only while it hears of us.
    OnLink,
}

#[derive(Debug)]
pub struct Receiver {
    /// What our feedback is from.
    ssrc: u32,
    tracks: Vec<Track>,
    /// For our descriptions (RFC 3550, 6.5.1).
    cname: String,
    /// None until the handshake is done.
    keyed: Option<Keyed>,
    /// Some where the peer wants to know when each packet came.
    arrival_times: Option<TransportFeedback>,
    wants_arrival_times: bool,
    /// None: the peer may send whatever it likes.
    allowance: Option<Allowance>,
    peer: Peer,
    round_trip: RoundTrip,
    next_report: Option<Instant>,
    figures: Figures,
    outputs: VecDeque<Received>,
    /// The peer takes feedback without a report before it (RFC 5506); `FFmpeg` takes no other.
    reduced: bool,
    /// Room for a datagram to be opened in.
    scratch: Vec<u8>,
}

impl Receiver {
    /// `cname`: unique to the session.
    #[must_use]
    pub fn new(receiving: &Receiving, cname: &str) -> Self {
        Self::of(&receiving.media, cname)
    }

    fn of(media: &[ReceivedMedia], cname: &str) -> Self {
        let wanted =
            |media: &ReceivedMedia| media.payload.transport_cc && media.extensions.id(Extension::TransportCc).is_some();
        Self {
            ssrc: ANONYMOUS,
            tracks: media.iter().flat_map(tracks_of).collect(),
            cname: cname.to_owned(),
            keyed: None,
            arrival_times: None,
            wants_arrival_times: media.iter().any(wanted),
            allowance: None,
            peer: Peer::Client,
            round_trip: RoundTrip::default(),
            next_report: None,
            figures: Figures::default(),
            outputs: VecDeque::new(),
            reduced: media.iter().filter(|media| media.payload.nack).all(|media| media.reduced_size),
            scratch: Vec::new(),
        }
    }

    /// The peer is a node of ours: it paces itself by other things, and feedback is to be rare.
    #[must_use]
    pub fn without_arrival_times(self) -> Self {
        Self { wants_arrival_times: false, peer: Peer::Node, ..self }
    }

    /// It comes over TCP: what comes too late is dropped, up to a key frame in time.
    #[must_use]
    pub fn in_time_only(mut self) -> Self {
        for track in &mut self.tracks {
            track.punctuality = Some(Punctuality::new(track.spec.kind, track.spec.clock_rate));
        }
        self
    }

    /// One of many that share a link's keys: `ssrc` is its own there, and it reports from the beginning, for the peer keeps sending only
    /// to a leg that it hears of.
    #[must_use]
    pub fn of_leg(media: &[ReceivedMedia], cname: &str, ssrc: u32) -> Self {
        Self { ssrc, peer: Peer::OnLink, ..Self::of(media, cname).without_arrival_times() }
    }

    /// The peer may send so many Mbit/s in all.
    #[must_use]
    pub fn limited_to(self, megabits: u32) -> Self {
        Self { allowance: Some(Allowance::new(megabits)), ..self }
    }

    /// What the forwarder is told of the tracks.
    #[must_use]
    pub fn specs(&self) -> Vec<TrackSpec> {
        self.tracks.iter().map(|track| track.spec.clone()).collect()
    }

    /// The names of the tracks' sections, in order.
    #[must_use]
    pub fn mids(&self) -> Vec<String> {
        let mut mids: Vec<String> = self.tracks.iter().map(|track| track.mid.clone()).collect();
        mids.dedup();
        mids
    }

    /// Kind and payload type of the first.
    #[must_use]
    pub fn first(&self) -> Option<(Kind, u8)> {
        self.tracks.first().map(|track| (track.spec.kind, track.payload_type()))
    }

    /// The handshake is done. Nobody else seals with these keys.
    pub fn set_keys(&mut self, keys: &SrtpKeys, now: Instant) {
        self.keyed = Some(Keyed { opener: Opener::new(keys), sealer: Sealer::new(keys) });
        self.arrival_times = self.wants_arrival_times.then(|| TransportFeedback::new(now));
        self.next_report = (self.peer == Peer::OnLink).then_some(now);
    }

    /// A check to the peer was answered after `measured`.
    pub fn note_round_trip(&mut self, measured: Duration) {
        self.round_trip.sample(measured);
    }

    /// An SRTP or SRTCP datagram; before the keys are there it is lost.
    pub fn on_datagram(&mut self, datagram: &[u8], now: Instant) {
        let Some(keyed) = &mut self.keyed else { return };
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        scratch.extend_from_slice(datagram);
        let known = if crate::session::is_rtp(datagram) {
            let opened = keyed.opener.open_rtp(&mut scratch);
            opened.is_some_and(|(index, len)| !self.may_pass(datagram, now) || self.on_rtp(&scratch[..len], index, now))
        } else {
            let opened = keyed.opener.open_rtcp(&mut scratch).filter(|_| self.may_pass(datagram, now));
            opened.map(|len| self.on_rtcp(&scratch[..len], now)).is_some()
        };
        self.figures.rejected += u64::from(!known);
        self.scratch = scratch;
    }

    pub fn poll_output(&mut self) -> Option<Received> {
        self.outputs.pop_front()
    }

    /// When `on_timeout` wants to be called.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let missing = self.tracks.iter().filter_map(|track| track.missing.deadline());
        let times = self.arrival_times.as_ref().and_then(TransportFeedback::deadline);
        missing.chain(times).chain(self.next_report).min()
    }

    pub fn on_timeout(&mut self, now: Instant) {
        self.ask_for_missing(now);
        if self.next_report.is_some_and(|at| at <= now) {
            self.report(now);
        }
        let Some(media) = self.tracks.iter().find_map(|track| track.ssrc) else { return };
        let own = self.ssrc;
        let packets = self.arrival_times.as_mut().map(|times| times.write(own, media, now)).unwrap_or_default();
        for packet in packets {
            self.send(|buffer| buffer.extend_from_slice(&packet));
        }
    }

    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures { rtt: self.round_trip.known(), ..self.figures }
    }

    /// Whether an authentic datagram is within what the peer may send. One that is not counts as lost: who heeds congestion sends
    /// less then.
    fn may_pass(&mut self, datagram: &[u8], now: Instant) -> bool {
        let Some(allowance) = &mut self.allowance else { return true };
        let verdict = allowance.take(datagram.len(), now);
        if verdict == Verdict::Ends {
            self.outputs.push_back(Received::TooFast);
        }
        verdict == Verdict::Passes
    }

    /// False: it belongs to no track.
    fn on_rtp(&mut self, packet: &[u8], index: u64, now: Instant) -> bool {
        let Some(packet) = RtpView::parse(packet) else { return false };
        let Some(Found { track: at, way, retuned }) = track::find(&mut self.tracks, &packet, now) else { return false };
        if self.tracks.iter().all(|track| track.arrivals.is_none()) {
            let first = now + FIRST_REPORT;
            self.next_report = Some(self.next_report.map_or(first, |next| next.min(first)));
        }
        let track = &mut self.tracks[at];
        if retuned {
            self.outputs.push_back(Received::Retuned { track: at, spec: track.spec.clone() });
        }
        if let (Some(times), Some(number)) =
            (&mut self.arrival_times, extensions::transport_number(&track.extensions, &packet))
        {
            times.on_packet(number, now);
        }
        let (index, payload) = match way {
            Way::Media => {
                track.count(index, packet.timestamp, now);
                (index, packet.payload)
            }
            Way::Repair => {
                // Without a payload it only probes the path.
                let Some((original, payload)) = packet.payload.split_first_chunk::<2>() else { return true };
                let Some(highest) = track.missing.highest() else { return true };
                (nearest(highest - track.offset, u16::from_be_bytes(*original)), payload)
            }
        };
        if self.is_wanted_still(at, index, (&packet, payload), now) {
            let sequence = self.tracks[at].offset + index;
            self.pass(at, sequence, &packet, payload, now);
        }
        true
    }

    /// Whether the packet with the peer's number `index` comes in time, where that is looked at.
    fn is_wanted_still(&mut self, at: usize, index: u64, packet: (&RtpView<'_>, &[u8]), now: Instant) -> bool {
        let track = &mut self.tracks[at];
        match track.judge(packet, now) {
            punctuality::Verdict::Passes => return true,
            punctuality::Verdict::Resumes => {
                track.resume();
                return true;
            }
            punctuality::Verdict::Drops { ask } => {
                // Here it is, and not to be asked for.
                track.missing.on_packet(track.offset + index, now);
                if ask {
                    self.outputs.push_back(Received::NeedsKeyFrame { track: at });
                }
            }
        }
        self.figures.late += 1;
        false
    }

    fn pass(&mut self, at: usize, sequence: u64, packet: &RtpView<'_>, payload: &[u8], now: Instant) {
        let track = &mut self.tracks[at];
        let before = track.missing.highest();
        match track.missing.on_packet(sequence, now) {
            Arrival::Repeated => return,
            Arrival::Jump if track.spec.kind == Kind::Video => {
                self.outputs.push_back(Received::NeedsKeyFrame { track: at });
            }
            Arrival::Late { asked, waited } => {
                self.figures.repaired += u64::from(asked > 0);
                if let Some(waited) = waited {
                    self.round_trip.sample(waited);
                }
            }
            Arrival::Next | Arrival::Jump => {}
        }
        if before.is_none_or(|before| sequence > before) {
            track.frame.advance(packet.timestamp, before);
        }
        if track.frame.timestamp == Some(packet.timestamp) && key_frame::begins(track.spec.codec, payload) {
            track.missing.on_key_frame(track.frame.first, now);
        }
        let packet = SourcePacket {
            sequence,
            timestamp: packet.timestamp,
            marker: packet.marker,
            payload: payload.into(),
            extensions: extensions::values(&track.extensions, packet),
        };
        self.outputs.push_back(Received::Packet { track: at, packet });
    }

    fn on_rtcp(&mut self, compound: &[u8], now: Instant) {
        for report in rtcp::parse(compound) {
            match report {
                Report::Sender { ssrc, ntp, timestamp: rtp_timestamp } => {
                    let Some(track) = self.tracks.iter().position(|track| track.ssrc == Some(ssrc)) else { continue };
                    if let Some(arrivals) = &mut self.tracks[track].arrivals {
                        arrivals.on_sender_report(ntp, now);
                    }
                    self.outputs.push_back(Received::Report { track, ntp, rtp_timestamp });
                }
                Report::Bye { ssrc } => {
                    let of_ssrc = self.tracks.iter_mut().filter(|track| track.ssrc == Some(ssrc));
                    of_ssrc.for_each(|track| track.ended = true);
                    // One alone may only pause; one that never sent has nothing to end.
                    if self.tracks.iter().all(|track| track.ended || track.arrivals.is_none()) {
                        self.outputs.push_back(Received::Ended);
                    }
                }
                _ => {}
            }
        }
    }
}
