//! The TCP connections of a data thread: taken (or, for relays, opened by `dialling`), bounded, read, written, closed. What they carry is the node's.
//!
//! Invariant: a connection on which no valid check has come lives for `UNPROVED_TIME` at most, there are `UNPROVED` of them at most,
//! and the oldest makes room: who opens many keeps nobody else out for longer than a moment.

use std::collections::{BTreeSet, HashMap};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use rivulet_core::inboxes::Inboxes;
use rivulet_core::node::{Course, Node};
use rivulet_core::tcp::{self, Lane};
use rivulet_udp::{Poller, Ready, accept, use_congestion_control};

use crate::census::Census;
use crate::connection::{Connection, End, HANG_UP};
use crate::data_thread::ThreadCounters;
use crate::moving::end_of;

/// The listener's token; a connection's is its number.
pub const LISTENER: u64 = 2;
/// A client that has lost a connection may come by the next with nothing but its consent checks: one in 4 to 6 s (RFC 7675, 5.1).
const UNPROVED_TIME: Duration = Duration::from_secs(10);
const UNPROVED: usize = 256;
/// Connections taken a turn.
const ACCEPTS: usize = 64;
/// How long nothing is accepted when the system is out of something.
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Copy, Default)]
pub struct ConnectionCounters {
    pub accepted: u64,
    /// At the limit, or because the system was out of something.
    pub refused: u64,
    pub silent: u64,
    pub garbage: u64,
    pub displaced: u64,
    /// Times that video waited too long and was dropped up to the next key frame.
    pub cuts: u64,
    /// Opened by us, for relays.
    pub dialled: u64,
    /// Connections of relays that could not have the congestion control that was asked for.
    pub congestion_refused: u64,
}

impl ConnectionCounters {
    /// Sums.
    pub const fn and(self, other: Self) -> Self {
        Self {
            accepted: self.accepted + other.accepted,
            refused: self.refused + other.refused,
            silent: self.silent + other.silent,
            garbage: self.garbage + other.garbage,
            displaced: self.displaced + other.displaced,
            cuts: self.cuts + other.cuts,
            dialled: self.dialled + other.dialled,
            congestion_refused: self.congestion_refused + other.congestion_refused,
        }
    }
}

pub struct Connections {
    pub counters: ConnectionCounters,
    pub(super) open: HashMap<u32, Connection>,
    /// Without a valid check, the oldest first.
    pub(super) unproved: BTreeSet<u32>,
    /// With something to be written.
    pub(super) busy: BTreeSet<u32>,
    /// To and from the other threads.
    pub(super) crossing: Inboxes<Connection>,
    listener: Option<TcpListener>,
    census: Census,
    /// Found broken when it was written to.
    broken: Vec<(u32, End)>,
    /// Of relays' connections.
    congestion: String,
    paused_until: Option<Instant>,
    buffer: Vec<u8>,
}

impl Connections {
    /// `listener`: None where media go over UDP only, and where another thread takes the connections.
    /// `congestion`: the name of the congestion control that relays' connections are to have.
    pub fn new(
        listener: Option<TcpListener>,
        census: Census,
        crossing: Inboxes<Connection>,
        congestion: String,
    ) -> Self {
        Self {
            counters: ConnectionCounters::default(),
            open: HashMap::new(),
            unproved: BTreeSet::new(),
            busy: BTreeSet::new(),
            crossing,
            listener,
            census,
            broken: Vec::new(),
            congestion,
            paused_until: None,
            buffer: vec![0; 16 * 1024],
        }
    }

    /// Begin to take connections.
    ///
    /// # Errors
    /// When the kernel does not let us wait for them.
    pub fn start(&self, poller: &Poller) -> std::io::Result<()> {
        self.listener.as_ref().map_or(Ok(()), |listener| poller.add(listener, LISTENER))
    }

    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether `token` is one of ours.
    pub fn has(&self, token: u64) -> bool {
        token == LISTENER || u32::try_from(token).is_ok_and(|number| self.open.contains_key(&number))
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        let unproved = self.unproved.first().and_then(|number| self.open.get(number));
        let busy = self.busy.iter().filter_map(|number| self.open.get(number));
        let late = busy.flat_map(|connection| [connection.queue.deadline(), connection.hangs_up]).flatten();
        late.chain(unproved.map(|connection| connection.accepted + UNPROVED_TIME)).chain(self.paused_until).min()
    }

