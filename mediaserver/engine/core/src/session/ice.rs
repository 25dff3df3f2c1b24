//! The ICE sessions of one WebRTC session: the one that str0m runs, and after a restart one of our own beside it (RFC 8445, 9).
//!
//! str0m restarts by forgetting: its old pairs and credentials are gone before the new ones have found a way. So a restart gets
//! an agent of its own from the same crate, and the old one lives until the peer has nominated a pair of the new.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use is::stun::{StunMessage, StunPacket};
use is::{Candidate, IceAgent, IceCreds, Protocol};
use str0m::net::TcpType;

use super::agent::hosts;
use super::callers::Callers;
use super::path::Path;
use crate::dtls;
use crate::stun::{Class, Message};
use crate::tcp::{self, Connections};

/// A restart that leads to no nomination is forgotten after this; the ICE session before it stands.
pub const RESTART_TIMEOUT: Duration = Duration::from_secs(30);

pub struct Ice {
    pub local: IceCreds,
    pub peer: IceCreds,
    pub path: Path,
    /// Our addresses as the agent knows them: what a datagram is said to have been sent to.
    pub addresses: Vec<SocketAddr>,
    /// Whether we have them for TCP too.
    pub tcp: bool,
    pub connections: Connections,
    pub began: Instant,
    callers: Callers,
    /// None: str0m's own runs it.
    agent: Option<Box<IceAgent>>,
}

impl Ice {
    /// The ICE session that str0m runs. `follows`: the peer nominates.
    #[must_use]
    pub fn of_str0m(
        local: IceCreds,
        peer: IceCreds,
        (addresses, tcp): (Vec<SocketAddr>, bool),
        follows: bool,
        now: Instant,
    ) -> Self {
        let (path, connections, callers) = (Path::new(follows, now), Connections::default(), Callers::default());
        Self { local, peer, path, addresses, tcp, connections, began: now, callers, agent: None }
    }

    /// A restarted one: it answers checks and goes only where valid ones came from, as str0m's does. `heard`: when the peer last
    /// consented.
    #[must_use]
    pub fn restarted(
        local: IceCreds,
        peer: IceCreds,
        (addresses, tcp): (Vec<SocketAddr>, bool),
        heard: Instant,
        now: Instant,
    ) -> Self {
        let (path, connections, callers) = (Path::restarted(heard, now), Connections::default(), Callers::default());
        let mut ice = Self { local, peer, path, addresses, tcp, connections, began: now, callers, agent: None };
        ice.renew(now);
        ice
    }

    /// A valid request came from `from`. False: the agent is shown no more addresses. `renewable`: another agent of our own may
    /// take its place.
    pub fn admit(&mut self, from: SocketAddr, bytes: usize, renewable: bool, now: Instant) -> bool {
        if self.callers.admit(from, bytes) {
            return true;
        }
        if renewable {
            self.callers.clear();
            self.renew(now);
        }
        renewable && self.callers.admit(from, bytes)
    }

    /// Whether so many bytes may go to `to`. A peer that we have called is who its answer to our offer says, and a connection has
    /// proved its address by its handshake.
    pub fn may_send(&mut self, to: SocketAddr, bytes: usize) -> bool {
        !self.path.follows() || tcp::number(to).is_some() || self.path.has_proved(to) || self.callers.charge(to, bytes)
    }

    /// How many addresses our own agent remembers.
    #[cfg(test)]
    pub fn known_addresses(&self) -> usize {
        self.agent.as_ref().map_or(0, |agent| agent.remote_candidates().count())
    }

    /// Begin with an agent of our own that has heard of nobody but the peer where it is.
    fn renew(&mut self, now: Instant) {
        let mut agent = IceAgent::with_hmac(self.local.clone(), dtls::hmac());
        agent.set_remote_credentials(self.peer.clone());
        for candidate in self.addresses.iter().flat_map(|address| hosts(*address, (true, self.tcp))) {
            agent.add_local_candidate(candidate);
        }
        if let Some(candidate) = self.path.nominated().and_then(of_peer) {
            agent.add_remote_candidate(candidate);
        }
        agent.handle_timeout(now);
        self.agent = Some(Box::new(agent));
    }

    #[must_use]
    pub const fn is_of_str0m(&self) -> bool {
        self.agent.is_none()
    }

