//! How a TCP connection's peer is named among addresses: as an IPv6 address whose flow information is the connection's number.
//!
//! Invariant: no name equals the address of a UDP peer, for which the kernel always gives 0 there, nor that of another connection,
//! for no number is used twice. So everything that knows peers by address holds for both, and a port that was used again is another peer.

use std::collections::VecDeque;
use std::net::{SocketAddr, SocketAddrV6};

/// The flow label of IPv6 has 20 bits, but nothing of this is ever sent: a number has all 32, and is never 0.
pub const MAX_NUMBER: u32 = u32::MAX;
/// Connections remembered for one session.
const REMEMBERED: usize = 8;

/// The name of connection `number` (not 0) with `peer`.
#[must_use]
pub fn named(number: u32, peer: SocketAddr) -> SocketAddr {
    let (ip, scope) = match peer {
        SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped(), 0),
        SocketAddr::V6(v6) => (*v6.ip(), v6.scope_id()),
    };
    SocketAddr::V6(SocketAddrV6::new(ip, peer.port(), number, scope))
}

/// The number of the connection that `address` names. None: it is an address of UDP.
#[must_use]
pub fn number(address: SocketAddr) -> Option<u32> {
    match address {
        SocketAddr::V6(v6) if v6.flowinfo() != 0 => Some(v6.flowinfo()),
        _ => None,
    }
}

/// The address as such, for people and for the protocol.
#[must_use]
pub fn plain(address: SocketAddr) -> SocketAddr {
    let SocketAddr::V6(v6) = address else { return address };
    if v6.flowinfo() == 0 {
        return address;
    }
    let whole = SocketAddrV6::new(*v6.ip(), v6.port(), 0, v6.scope_id());
    v6.ip().to_ipv4_mapped().map_or(SocketAddr::V6(whole), |v4| SocketAddr::from((v4, v6.port())))
}

/// The connections that valid checks came on: ICE agents know their peers by plain addresses.
#[derive(Debug, Default)]
pub struct Connections {
    names: VecDeque<SocketAddr>,
}

impl Connections {
    /// A valid check came from `address`.
    pub fn note(&mut self, address: SocketAddr) {
        if number(address).is_none() || self.names.back() == Some(&address) {
            return;
        }
        self.forget(address);
        self.names.push_back(address);
        if self.names.len() > REMEMBERED {
            self.names.pop_front();
        }
    }

    pub fn forget(&mut self, address: SocketAddr) {
        self.names.retain(|name| *name != address);
    }

    /// The newest connection with `peer`.
    #[must_use]
    pub fn with(&self, peer: SocketAddr) -> Option<SocketAddr> {
        self.names.iter().rev().copied().find(|name| plain(*name) == peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_has_a_name_of_its_own_that_leads_back_to_its_peer() {
        for text in ["192.0.2.7:7000", "[2001:db8::1]:65535", "[fe80::1%3]:9"] {
            let peer: SocketAddr = text.parse().unwrap();
            let (first, second) = (named(1, peer), named(MAX_NUMBER, peer));
            assert!(first != second && first != peer, "{text}");
            assert_eq!((number(first), number(second), number(peer)), (Some(1), Some(MAX_NUMBER), None), "{text}");
            assert_eq!((plain(first), plain(second), plain(peer)), (peer, peer, peer), "{text}");
        }
    }

    #[test]
    fn of_several_connections_with_one_address_the_newest_that_is_open_counts() {
        let peer: SocketAddr = "192.0.2.7:7000".parse().unwrap();
        let mut connections = Connections::default();
        connections.note(peer);
        assert_eq!(connections.with(peer), None, "UDP");
        connections.note(named(1, peer));
        connections.note(named(2, peer));
        assert_eq!(connections.with(peer), Some(named(2, peer)));
        connections.forget(named(2, peer));
        assert_eq!(connections.with(peer), Some(named(1, peer)));
        for number in 10..100 {
            connections.note(named(number, peer));
        }
        assert_eq!((connections.names.len(), connections.with(peer)), (REMEMBERED, Some(named(99, peer))));
    }
}
