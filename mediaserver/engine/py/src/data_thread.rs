//! A thread that owns sockets and their node: waits, reads, turns, sends.
//!
//! Invariant: it never blocks but in `Poller::wait`, and never there longer than `LONGEST_WAIT`.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver as Commands, SyncSender, TryRecvError};
use std::time::{Duration, Instant};

use rivulet_core::egress::{Egress, Flow, Message};
use rivulet_core::node::{Node, SessionId, Socket, Transmit};
use rivulet_core::tcp::{self, Lane};
use rivulet_udp::{Outgoing, Poller, Receiver, SendCounters, Sender, Waker, connect};
use smallvec::SmallVec;

use crate::connections::Connections;
use crate::dialling::Dialling;
use crate::events::EventQueue;

const WAKER: u64 = 0;
const SHARED: u64 = 1;
/// Even with nothing to do the thread turns: its ticks are the liveness.
const LONGEST_WAIT: Duration = Duration::from_millis(250);
/// Datagrams a call, and calls a turn: then what is to be sent comes first again.
const BATCH: usize = 64;
const BATCHES: usize = 8;
/// Datagrams of ICE and DTLS that wait for a full socket; more are dropped (they are repeated anyway).
const WAITING: usize = 4_096;

/// Something that another thread wants done here.
pub type Command = Box<dyn FnOnce(&mut DataThread, Instant) + Send>;

/// Counters of the thread itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct ThreadCounters {
    pub packets_received: u64,
    pub bytes_received: u64,
    pub ticks: u64,
    /// Worst since it was last read.
    pub lateness: Duration,
}

pub struct DataThread {
    pub node: Node,
    pub counters: ThreadCounters,
    stopping: bool,
    /// Dropped when the thread is over: who waits for that hears of it.
    done: Option<SyncSender<()>>,
    pub connections: Connections,
    dialling: Dialling,
    shared: UdpSocket,
    own: HashMap<SessionId, UdpSocket>,
    poller: Poller,
    /// Of all data threads, this one among them.
    wakers: Vec<Arc<Waker>>,
    commands: Commands<Command>,
    events: Arc<EventQueue>,
    receiver: Receiver,
    sender: Sender,
    waiting: VecDeque<Transmit>,
    /// What of a message is still to leave before anything else does.
    rest: Option<(SocketAddr, Vec<u8>, usize)>,
    /// The kernel takes no more on the shared socket.
    blocked: bool,
    /// Whether we wait for its being writable. Left on, that would end every turn's wait at once.
    waits: bool,
}

impl DataThread {
    /// # Errors
    /// When the process is out of descriptors.
    pub fn new(
        node: Node,
        (shared, connections): (UdpSocket, Connections),
        wakers: Vec<Arc<Waker>>,
        commands: Commands<Command>,
        events: Arc<EventQueue>,
    ) -> io::Result<Self> {
        let poller = Poller::new()?;
        if let Some(waker) = wakers.get(node.me()) {
            poller.add(&**waker, WAKER)?;
        }
        poller.add(&shared, SHARED)?;
        connections.start(&poller)?;
        let dialling = Dialling::new(shared.local_addr()?.ip());
        Ok(Self {
            node,
            connections,
            dialling,
            counters: ThreadCounters::default(),
            stopping: false,
            done: None,
            shared,
            own: HashMap::new(),
            poller,
            wakers,
            commands,
            events,
            receiver: Receiver::new(BATCH),
            sender: Sender::default(),
            waiting: VecDeque::new(),
            rest: None,
            blocked: false,
            waits: false,
        })
    }

    pub fn run(mut self) {
        while !self.stopping {
            // The node ends whom a panic is about; of any other the rest of the turn is lost. A turn that never gets to its end
            // ticks no more, and that is what the liveness asks for.
            drop(catch_unwind(AssertUnwindSafe(|| self.turn())));
        }
        self.events.wake();
        let done = self.done.take();
        drop(self);
        // The sockets are closed too.
        drop(done);
    }

    /// Let this turn be the last; `done` is dropped when it is over.
    pub fn stop(&mut self, done: SyncSender<()>) {
        self.stopping = true;
        self.done = Some(done);
    }

    /// Read datagrams of `socket` for session `id` from now on.
    ///
    /// # Errors
    /// When the kernel does not let us wait for it.
    pub fn add_own_socket(&mut self, id: SessionId, socket: UdpSocket) -> io::Result<()> {
        self.poller.add(&socket, id)?;
        self.own.insert(id, socket);
        Ok(())
    }

    pub fn drop_own_socket(&mut self, id: SessionId) {
        self.own.remove(&id);
    }