    /// Whether `message` belongs to this ICE session by its integrity.
    #[must_use]
    pub fn vouches_for(&self, message: &Message<'_>) -> bool {
        match message.class {
            Class::Request => {
                message.local_ufrag() == Some(&self.local.ufrag) && message.is_from_holder_of(&self.local.pass)
            }
            Class::Success => self.path.awaits(message) && message.is_from_holder_of(&self.peer.pass),
            Class::Other => false,
        }
    }

    /// Note a message that it vouches for. Some: it proves `from`; the round trip.
    pub fn on_stun(&mut self, message: &Message<'_>, from: SocketAddr, now: Instant) -> Option<Duration> {
        self.connections.note(from);
        match message.class {
            Class::Request => {
                self.path.on_request(message, from, now);
                None
            }
            Class::Success => self.path.on_response(message, from, now),
            Class::Other => None,
        }
    }

    /// An answer with the mapped address that we know. `FFmpeg` leaves it out, and agents drop what lacks it; and of each other one
    /// that a peer likes to name they make a candidate that they never forget. None: it is no answer.
    #[must_use]
    pub fn completed(&self, message: &Message<'_>, from: SocketAddr) -> Option<Vec<u8>> {
        let mapped = self.local_for(from).filter(|_| message.class == Class::Success)?;
        Some(message.mapped_to(mapped, &self.peer.pass))
    }

    /// Let our own agent read the same message; the answer and its own check leave at once.
    pub fn receive(&mut self, datagram: &[u8], from: SocketAddr, now: Instant) {
        let Some(destination) = self.local_for(from) else { return };
        let Some(agent) = &mut self.agent else { return };
        let Ok(message) = StunMessage::parse(datagram) else { return };
        let (proto, source) = (protocol(from), tcp::plain(from));
        agent.handle_packet(now, StunPacket { proto, source, destination, message });
        agent.handle_timeout(now);
    }

    pub fn on_timeout(&mut self, now: Instant) {
        if self.deadline().is_some_and(|at| at <= now)
            && let Some(agent) = &mut self.agent
        {
            agent.handle_timeout(now);
        }
    }

    /// When our own agent wants `on_timeout`.
    pub fn deadline(&mut self) -> Option<Instant> {
        self.agent.as_mut()?.poll_timeout()
    }

    /// A message of our own agent and where it goes.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<(SocketAddr, Vec<u8>)> {
        loop {
            let agent = self.agent.as_mut()?;
            // Which pair counts is read off the messages, by `path`.
            while agent.poll_event().is_some() {}
            let transmit = agent.poll_transmit()?;
            let Some(to) = self.peer(transmit.proto, transmit.destination) else { continue };
            let datagram: Vec<u8> = transmit.contents.into();
            if !self.may_send(to, datagram.len()) {
                continue;
            }
            self.path.on_sent(&datagram, to, now);
            return Some((to, datagram));
        }
    }

    /// A connection of our own to the peer is open.
    pub fn on_dialled(&mut self, connection: SocketAddr) {
        self.connections.note(connection);
    }

    /// A connection is closed: nothing goes there any more.
    pub fn on_connection_closed(&mut self, connection: SocketAddr) {
        self.connections.forget(connection);
        self.path.forget(connection);
    }

    /// Whom an agent means by an address. None: a connection that is closed.
    #[must_use]
    pub fn peer(&self, protocol: Protocol, address: SocketAddr) -> Option<SocketAddr> {
        if protocol == Protocol::Udp { Some(address) } else { self.connections.with(address) }
    }

    /// The address of ours that stands for the one the datagram came to.
    #[must_use]
    pub fn local_for(&self, from: SocketAddr) -> Option<SocketAddr> {
        let from = tcp::plain(from);
        self.addresses.iter().copied().find(|address| address.is_ipv4() == from.is_ipv4())
    }
}

fn of_peer(address: SocketAddr) -> Option<Candidate> {
    let plain = tcp::plain(address);
    match protocol(address) {
        Protocol::Tcp => Candidate::builder().tcp().host(plain).tcptype(TcpType::Active).build(),
        _ => Candidate::builder().udp().host(plain).build(),
    }
    .ok()
}

/// By what an agent is told that a datagram came.
#[must_use]
pub fn protocol(from: SocketAddr) -> Protocol {
    if tcp::number(from).is_some() { Protocol::Tcp } else { Protocol::Udp }
}
