//! A viewer that begins, or begins again: behind the live edge, from the stream's log.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{Outcome, Switch, Turn, Viewer, index_of};
use crate::negotiation::Kind;
use crate::outgoing::Outgoing;
use crate::replay::{Backlog, Progress, Replay};
use crate::source::Burst;

/// Who is cut or misses something again within this time is not helped by being sent more.
const REPLAY_SPACING: Duration = Duration::from_secs(4);

/// Why a viewer is to begin again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// It has nothing yet.
    Join,
    /// What waited was too late: video from this position on, as far as that is known.
    Cut(Option<u64>),
    /// It asked for a key frame.
    Asked,
    /// It is to go over to another layer.
    Switch(Switch),
}

impl Viewer {
    /// Where it may go on from when the stream's newest key frame is at `key`: (position, whether that is in the midst of a group of
    /// pictures). None: it is better off without.
    #[must_use]
    pub fn restart_at(&self, restart: Restart, key: Option<u64>, now: Instant) -> Option<(u64, bool)> {
        if restart == Restart::Join {
            return key.map(|key| (key, false));
        }
        // What a connection is behind with is not made up for by sending more.
        if (self.is_over_tcp() && restart != Restart::Asked)
            || self.replay.is_some()
            || self.last_replay.is_some_and(|last| now.saturating_duration_since(last) < REPLAY_SPACING)
        {
            return None;
        }
        match restart {
            Restart::Cut(Some(from)) if key.is_none_or(|key| key < from) => Some((from, true)),
            _ => key.map(|key| (key, false)),
        }
    }

    /// Catch up from there on.
    pub fn start_replay(&mut self, backlog: Backlog, speed: u32, resumes: bool, now: Instant) {
        // What goes on until the other layer's key frame comes is not interrupted.
        if self.layers.target.is_none() || backlog.position < self.cursor {
            self.interrupt_video();
        }
        // From there on it comes by itself.
        if backlog.position < self.cursor {
            self.last_replay = Some(now);
            self.stats.replays += 1;
            self.replay = Some(Replay::new(backlog, speed, resumes, now));
        }
    }

    /// Whether bursts like this come by the replay now.
    pub(super) fn replays(&self, burst: &Burst) -> bool {
        let replay = self.replay.as_ref().filter(|_| burst.kind == Kind::Video);
        replay.is_some_and(|replay| !self.has_rids() || replay.covers(burst))
    }

    pub(super) fn interrupt_video(&mut self) {
        self.tracks.iter_mut().filter(|track| track.kind == Kind::Video).for_each(Outgoing::interrupt);
    }

    /// Send the burst of the replay that is due, and look for the next.
    pub(super) fn go_on_replaying(&mut self, destination: SocketAddr, turn: &mut Turn<'_>, outcome: &mut Outcome) {
        let due = self.replay.as_ref().filter(|replay| replay.due <= turn.now).map(|replay| replay.cursor);
        let burst = due.and_then(|cursor| turn.stream.burst(cursor));
        if let Some(burst) = burst.filter(|burst| self.replay.as_ref().is_some_and(|replay| replay.has(burst))) {
            self.send_burst(burst, destination, turn, outcome);
        }
        let Some(replay) = &mut self.replay else { return };
        let track = replay.track();
        if let Some(cursor) = due {
            replay.cursor = cursor + 1;
            replay.resumes = false;
        }
        match replay.advance(turn.stream, self.cursor, turn.now, turn.config.late_limit) {
            Progress::Ahead => {}
            Progress::Skipped => self.interrupt_video(),
            Progress::Done => self.replay = None,
            Progress::Lost => {
                self.replay = None;
                self.interrupt_video();
                self.stats.cut += 1;
                outcome.wants_key_frame = Some(track);
            }
        }
    }

    /// Whether it has a codec for this.
    #[must_use]
    pub fn can_play(&self, burst: &Burst) -> bool {
        index_of(&self.tracks, burst).is_some_and(|at| self.tracks[at].has_codec(burst.codec))
    }

    /// Whether video is among what is sent.
    #[must_use]
    pub fn wants_video(&self) -> bool {
        self.tracks.iter().any(|track| track.kind == Kind::Video)
    }

    /// Whether video goes on without waiting for anything.
    #[must_use]
    pub fn plays_video(&self) -> bool {
        self.tracks.iter().any(|track| track.kind == Kind::Video && track.is_playing())
    }
}
