//! Whose a datagram is: STUN by our user name, the rest by address (RFC 7983).

use std::net::SocketAddr;
use std::time::Instant;

use super::{Node, SessionId, Socket};
use crate::border::ViewerId;
use crate::inboxes::ThreadNumber;
use crate::session::{is_rtp, is_srtp};
use crate::stun::{self, Class, Message};
use crate::tcp;
use crate::trace::Direction;

/// How a datagram came here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Arrival {
    /// The thread whose socket it came in by.
    pub by: ThreadNumber,
    /// How often it was passed on.
    pub hops: u8,
}

/// Addresses that lead to one session.
const ADDRESSES: usize = 8;

impl Node {
    /// A datagram from the network. Whatever is in it, nothing of ours breaks.
    pub fn on_datagram(&mut self, socket: Socket, from: SocketAddr, datagram: &[u8], now: Instant) {
        // Who sent it need not be who is said to have sent it: a panic over it ends nobody.
        let known = self.spare(|node| {
            node.read(socket, from, datagram, now) || socket == Socket::Shared && node.pass_on(from, datagram, now)
        });
        if known != Some(true) {
            self.unknown_datagrams += 1;
        }
    }

    /// False: it is for no session of this thread.
    pub(super) fn read(&mut self, socket: Socket, from: SocketAddr, datagram: &[u8], now: Instant) -> bool {
        if stun::looks_like(datagram) {
            self.on_stun(socket, from, datagram, now)
        } else {
            self.on_payload(socket, from, datagram, now)
        }
    }

    /// After a batch of datagrams: pass on what they led to.
    pub fn on_batch_end(&mut self, now: Instant) {
        self.settle(now);
    }

    fn on_stun(&mut self, socket: Socket, from: SocketAddr, datagram: &[u8], now: Instant) -> bool {
        let Some(message) = Message::parse(datagram) else { return false };
        let Some(id) = self.session_of(socket, from, &message) else { return false };
        if message.class == Class::Request && socket == Socket::Shared {
            self.bind(id, from);
        }
        self.traces.datagram(id, Direction::In, from, datagram, now);
        self.give(id, from, datagram, now);
        true
    }

    /// The session that vouches for `message`.
    fn session_of(&self, socket: Socket, from: SocketAddr, message: &Message<'_>) -> Option<SessionId> {
        let candidates = match (socket, message.class) {
            (Socket::Own(id), _) => [Some(id), None],
            (Socket::Shared, Class::Request) => [self.by_ufrag.get(message.local_ufrag()?).copied(), None],
            (Socket::Shared, _) => [self.by_address.get(&from).copied(), self.claims.get(&from).copied()],
        };
        candidates
            .into_iter()
            .flatten()
            .find(|id| self.sessions.get(id).is_some_and(|entry| entry.session.vouches_for(message)))
    }

    fn on_payload(&mut self, socket: Socket, from: SocketAddr, datagram: &[u8], now: Instant) -> bool {
        let id = match socket {
            Socket::Own(id) => Some(id),
            Socket::Shared => self.by_address.get(&from).copied(),
        };
        let Some((id, entry)) = id.and_then(|id| Some((id, self.sessions.get(&id)?))) else { return false };
        if matches!(socket, Socket::Own(_)) && !entry.session.has_proved(from) {
            return false;
        }
        let (role, is_connected) = (entry.session.role, entry.session.is_connected());
        self.traces.datagram(id, Direction::In, from, datagram, now);
        if is_srtp(datagram) && role.is_link() && is_connected {
            return self.on_leg_datagram(id, datagram, now);
        }
        if is_srtp(datagram) && !role.receives() && !role.is_link() {
            return self.on_feedback(id, datagram, now);
        }
        if !is_srtp(datagram) && !is_dtls(datagram) {
            return false;
        }
        self.give(id, from, datagram, now);
        true
    }

    /// SRTCP of somebody we send to.
    fn on_feedback(&mut self, id: SessionId, datagram: &[u8], now: Instant) -> bool {
        let Some(viewer) = self.sessions.get(&id).and_then(|entry| entry.viewer) else { return false };
        if is_rtp(datagram) {
            return false;
        }
        self.on_viewer_feedback(id, viewer, datagram, now);
        true
    }

    /// A panic over it ends the session `id`, and only it.
    pub(super) fn on_viewer_feedback(&mut self, id: SessionId, viewer: ViewerId, datagram: &[u8], now: Instant) {
        self.guard(id, now, |node| node.forwarder.on_viewer_datagram(viewer, datagram, now));
    }

    /// A valid request came from `from`: it leads to `id` from now on, unless it leads to somebody else, who keeps it until
    /// our own check there was answered for `id`.
    pub(super) fn bind(&mut self, id: SessionId, from: SocketAddr) {
        match self.by_address.get(&from) {
            Some(owner) if *owner == id => {}
            Some(_) if !self.sessions.get(&id).is_some_and(|entry| entry.session.has_proved(from)) => {
                self.claims.insert(from, id);
                self.note_address(id, from);
            }
            _ => {
                self.by_address.insert(from, id);
                self.note_address(id, from);
            }
        }
    }

    /// Our check to `address` was answered: it is the session's.
    pub(super) fn on_proved(&mut self, id: SessionId, address: SocketAddr) {
        if self.sessions.get(&id).is_some_and(|entry| entry.socket == Socket::Shared) {
            self.claims.remove(&address);
            self.by_address.insert(address, id);
            self.note_address(id, address);
        }
    }

    fn note_address(&mut self, id: SessionId, address: SocketAddr) {
        let Some(entry) = self.sessions.get_mut(&id) else { return };
        if entry.addresses.contains(&address) {
            return;
        }
        entry.addresses.push_back(address);
        self.directory.note_address(address, self.inboxes.me());
        if entry.addresses.len() > ADDRESSES {
            let nominated = entry.session.remote();
            let oldest = entry.addresses.iter().position(|a| Some(*a) != nominated).unwrap_or(0);
            if let Some(dropped) = entry.addresses.remove(oldest) {
                self.hang_ups.extend(tcp::number(dropped).map(|_| dropped));
                self.forget_address(dropped, id);
            }
        }
    }

    pub(super) fn forget_address(&mut self, address: SocketAddr, id: SessionId) {
        self.unbind(address, id);
        if !self.by_address.contains_key(&address) && !self.claims.contains_key(&address) {
            self.directory.forget_address(address, self.inboxes.me());
        }
    }

    /// On this thread the address leads to the session no more.
    pub(super) fn unbind(&mut self, address: SocketAddr, id: SessionId) {
        for leads in [&mut self.by_address, &mut self.claims] {
            if leads.get(&address) == Some(&id) {
                leads.remove(&address);
            }
        }
    }
}

fn is_dtls(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|byte| (20..64).contains(byte))
}
