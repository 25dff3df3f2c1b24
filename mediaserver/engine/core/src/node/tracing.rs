//! Sessions that are being traced: where their datagrams pass, their lines are written.
//!
//! Nothing here costs anything while nobody traces: one look at an empty map per datagram in, and per turn of sending.

use std::collections::HashMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::{Node, SessionId};
use crate::border::{ViewerId, WallClock};
use crate::egress::{Egress, Message};
use crate::srtp::SrtpKeys;
use crate::tcp;
use crate::trace::{Bounds, Direction, Trace};

/// Traces at a time.
const MOST: usize = 8;

#[derive(Debug)]
pub struct Traces {
    clock: WallClock,
    of: HashMap<SessionId, Trace>,
}

/// Why there is no trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceError {
    UnknownSession,
    TooMany,
}

/// Lines since the last reading.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TraceRead {
    pub lines: String,
    /// The last line is among them, and the trace is forgotten.
    pub over: bool,
}

impl Node {
    /// Trace a session from now on.
    ///
    /// # Errors
    /// `UnknownSession`; `TooMany` when it is being traced already, or so many others are.
    pub fn start_trace(&mut self, id: SessionId, bounds: Bounds, now: Instant) -> Result<(), TraceError> {
        let link = self.legs.get(&id).map_or(id, |leg| leg.link);
        let keys = self.sessions.get(&link).ok_or(TraceError::UnknownSession)?.keys.clone();
        // Whose reader has gone without a word.
        self.traces.of.retain(|_, trace| !trace.is_due(now));
        if self.traces.of.len() >= MOST || self.traces.of.contains_key(&id) {
            return Err(TraceError::TooMany);
        }
        let trace = Trace::new(bounds, self.traces.clock, keys.as_ref());
        self.traces.of.insert(id, trace);
        Ok(())
    }

    /// What has passed; over when the session is not being traced. `stop`: this is the last reading.
    pub fn read_trace(&mut self, id: SessionId, stop: bool, now: Instant) -> TraceRead {
        let Some(trace) = self.traces.of.get_mut(&id) else {
            return TraceRead { lines: String::new(), over: true };
        };
        if trace.is_due(now) {
            trace.end("time", now);
        } else if stop {
            trace.end("stopped", now);
        }
        let read = TraceRead { lines: trace.take(), over: trace.is_over() };
        if read.over {
            self.traces.of.remove(&id);
        }
        read
    }
}

impl Traces {
    pub fn new(clock: WallClock) -> Self {
        Self { clock, of: HashMap::new() }
    }

    pub fn has(&self, id: SessionId) -> bool {
        self.of.contains_key(&id)
    }

    /// A trace that goes with its session to another thread.
    pub fn take(&mut self, id: SessionId) -> Option<Trace> {
        self.of.remove(&id)
    }

    pub fn put(&mut self, id: SessionId, trace: Trace) {
        self.of.insert(id, trace);
    }

    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    pub fn datagram(&mut self, id: SessionId, way: Direction, peer: SocketAddr, datagram: &[u8], now: Instant) {
        self.write(id, |trace| trace.datagram(way, tcp::plain(peer), datagram, now));
    }

    pub fn connected(&mut self, id: SessionId, keys: &SrtpKeys, now: Instant) {
        self.write(id, |trace| trace.connected(keys, now));
    }

    pub fn event(&mut self, id: SessionId, name: &str, detail: &dyn Display, now: Instant) {
        self.write(id, |trace| trace.event(name, &detail.to_string(), now));
    }

    /// The last line waits for its reader.
    pub fn session_ended(&mut self, id: SessionId, now: Instant) {
        self.write(id, |trace| trace.end("session-ended", now));
    }

    /// `egress`, with an eye on what leaves by it.
    pub fn watch<'a>(
        &'a mut self,
        egress: &'a mut dyn Egress,
        viewers: &'a HashMap<ViewerId, SessionId>,
        now: Instant,
    ) -> Watched<'a> {
        Watched { egress, viewers, traces: self, now }
    }

    /// A panic over a trace is its end, and not the session's.
    fn write(&mut self, id: SessionId, what: impl FnOnce(&mut Trace)) {
        if self.of.is_empty() {
            return;
        }
        let Some(trace) = self.of.get_mut(&id) else { return };
        if catch_unwind(AssertUnwindSafe(|| what(trace))).is_err() {
            self.of.remove(&id);
        }
    }
}

pub struct Watched<'a> {
    egress: &'a mut dyn Egress,
    viewers: &'a HashMap<ViewerId, SessionId>,
    traces: &'a mut Traces,
    now: Instant,
}

impl Egress for Watched<'_> {
    fn send(&mut self, messages: &[Message], bytes: &[u8]) -> usize {
        let done = self.egress.send(messages, bytes).min(messages.len());
        for message in &messages[..done] {
            let Some(id) = self.viewers.get(&message.viewer) else { continue };
            let whole = &bytes[message.start..message.start + message.len];
            for datagram in whole.chunks(usize::from(message.segment).max(1)) {
                self.traces.datagram(*id, Direction::Out, message.destination, datagram, self.now);
            }
        }
        done
    }

    fn is_behind(&self, destination: SocketAddr) -> bool {
        self.egress.is_behind(destination)
    }
}
