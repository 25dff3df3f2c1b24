//! One stream: the log of its bursts, who reads it, and which source is on air.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::border::{SourceId, StreamKey, ViewerId};
use crate::negotiation::Kind;
use crate::pli_budget::PliBudget;
use crate::replay::{self, Backlog, Part};
use crate::source::Burst;
use crate::timed::Deadline;

/// Viewers read the log each at its own position, so a burst is queued once for all of them.
#[derive(Debug)]
pub struct Stream {
    pub name: StreamKey,
    pub on_air: Option<SourceId>,
    pub sources: Vec<SourceId>,
    pub viewers: Vec<ViewerId>,
    /// By the source's track: layers are asked for one by one.
    budgets: Vec<(usize, PliBudget)>,
    /// When the thread of the source on air was last asked for a key frame of a track, and none has come since.
    pub wished: Vec<(usize, Instant)>,
    /// The source on air sends nothing: asking it for key frames waits until it is back.
    silent: bool,
    log: VecDeque<Burst>,
    log_start: u64,
    log_bytes: usize,
    /// Positions of the newest bursts with which a viewer may start, one for each layer.
    newest_key_frames: Vec<(SourceId, usize, u64)>,
    turn: usize,
}

impl Stream {
    #[must_use]
    pub fn new(name: StreamKey) -> Self {
        Self {
            name,
            on_air: None,
            sources: Vec::new(),
            viewers: Vec::new(),
            budgets: Vec::new(),
            wished: Vec::new(),
            silent: false,
            log: VecDeque::new(),
            log_start: 0,
            log_bytes: 0,
            newest_key_frames: Vec::new(),
            turn: 0,
        }
    }

    #[must_use]
    pub fn is_unused(&self) -> bool {
        self.sources.is_empty() && self.viewers.is_empty()
    }

    /// Add a burst. What is older than `keep` is forgotten, unless somebody may yet start with it.
    pub fn push(&mut self, burst: Burst, keep: Duration) {
        let now = burst.emitted;
        while let Some(front) = self.log.front() {
            let age = now.saturating_duration_since(front.emitted);
            if age <= keep || (age <= keep + replay::LONGEST && self.log_bytes <= replay::LARGEST * 2) {
                break;
            }
            self.log_bytes -= front.bytes;
            self.log.pop_front();
            self.log_start += 1;
        }
        if burst.starts_key_frame {
            let (end, start) = (self.log_end(), self.log_start);
            let same = |(source, track): (SourceId, usize)| source == burst.source && track == burst.track;
            self.newest_key_frames.retain(|&(source, track, at)| at >= start && !same((source, track)));
            self.newest_key_frames.push((burst.source, burst.track, end));
        }
        self.log_bytes += burst.bytes;
        self.log.push_back(burst);
    }

    /// The oldest position that can still be read.
    #[must_use]
    pub fn log_start(&self) -> u64 {
        self.log_start
    }

    /// The position of the next burst to come.
    #[must_use]
    pub fn log_end(&self) -> u64 {
        self.log_start + self.log.len() as u64
    }

    #[must_use]
    pub fn burst(&self, position: u64) -> Option<&Burst> {
        self.log.get(usize::try_from(position.checked_sub(self.log_start)?).ok()?)
    }

    /// The newest burst with which a viewer may start; `track`: of the source on air, None: any.
    #[must_use]
    pub fn newest_key_frame(&self, track: Option<usize>) -> Option<u64> {
        let of_track = |(source, of, _): &&(SourceId, usize, u64)| {
            track.is_none_or(|track| *of == track && self.on_air == Some(*source))
        };
        let positions = self.newest_key_frames.iter().filter(of_track).map(|(.., position)| *position);
        positions.max().filter(|position| *position >= self.log_start)
    }

