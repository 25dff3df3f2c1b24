//! Which of several layers (simulcast) a viewer is sent: what it asked for, or the best that its path carries.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Turn, Viewer};
use crate::border::SourceId;
use crate::estimate::{Estimator, Feedback, RembAndLoss};
use crate::layer_policy::{Choice, LayerPolicy, Path};
use crate::negotiation::Kind;
use crate::outgoing::Outgoing;
use crate::source::{Burst, Source};
use crate::srtp::IndexUse;

/// How often a viewer's layer is thought over when nothing special happens.
const REVIEW: Duration = Duration::from_millis(100);
const PROBE_STEP: Duration = Duration::from_millis(20);
const RATE_WINDOW: Duration = Duration::from_secs(1);
/// A key frame asked for so soon after repairs were means that those came to nothing.
const GIVES_UP: Duration = Duration::from_secs(2);

/// A layer of a source on air.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Playing {
    pub source: SourceId,
    pub track: usize,
}

/// A way to another layer of the same source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switch {
    pub track: usize,
    pub why: Why,
}

/// Why a viewer is to get another layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It asked for it, or the one that it had is no more.
    Wanted,
    /// Its path may carry more.
    Hope,
    /// Its path does not carry what it gets: that ends at once, so that the key frame gets through.
    Congestion,
}

#[derive(Debug, Default)]
pub struct Layers {
    /// The rid that was asked for; None: the best that fits.
    pub wish: Option<Arc<str>>,
    pub playing: Option<Playing>,
    /// To be gone on with at its next key frame.
    pub target: Option<usize>,
    /// Away from what every turn reads.
    policy: Box<LayerPolicy>,
    path: Box<RembAndLoss>,
    estimate: Option<u64>,
    choices: Vec<Choice>,
    reviewed: Option<Instant>,
    rate: SentRate,
    /// When padding is due.
    pub probe: Option<Instant>,
    probed: u64,
    last_nack: Option<Instant>,
}

/// Bytes sent lately.
#[derive(Debug, Default)]
struct SentRate {
    since: Option<(Instant, u64)>,
    rate: Option<u64>,
}

impl SentRate {
    /// Bit/s, when `bytes` were sent in all until `now`; None: not known yet.
    fn at(&mut self, bytes: u64, now: Instant) -> Option<u64> {
        let (since, before) = *self.since.get_or_insert((now, bytes));
        let elapsed = now.saturating_duration_since(since);
        if elapsed >= RATE_WINDOW {
            let bits = u128::from(bytes.saturating_sub(before)) * 8_000_000 / elapsed.as_micros().max(1);
            self.rate = Some(u64::try_from(bits).unwrap_or(u64::MAX));
            self.since = Some((now, bytes));
        }
        self.rate
    }
}

impl Layers {
    /// `rid`: the layer that is asked for.
    pub fn wishing(rid: Option<String>) -> Self {
        Self { wish: rid.map(Into::into), ..Self::default() }
    }

    /// Whether a burst of a layer is to be sent.
    fn hear(&self, burst: &Burst) -> bool {
        let Some(playing) = self.playing.filter(|playing| playing.source == burst.source) else { return false };
        playing.track == burst.track || burst.starts_key_frame && self.target == Some(burst.track)
    }

    /// Think it over at the next turn.
    pub fn review_soon(&mut self) {
        self.reviewed = None;
    }

    pub fn note_nack(&mut self, now: Instant) {
        self.last_nack = Some(now);
    }

    /// Whether a key frame that is asked for now says that repairs came to nothing.
    pub fn gives_up(&self, now: Instant) -> bool {
        self.last_nack.is_some_and(|last| now.saturating_duration_since(last) < GIVES_UP)
    }

    /// Bit/s that the viewer's path is thought to carry.
    #[must_use]
    pub const fn estimate(&self) -> Option<u64> {
        self.estimate
    }

    /// The layer's first key frame is on its way to the viewer.
    pub fn take_target(&mut self, burst: &Burst) {
        if self.target == Some(burst.track) && burst.starts_key_frame {
            self.target = None;
            self.playing = Some(Playing { source: burst.source, track: burst.track });
        }
    }
}

impl Viewer {
    /// The viewer's track that the burst is sent on; None: it is not for this viewer, or not now.
    #[must_use]
    pub fn hears(&self, burst: &Burst) -> Option<usize> {
        let at = super::index_of(&self.tracks, burst)?;
        let track = &self.tracks[at];
        let heard = burst.rid.is_none() || (track.rid.is_some() && !track.paused) || self.layers.hear(burst);
        heard.then_some(at)
    }

    /// Whether the burst of a layer is a reason to take a turn.
    #[must_use]
    pub fn is_stirred_by(&self, burst: &Burst) -> bool {
        self.hears(burst).is_some()
            || !self.has_rids() && self.layers.playing.is_none_or(|playing| playing.source != burst.source)
    }

