//! One stream: the log of its bursts, who reads it, and which source is on air.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::border::{SourceId, StreamKey, ViewerId};
use crate::pli_budget::PliBudget;
use crate::source::Burst;

/// Viewers read the log each at its own position, so a burst is queued once for all of them.
#[derive(Debug)]
pub struct Stream {
    pub name: StreamKey,
    pub on_air: Option<SourceId>,
    pub sources: Vec<SourceId>,
    pub viewers: Vec<ViewerId>,
    pub budget: PliBudget,
    log: VecDeque<Burst>,
    log_start: u64,
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
            budget: PliBudget::default(),
            log: VecDeque::new(),
            log_start: 0,
            turn: 0,
        }
    }

    #[must_use]
    pub fn is_unused(&self) -> bool {
        self.sources.is_empty() && self.viewers.is_empty()
    }

    /// Add a burst; what is older than `keep` is forgotten.
    pub fn push(&mut self, burst: Burst, keep: Duration) {
        let now = burst.emitted;
        while self.log.front().is_some_and(|front| now.saturating_duration_since(front.emitted) > keep) {
            self.log.pop_front();
            self.log_start += 1;
        }
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

    /// Whether a viewer at `position` has a key frame before it.
    #[must_use]
    pub fn key_frame_ahead(&self, position: u64) -> bool {
        (position..self.log_end()).any(|at| self.burst(at).is_some_and(|burst| burst.starts_key_frame))
    }

    /// Everybody, another one first each time.
    pub fn turns(&mut self) -> impl Iterator<Item = ViewerId> {
        self.turn = (self.turn + 1) % self.viewers.len().max(1);
        let (later, first) = self.viewers.split_at(self.turn.min(self.viewers.len()));
        first.iter().chain(later).copied()
    }

    /// Want a key frame; one that is `due` within a moment by itself is waited for first.
    pub fn want_key_frame(&mut self, due: Option<Instant>, now: Instant) {
        const MOMENT: Duration = Duration::from_millis(300);
        const GRACE: Duration = Duration::from_millis(100);
        let soon = due.filter(|due| *due + GRACE > now && *due <= now + MOMENT);
        self.budget.want(soon.map_or(now, |due| due + GRACE));
    }
}