    /// Of each layer of `source`, the newest burst with which a viewer may start.
    pub fn newest_key_frames(&self, source: SourceId) -> impl Iterator<Item = u64> + '_ {
        let of_source = self.newest_key_frames.iter().filter(move |(of, ..)| *of == source);
        of_source.map(|(.., position)| *position).filter(|position| *position >= self.log_start)
    }

    /// How often the source may be asked for key frames of `track`.
    pub fn budget(&mut self, track: usize) -> &mut PliBudget {
        let at = self.budgets.iter().position(|(of, _)| *of == track).unwrap_or_else(|| {
            self.budgets.push((track, PliBudget::default()));
            self.budgets.len() - 1
        });
        &mut self.budgets[at].1
    }

    /// The source on air has stopped sending.
    pub fn falls_silent(&mut self) {
        self.silent = true;
    }

    /// The source on air is another one, or is back.
    pub fn is_heard(&mut self) {
        self.silent = false;
        self.budgets.iter_mut().for_each(|(_, budget)| budget.renew());
    }

    pub fn budgets(&mut self) -> impl Iterator<Item = (usize, &mut PliBudget)> {
        self.budgets.iter_mut().map(|(track, budget)| (*track, budget))
    }

    /// What a viewer that goes on at `position` is behind the live edge. None: what stands there is not the video on air.
    #[must_use]
    pub fn backlog(&self, position: u64, now: Instant) -> Option<Backlog> {
        let first =
            self.burst(position).filter(|first| first.kind == Kind::Video && self.on_air == Some(first.source))?;
        let rest = (position..self.log_end()).filter_map(|at| self.burst(at));
        let (mut bytes, mut newest) = (0, first);
        for burst in rest.filter(|burst| burst.source == first.source && burst.track == first.track) {
            bytes += burst.bytes;
            newest = burst;
        }
        let since = now.saturating_duration_since(newest.emitted);
        let live = newest.packets.last()?.timestamp.wrapping_add(replay::ticks(since, first.clock_rate));
        let part = Part { track: first.track, from: position, live };
        Some(Backlog::of(part, first.source, now.saturating_duration_since(first.emitted), bytes))
    }

    /// Everybody, another one first each time.
    pub fn turns(&mut self) -> impl Iterator<Item = ViewerId> {
        self.turn = (self.turn + 1) % self.viewers.len().max(1);
        let (later, first) = self.viewers.split_at(self.turn.min(self.viewers.len()));
        first.iter().chain(later).copied()
    }

    /// Want a key frame of `track`; one that is `due` within a moment by itself is waited for first.
    pub fn want_key_frame(&mut self, track: usize, due: Option<Instant>, now: Instant) {
        const MOMENT: Duration = Duration::from_millis(100);
        const GRACE: Duration = Duration::from_millis(50);
        let soon = due.filter(|due| *due + GRACE > now && *due <= now + MOMENT);
        self.budget(track).want(soon.map_or(now, |due| due + GRACE));
    }
}

impl Deadline for Stream {
    /// When the first of the budgets has something to ask.
    fn deadline(&self) -> Option<Instant> {
        self.on_air.filter(|_| !self.silent)?;
        self.budgets.iter().filter_map(|(_, budget)| budget.deadline()).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::Slots;

    #[test]
    fn every_viewer_is_the_first_in_its_turn_and_none_is_left_out() {
        let mut slots = Slots::default();
        let mut stream = Stream::new("s".into());
        assert_eq!(stream.turns().count(), 0);
        stream.viewers = (0..3).map(|_| ViewerId(slots.insert(()))).collect();
        let [a, b, c] = [0, 1, 2].map(|at| stream.viewers[at]);
        let rounds: Vec<Vec<ViewerId>> = (0..4).map(|_| stream.turns().collect()).collect();
        assert_eq!(rounds, [[b, c, a], [c, a, b], [a, b, c], [b, c, a]]);
        stream.viewers.truncate(1);
        assert_eq!(stream.turns().collect::<Vec<_>>(), [a], "others have gone");
    }
}