    /// Whether each layer has a track of its own: another node, which chooses for its viewers.
    #[must_use]
    pub fn has_rids(&self) -> bool {
        self.tracks.iter().any(|track| track.rid.is_some())
    }

    /// Ask for the layer of this name; None: for the best that fits.
    pub fn wish_for(&mut self, rid: Option<&str>) {
        self.layers.wish = rid.map(Into::into);
        self.layers.review_soon();
    }

    pub fn review_soon(&mut self) {
        self.layers.review_soon();
    }

    /// The layer that video comes from; None: there are none.
    #[must_use]
    pub fn layer(&self) -> Option<Playing> {
        self.layers.playing
    }

    /// Tracks of `source` that are sent to the viewer, or are about to be.
    pub fn layers_in_use(&self, id: SourceId, source: &Source) -> Vec<usize> {
        if self.has_rids() {
            let wanted = |rid: &str| self.tracks.iter().any(|track| !track.paused && track.rid.as_deref() == Some(rid));
            let layers = source.tracks.iter().enumerate();
            return layers
                .filter(|(_, track)| track.spec.layer.as_ref().is_some_and(|layer| wanted(&layer.rid)))
                .map(|(at, _)| at)
                .collect();
        }
        let playing = self.layers.playing.filter(|playing| playing.source == id);
        playing.map(|playing| playing.track).into_iter().chain(self.layers.target).collect()
    }

    pub fn note_feedback(&mut self, feedback: Feedback, now: Instant) {
        // Beside no rate, what the first reports say would be that nothing gets through.
        let Some(sent) = self.layers.rate.at(self.stats.bytes + self.layers.probed, now) else { return };
        self.layers.estimate = self.layers.path.estimate(feedback, sent, now);
        self.layers.review_soon();
    }

    /// Think over which layer of the source on air is sent. Some: it is to be gone over to, when it has a key frame.
    pub fn review_layers(&mut self, id: SourceId, source: &Source, now: Instant) -> Option<Switch> {
        if !source.has_layers() {
            if self.layers.playing.is_some() {
                (self.layers.playing, self.layers.target, self.layers.probe) = (None, None, None);
            }
            return None;
        }
        if self.has_rids() || self.video_track().is_none() {
            return None;
        }
        let on_air = self.layers.playing.is_some_and(|playing| playing.source == id);
        let lately = |at: Instant| now.saturating_duration_since(at) < REVIEW;
        if on_air && self.layers.reviewed.is_some_and(lately) {
            return None;
        }
        self.layers.reviewed = Some(now);
        let tracks = source.layers();
        if tracks.is_empty() {
            return None;
        }
        let (track, why) = self.chosen(id, source, &tracks, now);
        self.turn_to(Playing { source: id, track }, why)
    }

    fn chosen(&mut self, id: SourceId, source: &Source, tracks: &[usize], now: Instant) -> (usize, Why) {
        let layer = |track: usize| source.tracks[track].spec.layer.as_ref();
        let wished = self.layers.wish.as_ref();
        if let Some(&track) =
            tracks.iter().find(|track| wished.is_some() && layer(**track).map(|layer| &layer.rid) == wished)
        {
            self.layers.probe = None;
            return (track, Why::Wanted);
        }
        let bitrate = |track| layer(track).and_then(|layer| layer.bitrate);
        let choices: Vec<Choice> = tracks.iter().map(|&track| Choice { track, bitrate: bitrate(track) }).collect();
        let playing = self.layers.playing.filter(|playing| playing.source == id).map(|playing| playing.track);
        let current = self.layers.target.or(playing).filter(|_| playing.is_some());
        let current = current.and_then(|track| tracks.iter().position(|known| *known == track));
        let (congested, hinted) = (self.layers.path.congested(), self.layers.path.hinted());
        let path = Path { estimate: self.layers.estimate, congested, hinted, probes: self.can_probe() };
        let at = self.layers.policy.choose(&choices, current, path, now);
        self.layers.choices = choices;
        let probes = self.layers.policy.is_probing();
        self.layers.probe = probes.then(|| self.layers.probe.unwrap_or(now));
        let why = match current {
            Some(current) if at > current => Why::Hope,
            Some(current) if at < current => Why::Congestion,
            _ => Why::Wanted,
        };
        (tracks[at], why)
    }