    pub const fn send_counters(&self) -> SendCounters {
        self.sender.counters
    }

    fn turn(&mut self) {
        let before = Instant::now();
        let tcp = [self.connections.next_deadline(), self.dialling.next_deadline()];
        let due = self.node.next_deadline().into_iter().chain(tcp.into_iter().flatten()).min();
        let wait = due.map_or(LONGEST_WAIT, |at| at.saturating_duration_since(before)).min(LONGEST_WAIT);
        // An error here is our own bug (a bad descriptor): the next turn waits again, timers go on.
        let ready = self.poller.wait(wait).unwrap_or_default();
        let now = Instant::now();
        if let Some(at) = due.filter(|at| *at <= now) {
            self.counters.lateness = self.counters.lateness.max(now.saturating_duration_since(at.max(before)));
        }
        for event in ready {
            match event.token {
                WAKER => self.wakers[self.node.me()].clear(),
                SHARED => {
                    self.blocked &= !event.writable;
                    if event.readable {
                        self.read(Socket::Shared, now);
                    }
                }
                token if self.dialling.has(token) => {
                    let Self { dialling, connections, poller, node, .. } = self;
                    dialling.on_ready(event, poller, connections, node, now);
                }
                token if self.connections.has(token) => {
                    let Self { connections, poller, node, counters, .. } = self;
                    connections.on_ready(event, poller, node, counters, now);
                }
                id => self.read(Socket::Own(id), now),
            }
        }
        self.connections.take_arrivals(&self.poller, &mut self.node, now);
        self.node.on_words(now);
        self.run_commands(now);
        self.dial(now);
        self.connections.on_timeout(&self.poller, &mut self.node, now);
        self.node.on_timeout(now);
        // They seal while we do.
        self.wake_others();
        self.send(now);
        self.let_handshakes_on(now);
        self.clear_up(now);
        self.wake_others();
        self.counters.ticks += 1;
    }

    /// Open the connections that relays want.
    fn dial(&mut self, now: Instant) {
        let Self { dialling, connections, poller, node, .. } = self;
        node.dials.drain(..).for_each(|wanted| dialling.begin(wanted, now));
        dialling.on_timeout(poller, connections, node, now);
    }

    fn let_handshakes_on(&mut self, now: Instant) {
        if self.node.has_handshakes() {
            self.node.on_handshakes_in_turn(now, &mut Instant::now);
            self.send(now);
        }
    }

    fn wake_others(&mut self) {
        let wakes = self.node.take_wakes() | self.connections.take_wakes();
        for (_, waker) in self.wakers.iter().enumerate().filter(|(at, _)| wakes >> at & 1 == 1) {
            waker.wake();
        }
    }

