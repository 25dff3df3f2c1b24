//! Streams whose source is with another thread of the node: its bursts are mirrored here while somebody here watches.
//!
//! Who has viewers of a stream tells all others (`Watch`). A thread with a source of it hands on its bursts as they go into the
//! log, one `Arc` of each; the watching thread keeps a log and a history of its own from them, so that starts and repairs are
//! local. What belongs to the source's session stays with its thread: a mirror's wish for a key frame goes there.
//!
//! Invariant: a mirror has every burst of its source from its beginning to its end. A thread that is behind is sent an end at once and a new
//! beginning with the next key frame: to its viewers a gap is another source.

mod layers;
#[cfg(test)]
mod tests;
mod watching;

use std::collections::HashMap;
use std::sync::Arc;

use crate::border::{SourceId, StreamKey, TrackSpec};
use crate::inboxes::{Inboxes, ThreadNumber};
use crate::negotiation::Kind;
use crate::source::{Burst, Source};
use crate::timeline::Timeline;

/// A source as other threads know it.
pub type Remote = (ThreadNumber, SourceId);

/// What forwarders of one node say to one another.
#[derive(Debug)]
pub enum StreamWord {
    /// The thread has viewers of the stream.
    Watch {
        by: ThreadNumber,
        stream: StreamKey,
    },
    /// It has none any more.
    Unwatch {
        by: ThreadNumber,
        stream: StreamKey,
    },
    /// A source that is on, or begins again after a gap. Before it `Ended`, or nothing.
    Begun(Box<Begun>),
    Burst {
        source: Remote,
        burst: Arc<Burst>,
        timeline: Arc<Timeline>,
    },
    Ended {
        source: Remote,
    },
    /// What the source's tracks are now.
    Tracks {
        source: Remote,
        tracks: Vec<ShownTrack>,
    },
    /// To the source's thread: of which of its tracks a key frame is wanted.
    WantKeyFrame {
        source: SourceId,
        track: usize,
    },
    /// To the source's thread: which layers the thread has viewers of.
    Uses {
        by: ThreadNumber,
        source: SourceId,
        tracks: Vec<usize>,
    },
}

/// A track as other threads know it.
#[derive(Debug, Clone)]
pub struct ShownTrack {
    spec: TrackSpec,
    /// A layer that we have asked the source not to send.
    paused: bool,
}

#[derive(Debug)]
pub struct Begun {
    source: Remote,
    stream: StreamKey,
    incarnation: String,
    order: u64,
    tracks: Vec<ShownTrack>,
    timeline: Arc<Timeline>,
    /// From the newest key frame on, where that is near enough to start with.
    backlog: Vec<Arc<Burst>>,
}

/// How a source goes to one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outlet {
    Open,
    /// The thread was behind: not before the next key frame.
    Cut,
}

/// A burst as all threads get it.
struct Shared {
    burst: Arc<Burst>,
    timeline: Arc<Timeline>,
    /// Who was behind may go on with it.
    may_begin: bool,
}

#[derive(Debug)]
pub struct Mirrors {
    inboxes: Inboxes<StreamWord>,
    watchers: HashMap<StreamKey, Vec<ThreadNumber>>,
    outlets: HashMap<(SourceId, ThreadNumber), Outlet>,
    here: HashMap<Remote, SourceId>,
    /// Tracks of our sources that other threads have viewers of, where there are layers.
    uses: HashMap<(SourceId, ThreadNumber), Vec<usize>>,
    /// The same of mirrors here, as it was told.
    told_uses: HashMap<SourceId, Vec<usize>>,
    /// Bursts that a thread was too far behind to get.
    dropped: u64,
}

impl Mirrors {
    pub fn new(inboxes: Inboxes<StreamWord>) -> Self {
        Self {
            inboxes,
            watchers: HashMap::new(),
            outlets: HashMap::new(),
            here: HashMap::new(),
            uses: HashMap::new(),
            told_uses: HashMap::new(),
            dropped: 0,
        }
    }

    pub const fn me(&self) -> ThreadNumber {
        self.inboxes.me()
    }

    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    pub fn take_wakes(&mut self) -> u64 {
        self.inboxes.take_wakes()
    }

    /// A burst of a source of ours, to those who watch. True: one of them has room again and waits for a key frame.
    pub fn hand_on(&mut self, burst: &Burst, source: &Source, stream: &StreamKey) -> bool {
        if source.mirrors.is_some() {
            return false;
        }
        let Some(watchers) = self.watchers.get(stream).filter(|watchers| !watchers.is_empty()) else { return false };
        let shared = Shared {
            burst: Arc::new(burst.clone()),
            timeline: Arc::new(source.timeline.clone()),
            may_begin: burst.starts_key_frame || source.tracks.iter().all(|track| track.spec.kind != Kind::Video),
        };
        let mut waits = false;
        for to in watchers.clone() {
            let outlet = self.outlets.get(&(burst.source, to)).copied();
            let (outlet, has_room) = self.give(to, outlet, &shared, source, stream);
            waits |= has_room && outlet == Outlet::Cut;
            self.outlets.insert((burst.source, to), outlet);
        }
        waits
    }

    /// How the source goes to `to` after this burst, and whether there was room for it.
    fn give(
        &mut self,
        to: ThreadNumber,
        outlet: Option<Outlet>,
        shared: &Shared,
        source: &Source,
        stream: &StreamKey,
    ) -> (Outlet, bool) {
        let remote = (self.inboxes.me(), shared.burst.source);
        let open = outlet == Some(Outlet::Open);
        let room = self.inboxes.has_room(to, if open { 1 } else { 2 });
        let begins = outlet.is_none() || outlet == Some(Outlet::Cut) && shared.may_begin;
        if !room || !(open || begins) {
            self.dropped += 1;
            if open {
                self.inboxes.tell(to, StreamWord::Ended { source: remote });
            }
            return (Outlet::Cut, room);
        }
        if begins {
            self.inboxes.tell(to, StreamWord::Begun(Box::new(begun(remote, source, stream, Vec::new()))));
        }
        let (burst, timeline) = (shared.burst.clone(), shared.timeline.clone());
        self.inboxes.tell(to, StreamWord::Burst { source: remote, burst, timeline });
        (Outlet::Open, room)
    }

    /// A source of ours is over, or off the air: what it sends now is for nobody, and if it comes back it has a gap.
    pub fn end(&mut self, source: SourceId) {
        for to in self.inboxes.others() {
            self.uses.remove(&(source, to));
            if self.outlets.remove(&(source, to)) == Some(Outlet::Open) {
                self.inboxes.tell(to, StreamWord::Ended { source: (self.inboxes.me(), source) });
            }
        }
    }

    fn tell_others(&mut self, word: impl Fn() -> StreamWord) {
        for to in self.inboxes.others() {
            self.inboxes.tell(to, word());
        }
    }
}

fn begun(remote: Remote, source: &Source, stream: &StreamKey, backlog: Vec<Arc<Burst>>) -> Begun {
    Begun {
        source: remote,
        stream: stream.clone(),
        incarnation: source.incarnation.clone(),
        order: source.order,
        tracks: shown(source),
        timeline: Arc::new(source.timeline.clone()),
        backlog,
    }
}

fn shown(source: &Source) -> Vec<ShownTrack> {
    source.tracks.iter().map(|track| ShownTrack { spec: track.spec.clone(), paused: track.paused }).collect()
}
