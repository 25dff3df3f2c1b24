//! The addresses that an ICE agent has heard of, and what those may be sent that have proved nothing.
//!
//! Invariants: an agent, which forgets no address, hears of few; and until an address has answered a check of ours it is sent at
//! most three times the bytes that came from it, and no datagram larger than its largest (as RFC 9000, 8.1, has it for QUIC).

use std::net::SocketAddr;

/// Addresses that one agent is shown. (A client with six interfaces and two ways by each has twelve.)
const MOST: usize = 16;
const AMPLIFICATION: usize = 3;

#[derive(Debug, Default)]
pub struct Callers(Vec<Caller>);

/// Where valid requests come from.
#[derive(Debug)]
struct Caller {
    address: SocketAddr,
    received: usize,
    largest: usize,
    sent: usize,
}

impl Callers {
    /// A valid request came from `address`. False: the agent has heard of enough others.
    pub fn admit(&mut self, address: SocketAddr, bytes: usize) -> bool {
        let known = self.0.iter_mut().find(|caller| caller.address == address);
        if let Some(caller) = known {
            caller.received += bytes;
            caller.largest = caller.largest.max(bytes);
        } else if self.0.len() < MOST {
            self.0.push(Caller { address, received: bytes, largest: bytes, sent: 0 });
        } else {
            return false;
        }
        true
    }

    /// Note a datagram that is to go to an address which has proved nothing. False: it must not.
    pub fn charge(&mut self, address: SocketAddr, bytes: usize) -> bool {
        let Some(caller) = self.0.iter_mut().find(|caller| caller.address == address) else { return false };
        let allowed = bytes <= caller.largest && caller.sent + bytes <= caller.received * AMPLIFICATION;
        if allowed {
            caller.sent += bytes;
        }
        allowed
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    #[test]
    fn an_address_that_proves_nothing_gets_three_times_what_it_sent_and_nothing_larger() {
        let mut callers = Callers::default();
        assert!(!callers.charge(address(1), 1), "nothing came from there");
        assert!(callers.admit(address(1), 92));
        assert!(!callers.charge(address(1), 93));
        assert!(callers.charge(address(1), 64) && callers.charge(address(1), 92) && callers.charge(address(1), 92));
        assert!(!callers.charge(address(1), 92), "with it more than 276 bytes");
        assert!(callers.admit(address(1), 92) && callers.charge(address(1), 92));
    }

    #[test]
    fn an_agent_hears_of_no_more_addresses_than_it_can_bear() {
        let mut callers = Callers::default();
        let admitted = (0..60_000).filter(|port| callers.admit(address(*port), 92)).count();
        assert_eq!((admitted, callers.0.len()), (MOST, MOST));
        assert!(callers.admit(address(3), 92), "it is known");
        callers.clear();
        assert!(callers.admit(address(100), 92));
    }
}
