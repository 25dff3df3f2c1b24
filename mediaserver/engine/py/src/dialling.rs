//! Connections that we open: of a parent's addresses the first that takes one, tried with a head start each (RFC 8305).
//!
//! Invariant: a session that wants one hears exactly once what came of it, within `TIMEOUT`, unless it ends before.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rivulet_core::node::{Dial, Node, SessionId};
use rivulet_udp::{Poller, Ready, dial};

use crate::connections::Connections;

/// How long an address is tried before the next is tried beside it.
const HEAD_START: Duration = Duration::from_millis(250);
/// Two lost packets of a handshake (RFC 6298: after 1 and 3 s) are survived.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What a session waits for.
struct Wish {
    untried: VecDeque<SocketAddr>,
    next_at: Instant,
    give_up_at: Instant,
    /// Begun, by the connection's number.
    begun: HashMap<u32, (TcpStream, SocketAddr)>,
}

pub struct Dialling {
    /// Our own address, as bound.
    from: IpAddr,
    wishes: HashMap<SessionId, Wish>,
}

impl Dialling {
    pub fn new(from: IpAddr) -> Self {
        Self { from, wishes: HashMap::new() }
    }

    /// Whether `token` is a connection that is being opened.
    pub fn has(&self, token: u64) -> bool {
        self.session_of(token).is_some()
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        let next = |wish: &Wish| if wish.untried.is_empty() { wish.give_up_at } else { wish.next_at };
        self.wishes.values().map(next).min()
    }

    /// Open a connection; `on_timeout` in the same turn begins.
    pub fn begin(&mut self, wanted: Dial, now: Instant) {
        let wish = Wish { untried: wanted.to.into(), next_at: now, give_up_at: now + TIMEOUT, begun: HashMap::new() };
        self.wishes.insert(wanted.session, wish);
    }

    /// The session is gone.
    pub fn forget(&mut self, session: SessionId) {
        self.wishes.remove(&session);
    }

    /// One of them is open, or has failed.
    pub fn on_ready(
        &mut self,
        event: Ready,
        poller: &Poller,
        connections: &mut Connections,
        node: &mut Node,
        now: Instant,
    ) {
        let Some((session, number)) = self.session_of(event.token) else { return };
        let Some(wish) = self.wishes.get_mut(&session) else { return };
        let Some((stream, peer)) = wish.begun.remove(&number) else { return };
        let open = event.writable && stream.take_error().is_ok_and(|error| error.is_none());
        let Some(name) = open.then(|| connections.adopt(stream, (number, peer), poller, now)).flatten() else {
            wish.next_at = now;
            return;
        };
        // The others are closed with it.
        self.wishes.remove(&session);
        node.on_dialled(session, name, now);
    }

    /// Try what is to be tried, give up what has come to nothing.
    pub fn on_timeout(&mut self, poller: &Poller, connections: &mut Connections, node: &mut Node, now: Instant) {
        let mut hopeless = Vec::new();
        for (session, wish) in &mut self.wishes {
            while wish.next_at <= now
                && let Some(peer) = wish.untried.pop_front()
            {
                let number = connections.new_number();
                // One that fails at once leaves its turn to the next.
                if let Some(stream) = start(self.from, peer, number, poller) {
                    wish.begun.insert(number, (stream, peer));
                    wish.next_at = now + HEAD_START;
                }
            }
            if wish.give_up_at <= now || (wish.untried.is_empty() && wish.begun.is_empty()) {
                hopeless.push(*session);
            }
        }
        for session in hopeless {
            self.wishes.remove(&session);
            node.on_unreachable(session, now);
        }
    }

    fn session_of(&self, token: u64) -> Option<(SessionId, u32)> {
        let number = u32::try_from(token).ok()?;
        let session = self.wishes.iter().find(|(_, wish)| wish.begun.contains_key(&number))?.0;
        Some((*session, number))
    }
}

fn start(from: IpAddr, peer: SocketAddr, number: u32, poller: &Poller) -> Option<TcpStream> {
    let stream = dial(from, peer).ok()?;
    poller.add(&stream, u64::from(number)).ok()?;
    poller.want_writable(&stream, u64::from(number), true).ok()?;
    Some(stream)
}