    fn run_commands(&mut self, now: Instant) {
        loop {
            match self.commands.try_recv() {
                // A command that panics answers nobody: its caller is told so by the closed channel.
                Ok(command) => {
                    // The session that it is about may have been handed over just before.
                    self.node.on_words(now);
                    drop(catch_unwind(AssertUnwindSafe(|| command(self, now))));
                }
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    self.stopping = true;
                    return;
                }
            }
        }
    }

    fn read(&mut self, socket: Socket, now: Instant) {
        for _ in 0..BATCHES {
            let source = match socket {
                Socket::Shared => Some(&self.shared),
                Socket::Own(id) => self.own.get(&id),
            };
            let Some(source) = source else { return };
            let Ok(count) = self.receiver.receive(source) else { return };
            for (from, datagram) in self.receiver.datagrams() {
                self.counters.packets_received += 1;
                self.counters.bytes_received += datagram.len() as u64;
                self.node.on_datagram(socket, from, datagram, now);
            }
            self.node.on_batch_end(now);
            if count < BATCH {
                return;
            }
        }
    }

    fn send(&mut self, now: Instant) {
        self.waiting.extend(self.node.transmits.drain(..));
        while self.waiting.len() > WAITING {
            self.waiting.pop_front();
        }
        if !self.blocked {
            self.send_rest(now);
        }
        self.send_waiting(now);
        if !self.blocked {
            let Self { shared: socket, sender, rest, connections, poller, .. } = self;
            let mut egress = SocketEgress { socket, sender, rest, connections, poller, now };
            let flow = self.node.poll_transmit(now, &mut egress);
            self.blocked |= flow == Flow::Blocked || self.rest.is_some();
        }
        // Failing means that the socket is not registered: our own bug; the next turn tries again.
        if self.blocked != self.waits && self.poller.want_writable(&self.shared, SHARED, self.blocked).is_ok() {
            self.waits = self.blocked;
        }
    }

    fn send_rest(&mut self, now: Instant) {
        if let Some((to, bytes, segment)) = self.rest.take() {
            let progress = self.sender.send(&self.shared, &[Outgoing { to, bytes: &bytes, segment }], now);
            if progress.messages == 0 {
                self.rest = Some((to, bytes[progress.bytes_of_next..].to_vec(), segment));
                self.blocked = true;
            }
        }
    }

    /// ICE, DTLS and our reports.
    fn send_waiting(&mut self, now: Instant) {
        let mut kept = VecDeque::new();
        while let Some(transmit) = self.waiting.pop_front() {
            if tcp::number(transmit.to).is_some() {
                self.connections.push(transmit.to, &transmit.datagram, Lane::Urgent, now);
                self.connections.flush(transmit.to, &self.poller, now);
                continue;
            }
            let socket = match transmit.socket {
                Socket::Shared if self.blocked => {
                    kept.push_back(transmit);
                    continue;
                }
                Socket::Shared => &self.shared,
                Socket::Own(id) => match self.own.get(&id) {
                    Some(socket) => socket,
                    None => continue,
                },
            };
            let Transmit { to, datagram, .. } = &transmit;
            let outgoing = Outgoing { to: *to, bytes: datagram, segment: datagram.len() };
            let progress = self.sender.send(socket, &[outgoing], now);
            if progress.blocked && transmit.socket == Socket::Shared {
                self.blocked = true;
                kept.push_back(transmit);
            }
        }
        self.waiting = kept;
    }

    /// Connect settled relays' sockets, close those of ended ones, pass events on.
    fn clear_up(&mut self, now: Instant) {
        self.connections.clear_up(&self.poller, &mut self.node, now);
        for (id, peer) in self.node.settled.drain(..) {
            if let Some(socket) = self.own.get(&id) {
                // Not connected is as good: datagrams from elsewhere are dropped by the node too.
                let _ = connect(socket, peer);
            }
        }
        for id in self.node.ended.drain(..) {
            self.own.remove(&id);
            self.dialling.forget(id);
        }
        self.events.extend(self.node.events.drain(..));
    }
}

struct SocketEgress<'a> {
    socket: &'a UdpSocket,
    sender: &'a mut Sender,
    rest: &'a mut Option<(SocketAddr, Vec<u8>, usize)>,
    connections: &'a mut Connections,
    poller: &'a Poller,
    now: Instant,
}

impl Egress for SocketEgress<'_> {
    fn send(&mut self, messages: &[Message], bytes: &[u8]) -> usize {
        let mut done = 0;
        let by_tcp = |message: &Message| tcp::number(message.destination).is_some();
        for group in messages.chunk_by(|one, next| by_tcp(one) == by_tcp(next)) {
            if by_tcp(&group[0]) {
                for message in group {
                    self.send_on_connection(message, bytes);
                }
                done += group.len();
                continue;
            }
            let sent = self.send_datagrams(group, bytes);
            done += sent;
            if sent < group.len() {
                break;
            }
        }
        done
    }

    fn is_behind(&self, destination: SocketAddr) -> bool {
        self.connections.is_behind(destination)
    }
}

impl SocketEgress<'_> {
    /// A connection takes everything; that it is behind holds back what would come next. What has waited in the log may wait less here.
    fn send_on_connection(&mut self, message: &Message, bytes: &[u8]) {
        let since = message.since.unwrap_or(self.now);
        let whole = &bytes[message.start..message.start + message.len];
        for datagram in whole.chunks(usize::from(message.segment).max(1)) {
            self.connections.push(message.destination, datagram, message.lane, since);
        }
        self.connections.flush(message.destination, self.poller, self.now);
    }

    fn send_datagrams(&mut self, messages: &[Message], bytes: &[u8]) -> usize {
        if self.rest.is_some() {
            return 0;
        }
        let outgoing: SmallVec<[Outgoing<'_>; BATCH]> = messages
            .iter()
            .map(|m| Outgoing {
                to: m.destination,
                bytes: &bytes[m.start..m.start + m.len],
                segment: usize::from(m.segment),
            })
            .collect();
        let progress = self.sender.send(self.socket, &outgoing, self.now);
        if progress.bytes_of_next == 0 {
            return progress.messages;
        }
        // The kernel took a part of a message: the other part is kept here and leaves first.
        let half = &outgoing[progress.messages];
        *self.rest = Some((half.to, half.bytes[progress.bytes_of_next..].to_vec(), half.segment));
        progress.messages + 1
    }
}