    fn turn_to(&mut self, chosen: Playing, why: Why) -> Option<Switch> {
        let switch = Some(Switch { track: chosen.track, why });
        let plays = self.plays_video() && why != Why::Congestion;
        let layers = &mut self.layers;
        match layers.playing.filter(|playing| playing.source == chosen.source) {
            Some(playing) if playing == chosen => {
                layers.target = None;
                None
            }
            Some(_) if plays => {
                let new = layers.target != Some(chosen.track);
                layers.target = Some(chosen.track);
                switch.filter(|_| new)
            }
            // Nothing is shown that could go on until the key frame comes.
            _ => {
                (layers.playing, layers.target) = (Some(chosen), None);
                self.interrupt_video();
                switch
            }
        }
    }

    fn can_probe(&self) -> bool {
        let track = self.video_track().map(|at| &self.tracks[at]);
        let bears_it = |track: &Outgoing| track.tells_send_times() || self.stats.remb.is_none();
        track.is_some_and(|track| track.can_repair() && bears_it(track))
    }

    fn video_track(&self) -> Option<usize> {
        self.tracks.iter().position(|track| track.kind == Kind::Video)
    }

    /// Send the padding that is due, as repairs of what was sent last: who gets them twice throws them away.
    pub(super) fn send_probe(&mut self, destination: SocketAddr, turn: &mut Turn<'_>) {
        let (Some(due), Some(at)) = (self.layers.probe, self.video_track()) else { return };
        if due > turn.now {
            return;
        }
        let Some(playing) = self.layers.playing.filter(|playing| turn.stream.on_air == Some(playing.source)) else {
            self.layers.probe = None;
            return;
        };
        let playing = Some(playing.track);
        let current = self.layers.choices.iter().position(|choice| Some(choice.track) == playing).unwrap_or(0);
        let rate = self.layers.policy.probe_rate(&self.layers.choices, current, turn.now);
        let elapsed = turn.now.saturating_duration_since(due).min(PROBE_STEP * 5) + PROBE_STEP;
        self.layers.probe = Some(turn.now + PROBE_STEP);
        let bytes = u64::try_from(u128::from(rate) * elapsed.as_micros() / 8_000_000).unwrap_or(0);
        let (mut left, mut back) = (bytes, 0);
        while left > 0 && back < 64 {
            back += 1;
            let Some(sent) = self.send_padding(at, back, destination, turn) else { continue };
            left = left.saturating_sub(sent);
            self.layers.probed += sent;
        }
    }

    /// Repeat the packet that was sent as the `back`th last; its bytes.
    fn send_padding(&mut self, at: usize, back: u64, destination: SocketAddr, turn: &mut Turn<'_>) -> Option<u64> {
        #[allow(clippy::cast_possible_truncation)] // The low bits are resolved again.
        let low = self.tracks[at].mapping.next_number().checked_sub(back)? as u16;
        let (number, segment, sequence) = self.tracks[at].mapping.resolve(low)?;
        let source = turn.sources.get(segment.source.0)?;
        let packet = source.tracks.get(segment.track)?.ring.get(sequence)?;
        let start = turn.outbox.bytes.len();
        let counter = &mut self.stamps;
        let (unsealed, own) = self.tracks[at].write_rtx(&mut turn.outbox.bytes, &segment, packet, number, counter)?;
        if !self.sealer.seal_rtp(&mut turn.outbox.bytes, start, unsealed, own, IndexUse::First) {
            return None;
        }
        let bytes = (turn.outbox.bytes.len() - start) as u64;
        turn.outbox.commit(turn.id, destination, start);
        Some(bytes)
    }

    /// The viewer's timestamps less those of the burst's layer, where another layer of the same source went before: both say
    /// the same of what is captured now.
    pub(super) fn layer_offset(&self, at: usize, burst: &Burst, turn: &Turn<'_>) -> Option<u32> {
        let before = self.tracks[at].mapping.current()?;
        if before.source != burst.source || before.track == burst.track {
            return None;
        }
        let timeline = &turn.sources.get(burst.source.0)?.timeline;
        let (from, to) = (timeline.timestamp(before.track, turn.ntp)?, timeline.timestamp(burst.track, turn.ntp)?);
        Some(before.timestamp_offset.wrapping_add(from).wrapping_sub(to))
    }

    /// The peer wants more of a layer, or no more (RFC 7728); only another node may say so.
    pub(super) fn on_pause(&mut self, ssrc: u32, paused: bool) {
        let of_ssrc = |track: &&mut Outgoing| track.ssrc == ssrc && track.rid.is_some();
        if let Some(track) = self.tracks.iter_mut().find(of_ssrc).filter(|_| self.relay)
            && track.paused != paused
        {
            track.paused = paused;
            track.interrupt();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_not_known_before_a_second_of_it() {
        let (start, mut rate) = (Instant::now(), SentRate::default());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!([rate.at(50_000, at(0)), rate.at(90_000, at(500))], [None, None]);
        assert_eq!([rate.at(175_000, at(1000)), rate.at(180_000, at(1100))], [Some(1_000_000); 2]);
    }
}
