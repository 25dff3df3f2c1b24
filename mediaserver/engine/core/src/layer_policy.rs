//! Which layer a viewer gets: the best that its path carries. Pure.
//!
//! Down at once; up after a quiet time, by one, when the estimate says so or a probe of the difference got through. A way up that
//! fails makes the next one wait twice as long, so that a narrow path is not tried for ever. A probe that fails has cost nobody
//! anything: it grows slowly and ends at the first sign of congestion, and the next one waits no longer.

use std::time::{Duration, Instant};

/// Between two ways up, as long as nothing fails.
const STEP: Duration = Duration::from_secs(2);
/// After congestion, and after the first way up that failed; twice as long after each further one, up to the last.
const QUIET: Duration = Duration::from_secs(10);
const LONGEST_QUIET: Duration = Duration::from_mins(1);
/// Between a way up and congestion: so soon after it was because of it.
const TRIAL: Duration = Duration::from_secs(8);
/// A layer fits when the estimate is this much above its rate, going up, and it must fall this far below to go down (percent).
const ABOVE: u64 = 115;
const BELOW: u64 = 97;
/// A probe is this long at most (a receiver's estimate rises by 8 % a second), and grows to the whole difference in the next time: so
/// slowly that little has been queued when the next report tells of it. After one that failed the last time passes.
const PROBE: Duration = Duration::from_secs(12);
const PROBE_GROWS: Duration = Duration::from_secs(6);
const PROBE_PAUSE: Duration = Duration::from_secs(8);
/// An estimate below a layer's rate counts while congestion shows; without any it only says that little was sent.
const SHOWS: Duration = Duration::from_millis(2500);
/// What was congested so long ago says nothing of any rate.
const REMEMBERED: Duration = Duration::from_mins(2);

/// A layer that could be sent, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// Its track at the source.
    pub track: usize,
    /// Bit/s; None: not known.
    pub bitrate: Option<u32>,
}

/// What the path is known to carry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Path {
    /// Bit/s; None: nothing speaks against any rate.
    pub estimate: Option<u64>,
    /// When it last spoke of congestion.
    pub congested: Option<Instant>,
    /// When it last looked as if it might.
    pub hinted: Option<Instant>,
    /// Whether padding can be sent to try it.
    pub probes: bool,
}

#[derive(Debug)]
pub struct LayerPolicy {
    /// Before then nothing better is tried.
    next_try: Option<Instant>,
    /// When it last went up by itself, while that may yet turn out to have been too much.
    rose: Option<Instant>,
    /// What was waited for after the last way up that failed; none has: none.
    quiet: Duration,
    probing: Option<Instant>,
}

impl Default for LayerPolicy {
    fn default() -> Self {
        Self { next_try: None, rose: None, quiet: Duration::ZERO, probing: None }
    }
}

impl LayerPolicy {
    /// What to send: index into `choices` (the least first, never empty). `current`: what is sent now; None: nothing yet, or it
    /// is no more.
    pub fn choose(&mut self, choices: &[Choice], current: Option<usize>, path: Path, now: Instant) -> usize {
        let since_congested = path.congested.map(|at| now.saturating_duration_since(at));
        let path =
            Path { estimate: path.estimate.filter(|_| since_congested.is_some_and(|past| past < REMEMBERED)), ..path };
        let Some(current) = current else {
            self.probing = None;
            self.next_try = Some(now + STEP);
            return fitting(choices, path.estimate);
        };
        self.judge_tries(path, now);
        // What the path was thought to carry before a try says nothing against it.
        let trying = self.rose.is_some();
        let fits_now = path.estimate.is_none_or(|estimate| fits(choices[current], estimate, BELOW));
        let congested = since_congested.is_some_and(|past| past < SHOWS);
        if !fits_now && congested && !trying && current > 0 {
            return self.go_down(fitting(&choices[..current], path.estimate), now);
        }
        if current + 1 < choices.len() && self.may_rise(path, now) && self.tries(choices[current + 1], path, now) {
            (self.rose, self.next_try) = (Some(now), Some(now + STEP));
            self.probing = None;
            return current + 1;
        }
        current
    }

    /// How much padding is to be sent now, bit/s, to see whether the next of `choices` would get through.
    #[must_use]
    pub fn probe_rate(&self, choices: &[Choice], current: usize, now: Instant) -> u64 {
        let (Some(since), Some(next)) = (self.probing, choices.get(current + 1)) else { return 0 };
        let rate = |choice: &Choice| u64::from(choice.bitrate.unwrap_or(0));
        let difference = (rate(next) * (ABOVE + 5) / 100).saturating_sub(rate(&choices[current]));
        let grown = now.saturating_duration_since(since).as_millis() * 100 / PROBE_GROWS.as_millis();
        let share = u64::try_from(grown).unwrap_or(100);
        difference * share.saturating_add(10).min(100) / 100
    }

    #[must_use]
    pub const fn is_probing(&self) -> bool {
        self.probing.is_some()
    }

    /// What has come of the last way up and of the probe.
    fn judge_tries(&mut self, path: Path, now: Instant) {
        let since = |sign: Option<Instant>, begin: Instant| sign.is_some_and(|sign| sign >= begin);
        if self.rose.is_some_and(|rose| since(path.congested, rose)) {
            self.quiet = (self.quiet * 2).clamp(QUIET, LONGEST_QUIET);
            (self.probing, self.rose, self.next_try) = (None, None, Some(now + self.quiet));
        } else if self.rose.is_some_and(|rose| now.saturating_duration_since(rose) >= TRIAL) {
            (self.rose, self.quiet) = (None, Duration::ZERO);
        }
        if self.probing.is_some_and(|begin| since(path.hinted, begin)) {
            self.end_probe(now);
        }
    }

    fn end_probe(&mut self, now: Instant) {
        (self.probing, self.next_try) = (None, Some(now + PROBE_PAUSE));
    }

    fn go_down(&mut self, to: usize, now: Instant) -> usize {
        (self.probing, self.next_try) = (None, Some(now + self.quiet.max(QUIET)));
        to
    }

    fn may_rise(&self, path: Path, now: Instant) -> bool {
        let calm = path.congested.is_none_or(|at| now.saturating_duration_since(at) >= SHOWS);
        calm && self.next_try.is_none_or(|at| at <= now)
    }

    /// Whether to go up to `next` now; else a probe begins, goes on or ends.
    fn tries(&mut self, next: Choice, path: Path, now: Instant) -> bool {
        let Some(estimate) = path.estimate else { return true };
        if fits(next, estimate, ABOVE) {
            return true;
        }
        if !path.probes || next.bitrate.is_none() {
            // The layer itself is the probe.
            return true;
        }
        match self.probing {
            None => self.probing = Some(now),
            Some(since) if now.saturating_duration_since(since) >= PROBE => self.end_probe(now),
            Some(_) => {}
        }
        false
    }
}

/// The best that the estimate allows, else the least.
fn fitting(choices: &[Choice], estimate: Option<u64>) -> usize {
    let Some(estimate) = estimate else { return choices.len().saturating_sub(1) };
    choices.iter().rposition(|choice| fits(*choice, estimate, 100)).unwrap_or(0)
}

/// Whether `estimate` is at least `percent` of the layer's rate; one whose rate is not known does.
fn fits(choice: Choice, estimate: u64, percent: u64) -> bool {
    choice.bitrate.is_none_or(|rate| estimate >= u64::from(rate) * percent / 100)
}

#[cfg(test)]
mod tests;