    /// Take over one that we have opened; its name. None: the system is out of something.
    pub fn adopt(
        &mut self,
        stream: TcpStream,
        (number, peer): (u32, SocketAddr),
        poller: &Poller,
        now: Instant,
    ) -> Option<SocketAddr> {
        poller.want_writable(&stream, u64::from(number), false).ok()?;
        let name = tcp::named(number, peer);
        self.counters.dialled += 1;
        self.open.insert(number, Connection::new(stream, name, self.census.seat(), now));
        Some(name)
    }

    /// A descriptor of ours is ready.
    pub fn on_ready(
        &mut self,
        event: Ready,
        poller: &Poller,
        node: &mut Node,
        counters: &mut ThreadCounters,
        now: Instant,
    ) {
        let Some(number) = u32::try_from(event.token).ok().filter(|_| event.token != LISTENER) else {
            return self.accept(poller, node, now);
        };
        if event.writable {
            self.write(number, poller, now);
            self.tell_writable(number, node);
        }
        let Some(connection) = self.open.get_mut(&number).filter(|_| event.readable) else { return };
        let read = connection.read(&mut self.buffer, node, counters, now);
        if connection.inlet.is_proved() {
            self.unproved.remove(&number);
        }
        node.on_batch_end(now);
        match read {
            Ok(Course::To(thread)) => self.depart(number, thread, poller),
            Ok(course) => end_of(course).into_iter().for_each(|end| self.close(number, end, node, now)),
            Err(end) => self.close(number, end, node, now),
        }
    }

    /// What time has brought, and sessions that are over.
    pub fn on_timeout(&mut self, poller: &Poller, node: &mut Node, now: Instant) {
        if self.paused_until.is_some_and(|until| until <= now) {
            self.paused_until = None;
            // Failing means that nobody is taken until the next pause: the system is out of something still.
            let _ = self.start(poller);
        }
        while let Some(number) = self.unproved.first().copied()
            && self.open.get(&number).is_none_or(|connection| connection.accepted + UNPROVED_TIME <= now)
        {
            self.close(number, End::Silent, node, now);
        }
        for number in self.busy.iter().copied().collect::<Vec<_>>() {
            self.check_queue(number, node, now);
        }
        self.hang_up(node, now);
    }

    /// Queue a datagram for the connection of that name; gone ones take nothing.
    pub fn push(&mut self, name: SocketAddr, datagram: &[u8], lane: Lane, now: Instant) {
        if let Some(connection) = tcp::number(name).and_then(|number| self.open.get_mut(&number)) {
            connection.push(datagram, lane, now);
        }
    }

    /// Write what was queued.
    pub fn flush(&mut self, name: SocketAddr, poller: &Poller, now: Instant) {
        if let Some(number) = tcp::number(name) {
            self.write(number, poller, now);
        }
    }

    pub fn is_behind(&self, name: SocketAddr) -> bool {
        tcp::number(name).and_then(|number| self.open.get(&number)).is_some_and(|found| found.queue.is_behind())
    }

    /// Send on what follows its session, close what broke while it was written to, and what has nothing more to say.
    pub fn clear_up(&mut self, poller: &Poller, node: &mut Node, now: Instant) {
        // Before any is closed: that is to be heard where the session is.
        for (name, to) in std::mem::take(&mut node.departures) {
            self.follow(name, to, poller);
        }
        for (number, end) in std::mem::take(&mut self.broken) {
            self.close(number, end, node, now);
        }
        for number in self.busy.iter().copied().collect::<Vec<_>>() {
            self.check_queue(number, node, now);
        }
        // Not before: their goodbyes are queued by now.
        for name in std::mem::take(&mut node.hang_ups) {
            let Some(number) = tcp::number(name) else { continue };
            if let Some(connection) = self.open.get_mut(&number) {
                connection.hangs_up.get_or_insert(now + HANG_UP);
                self.busy.insert(number);
            }
        }
        self.hang_up(node, now);
        for name in std::mem::take(&mut node.relay_connections) {
            self.favour(name);
        }
    }

