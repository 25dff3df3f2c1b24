//! Relays over TCP as the node sees them: it says whom to dial, and hears what came of it (RFC 6544, active side).
//!
//! Invariant: such a session has one connection in its life, and ends with it.

use std::net::SocketAddr;
use std::time::Instant;

use str0m::net::{Protocol, TcpType};

use super::pull::hosts;
use super::{Node, SessionId};
use crate::negotiation::Offer;
use crate::session::Session;

/// Addresses of a parent that are tried: the one in its pod, and four outside.
const MOST_ADDRESSES: usize = 5;

/// A connection that a session of ours wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dial {
    pub session: SessionId,
    /// The parent's, the best first; one connection to any of them is enough.
    pub to: Vec<SocketAddr>,
}

impl Node {
    /// The parent has answered: its addresses are to be dialled.
    pub(super) fn dial(&mut self, session: SessionId, answer: &Offer, now: Instant) {
        let takes = hosts(answer, Protocol::Tcp).into_iter().filter(|c| c.tcptype() == Some(TcpType::Passive));
        let to: Vec<SocketAddr> = takes.map(|candidate| candidate.addr()).take(MOST_ADDRESSES).collect();
        if to.is_empty() {
            self.on_unreachable(session, now);
        } else {
            self.dials.push(Dial { session, to });
        }
    }

    /// The connection is open, under this name. Checks start at once.
    pub fn on_dialled(&mut self, session: SessionId, connection: SocketAddr, now: Instant) {
        if !self.sessions.contains_key(&session) {
            self.hang_ups.push(connection);
            return;
        }
        self.bind(session, connection);
        self.turn(session, now, |pulled| pulled.start_on(connection, now));
        self.settle(now);
    }

    /// None of the addresses took a connection.
    pub fn on_unreachable(&mut self, session: SessionId, now: Instant) {
        self.turn(session, now, Session::on_unreachable);
        self.settle(now);
    }
}
