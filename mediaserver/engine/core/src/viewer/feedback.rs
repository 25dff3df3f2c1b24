//! What a viewer says by RTCP: what it misses, how much it loses, which key frames and layers it wants.

use std::time::{Duration, Instant};

use super::{Hopeless, Outcome, Restart, Viewer};
use crate::estimate::Feedback;
use crate::negotiation::Kind;
use crate::outgoing::Outgoing;
use crate::repair::Repair;
use crate::rtcp::{self, Report, ReportBlock};
use crate::stream::Stream;
use crate::timeline;

/// A key frame sent less than this ago answers a PLI.
const FRESH_KEY_FRAME: Duration = Duration::from_millis(500);
/// One viewer's PLIs count once in this time.
const PLI_SPACING: Duration = Duration::from_secs(2);

impl Viewer {
    /// An SRTCP datagram. None: it is not the peer's.
    pub fn on_datagram(&mut self, datagram: &mut [u8], stream: &Stream, now: (Instant, u64)) -> Option<Outcome> {
        let len = self.opener.open_rtcp(datagram)?;
        let mut outcome = Outcome::default();
        for report in rtcp::parse(&datagram[..len]) {
            match report {
                Report::Nack { ssrc, lost } => self.on_nack(ssrc, &lost, now.0),
                Report::KeyFrame { ssrc } => self.on_pli(ssrc, stream, now.0, &mut outcome),
                Report::Pause { ssrc, paused } => self.on_pause(ssrc, paused),
                Report::Block(block) if self.on_block(block, now) => outcome.hopeless = Some(Hopeless::TooLossy),
                Report::Remb { bitrate } => {
                    self.stats.remb = Some(bitrate);
                    self.note_feedback(Feedback::Remb(bitrate), now.0);
                }
                Report::Block(_) | Report::Sender { .. } | Report::Bye { .. } => {}
            }
        }
        outcome.more = !self.repairs.is_empty();
        Some(outcome)
    }

    fn on_nack(&mut self, ssrc: u32, lost: &[u16], now: Instant) {
        let Some(at) = self.tracks.iter().position(|track| track.ssrc == ssrc) else { return };
        self.stats.nacks += lost.len() as u64;
        self.layers.note_nack(now);
        for &low in lost {
            if let Some((number, ..)) = self.tracks[at].mapping.resolve(low) {
                self.repairs.want(Repair { track: at, number }, self.stats.rtt, now);
            }
        }
    }

    /// A key frame is asked for: whether it should be given one.
    fn on_pli(&mut self, ssrc: u32, stream: &Stream, now: Instant, outcome: &mut Outcome) {
        let video = |track: &Outgoing| track.ssrc == ssrc && track.kind == Kind::Video;
        let Some(at) = self.tracks.iter().position(video) else { return };
        self.stats.plis += 1;
        let within = |at: Option<Instant>, time| at.is_some_and(|at| now.saturating_duration_since(at) < time);
        let track = &self.tracks[at];
        let layer = self.layers.playing.map(|playing| playing.track);
        if within(track.last_key_frame, FRESH_KEY_FRAME)
            || within(track.last_pli, PLI_SPACING)
            || self.replay.is_some()
            || track.rid.is_none() && stream.newest_key_frame(layer).is_some_and(|key| key >= self.cursor)
        {
            return;
        }
        self.tracks[at].last_pli = Some(now);
        outcome.wants_layer.clone_from(&self.tracks[at].rid);
        if outcome.wants_layer.is_none() {
            outcome.restart = Some(Restart::Asked);
        }
        if self.layers.gives_up(now) {
            self.note_feedback(Feedback::GivenUp, now);
        }
    }

    /// Whether the loss has been too much for too long: of video where there is any, for it has packets enough to tell.
    #[allow(clippy::cast_possible_truncation)] // The middle 32 bits are meant.
    fn on_block(&mut self, block: ReportBlock, (now, ntp): (Instant, u64)) -> bool {
        let Some(kind) = self.tracks.iter().find(|track| track.ssrc == block.ssrc).map(|track| track.kind) else {
            return false;
        };
        self.stats.loss = Some(f64::from(block.fraction_lost) / 256.0);
        let round = ((ntp >> 16) as u32).wrapping_sub(block.last_report).wrapping_sub(block.delay);
        // Above half a minute it is not a round trip but a confused peer.
        if block.last_report != 0 && round < 30 << 16 {
            let round_trip = timeline::from_short(round);
            self.stats.rtt = Some(round_trip);
            self.note_feedback(Feedback::RoundTrip(round_trip), now);
        }
        if kind == Kind::Video {
            self.note_feedback(Feedback::Loss(f64::from(block.fraction_lost) / 256.0), now);
        }
        let tells = kind == Kind::Video || self.tracks.iter().all(|track| track.kind == Kind::Audio);
        tells && !self.relay && self.lossiness.note(block.fraction_lost, now)
    }
}
