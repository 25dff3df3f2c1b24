//! Sealed datagrams of many viewers in one arena, in the order in which they leave.

use std::net::SocketAddr;
use std::time::Instant;

use crate::border::{Totals, ViewerId};
use crate::egress::{Egress, Message};
use crate::runs::Run;
use crate::tcp::{self, Lane};

/// Above either of these the batch is handed to the sockets.
const MANY_MESSAGES: usize = 64;
const MANY_BYTES: usize = 128 * 1024;

#[derive(Debug, Default)]
pub struct Outbox {
    /// The arena: packets are written and sealed at its end, then committed.
    pub bytes: Vec<u8>,
    /// What is committed from now on.
    pub lane: Lane,
    /// Since when that could have left.
    pub since: Option<Instant>,
    messages: Vec<Message>,
    sent: usize,
    /// The last message as a run that may grow.
    run: Option<Run>,
}

impl Outbox {
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.messages.len() >= MANY_MESSAGES || self.bytes.len() >= MANY_BYTES
    }

    /// The next datagram begins a message of its own.
    pub fn close_run(&mut self) {
        self.run = None;
    }

    /// What was written from `start` on is a datagram. It joins the run before it when that goes to the same place; lanes part only
    /// what goes by a connection.
    #[allow(clippy::cast_possible_truncation)] // A datagram is shorter than 65,536 bytes.
    pub fn commit(&mut self, viewer: ViewerId, destination: SocketAddr, start: usize) {
        let len = self.bytes.len() - start;
        if let (Some(run), Some(last)) = (&mut self.run, self.messages.last_mut())
            && last.viewer == viewer
            && last.destination == destination
            && ((last.lane, last.since) == (self.lane, self.since) || tcp::number(destination).is_none())
            && run.extend(len)
        {
            last.len += len;
            return;
        }
        self.run = Some(Run::of(len));
        let (segment, lane, since) = (len as u16, self.lane, self.since);
        self.messages.push(Message { viewer, destination, start, len, segment, lane, since });
    }

    /// What was begun is given up: the arena ends with what was committed.
    pub fn drop_begun(&mut self) {
        self.bytes.truncate(self.messages.last().map_or(0, |last| last.start + last.len));
        self.run = None;
    }

    /// Hand everything to the sockets. False: they are full, and the rest is kept.
    pub fn flush(&mut self, egress: &mut dyn Egress, totals: &mut Totals) -> bool {
        let rest = &self.messages[self.sent..];
        let done = if rest.is_empty() { 0 } else { egress.send(rest, &self.bytes).min(rest.len()) };
        for message in &rest[..done] {
            let count = message.count();
            totals.messages += 1;
            totals.segmented_messages += u64::from(count > 1);
            totals.packets += count as u64;
            totals.bytes += message.len as u64;
        }
        self.sent += done;
        self.run = None;
        let all = self.sent == self.messages.len();
        if all {
            self.bytes.clear();
            self.messages.clear();
            self.sent = 0;
        }
        all
    }
}