    /// It carries a relay: where losses are no sign of a full path, the system's congestion control may be too timid.
    fn favour(&mut self, name: SocketAddr) {
        let Some(connection) = tcp::number(name).and_then(|number| self.open.get_mut(&number)) else { return };
        connection.queue.hurry();
        if use_congestion_control(&connection.stream, &self.congestion).is_err() {
            self.counters.congestion_refused += 1;
        }
    }

    fn accept(&mut self, poller: &Poller, node: &mut Node, now: Instant) {
        for _ in 0..ACCEPTS {
            let Some(listener) = &self.listener else { return };
            match accept(listener) {
                Ok(_) if self.census.is_full() => self.counters.refused += 1,
                Ok((stream, peer)) => {
                    let (number, seat) = (self.census.number(), self.census.seat());
                    if poller.add(&stream, u64::from(number)).is_err() {
                        self.counters.refused += 1;
                        continue;
                    }
                    self.counters.accepted += 1;
                    self.open.insert(number, Connection::new(stream, tcp::named(number, peer), seat, now));
                    self.unproved.insert(number);
                    self.make_room(node, now);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // Gone before we came to it.
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {}
                Err(_) => {
                    self.counters.refused += 1;
                    self.paused_until = Some(now + PAUSE);
                    // Level-triggered: it would wake us again at once.
                    let _ = poller.remove(listener);
                    return;
                }
            }
        }
    }

    /// For a connection that is being opened.
    pub fn new_number(&self) -> u32 {
        self.census.number()
    }

    pub(super) fn make_room(&mut self, node: &mut Node, now: Instant) {
        while self.unproved.len() > UNPROVED
            && let Some(oldest) = self.unproved.first().copied()
        {
            self.close(oldest, End::Displaced, node, now);
        }
    }

    pub(super) fn write(&mut self, number: u32, poller: &Poller, now: Instant) {
        let Some(connection) = self.open.get_mut(&number) else { return };
        if connection.queue.drop_late(now) {
            // While media are being sent the node cannot be told: in `clear_up`.
            connection.was_cut = true;
        }
        match connection.write() {
            Ok(all) => {
                if connection.waits == all {
                    connection.waits = !all;
                    // Failing means that it is not registered: our own bug; what waits is dropped when it is late.
                    let _ = poller.want_writable(&connection.stream, u64::from(number), !all);
                }
                if all && !connection.was_cut && connection.hangs_up.is_none() {
                    self.busy.remove(&number);
                } else {
                    self.busy.insert(number);
                }
            }
            Err(end) => self.broken.push((number, end)),
        }
    }

    fn tell_writable(&self, number: u32, node: &mut Node) {
        if let Some(connection) = self.open.get(&number).filter(|connection| !connection.queue.is_behind()) {
            node.on_connection_writable(connection.name);
        }
    }

    fn check_queue(&mut self, number: u32, node: &mut Node, now: Instant) {
        let Some(connection) = self.open.get_mut(&number) else {
            self.busy.remove(&number);
            return;
        };
        if connection.queue.drop_late(now) || std::mem::take(&mut connection.was_cut) {
            self.counters.cuts += 1;
            node.on_connection_cut(connection.name, now);
        }
        if connection.queue.is_empty() && connection.hangs_up.is_none() {
            self.busy.remove(&number);
        }
    }

    /// Let those go whose session is over: when all is sent, or soon.
    fn hang_up(&mut self, node: &mut Node, now: Instant) {
        let over =
            |connection: &Connection| connection.hangs_up.is_some_and(|at| at <= now || connection.queue.is_empty());
        let done: Vec<u32> =
            self.busy.iter().copied().filter(|number| self.open.get(number).is_some_and(over)).collect();
        for number in done {
            self.close(number, End::HungUp, node, now);
        }
    }

    pub(super) fn close(&mut self, number: u32, end: End, node: &mut Node, now: Instant) {
        self.unproved.remove(&number);
        self.busy.remove(&number);
        let Some(connection) = self.open.remove(&number) else { return };
        match end {
            End::Silent => self.counters.silent += 1,
            End::Garbage => self.counters.garbage += 1,
            End::Displaced => self.counters.displaced += 1,
            End::Closed | End::HungUp => {}
        }
        node.on_connection_closed(connection.name, now);
    }
}
