//! What happens without a packet: held frames, silence, key frames to be asked for, reports, replays.

use std::cmp::Reverse;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::Forwarder;
use super::starts::answers;
use crate::border::{ForwarderEvent, KeyFrameRequest, SourceId};
use crate::stream::Stream;
use crate::viewer::Viewer;

impl Forwarder {
    /// When `on_timeout` is due; it may be past.
    #[must_use]
    pub fn next_deadline(&mut self) -> Option<Instant> {
        let wake = self.wake_times.peek().map(|Reverse((at, _))| *at);
        [self.sources.next_deadline(), self.streams.next_deadline(), wake, self.paced_until].into_iter().flatten().min()
    }

    pub fn on_timeout(&mut self, now: Instant) {
        self.release_held(now);
        self.notice_silence(now);
        self.notice_stopped_layers(now);
        self.ask_for_layers(now);
        self.ask_for_key_frames(now);
        self.wake_viewers(now);
        self.paced_until = self.paced_until.filter(|until| *until > now);
    }

    fn release_held(&mut self, now: Instant) {
        for source in self.sources.due(now).into_iter().map(SourceId) {
            // A panic over one source is its end, and nobody else's.
            if catch_unwind(AssertUnwindSafe(|| self.release(source, now))).is_err() {
                self.forget_source(source);
                self.events.push_back(ForwarderEvent::SourceFailed { source });
            }
        }
    }

    fn release(&mut self, source: SourceId, now: Instant) {
        if let Some(entry) = self.sources.get_mut(source.0) {
            entry.expire(source, now, false, &mut self.bursts);
            self.distribute();
        }
    }

    fn notice_silence(&mut self, now: Instant) {
        for id in self.sources.due(now) {
            let Some(source) = self.sources.get_mut(id) else { continue };
            if source.falls_silent(now) && source.mirrors.is_none() {
                let on_air = |stream: &&mut Stream| stream.on_air == Some(SourceId(id));
                if let Some(stream) = self.streams.get_mut(source.stream).filter(on_air) {
                    stream.falls_silent();
                }
                self.events.push_back(ForwarderEvent::Silent { source: SourceId(id) });
            }
        }
    }

    fn ask_for_key_frames(&mut self, now: Instant) {
        for id in self.streams.due(now) {
            let Some(stream) = self.streams.get_mut(id) else { continue };
            let Some(id) = stream.on_air else { continue };
            let Some(source) = self.sources.get_mut(id.0) else { continue };
            for (track, budget) in stream.budgets() {
                if !answers(source, track) {
                    budget.on_key_frame();
                } else if budget.ask(now) {
                    source.asked_for_key_frame();
                    self.requests.push_back(KeyFrameRequest { source: id, track });
                }
            }
        }
    }

    fn wake_viewers(&mut self, now: Instant) {
        while let Some(&Reverse((at, id))) = self.wake_times.peek()
            && at <= now
        {
            self.wake_times.pop();
            let Some(viewer) = self.viewers.get_mut(id.0).filter(|viewer| viewer.timed_for == Some(at)) else {
                continue;
            };
            viewer.timed_for = None;
            self.turns.push(id);
        }
    }

    /// Bursts from their sources into the logs of their streams, and the viewers in the queue.
    pub(super) fn distribute(&mut self) {
        let mut bursts = std::mem::take(&mut self.bursts);
        for burst in bursts.drain(..) {
            let Some(source) = self.sources.get(burst.source.0) else { continue };
            let Some(stream) = self.streams.get_mut(source.stream).filter(|stream| stream.on_air == Some(burst.source))
            else {
                self.mirrors.end(burst.source);
                continue;
            };
            if burst.starts_key_frame {
                stream.budget(burst.track).on_key_frame();
                stream.wished.retain(|(track, _)| *track != burst.track);
            }
            let (id, now) = (source.stream, burst.emitted);
            let waits = self.mirrors.hand_on(&burst, source, &stream.name);
            for id in stream.turns() {
                let stirs = |viewer: &Viewer| viewer.is_stirred_by(&burst);
                if burst.rid.is_none() || self.viewers.get(id.0).is_some_and(stirs) {
                    self.turns.push(id);
                }
            }
            let track = burst.track;
            stream.push(burst, self.config.late_limit * 2);
            if waits {
                self.want_key_frame(id, Some(track), now);
            }
        }
        self.bursts = bursts;
    }
}
