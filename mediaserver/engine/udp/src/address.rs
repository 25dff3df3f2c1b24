//! Socket addresses as the kernel writes them.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Room for an IPv4 or IPv6 address, with the length in use.
#[derive(Clone, Copy)]
pub struct RawAddress {
    pub storage: libc::sockaddr_storage,
    pub length: libc::socklen_t,
}

impl RawAddress {
    pub fn empty() -> Self {
        // SAFETY: sockaddr_storage is plain data; all zeroes is AF_UNSPEC.
        let storage = unsafe { std::mem::zeroed() };
        Self { storage, length: size_of_u32::<libc::sockaddr_storage>() }
    }

    pub fn new(address: SocketAddr) -> Self {
        let mut raw = Self::empty();
        match address {
            SocketAddr::V4(v4) => raw.put(libc::sockaddr_in {
                sin_family: family(libc::AF_INET),
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                sin_zero: [0; 8],
            }),
            SocketAddr::V6(v6) => raw.put(libc::sockaddr_in6 {
                sin6_family: family(libc::AF_INET6),
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            }),
        }
        raw
    }

    /// The address, an IPv4-mapped one as IPv4; None for another family.
    pub fn get(&self) -> Option<SocketAddr> {
        match i32::from(self.storage.ss_family) {
            libc::AF_INET => {
                let v4: libc::sockaddr_in = self.take();
                let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
                Some(SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(v4.sin_port))))
            }
            libc::AF_INET6 => {
                let v6: libc::sockaddr_in6 = self.take();
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                let port = u16::from_be(v6.sin6_port);
                let full = SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id);
                Some(ip.to_ipv4_mapped().map_or(SocketAddr::V6(full), |v4| SocketAddr::from((v4, port))))
            }
            _ => None,
        }
    }

    fn put<T: Copy>(&mut self, value: T) {
        const { assert!(size_of::<T>() <= size_of::<libc::sockaddr_storage>()) };
        // SAFETY: sockaddr_storage is at least as big and as aligned as every sockaddr_*.
        unsafe { (&raw mut self.storage).cast::<T>().write(value) };
        self.length = size_of_u32::<T>();
    }

    fn take<T: Copy>(&self) -> T {
        const { assert!(size_of::<T>() <= size_of::<libc::sockaddr_storage>()) };
        // SAFETY: as in `put`; every bit pattern of the sockaddr_* in use is a value.
        unsafe { (&raw const self.storage).cast::<T>().read() }
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "address families fit sa_family_t")]
const fn family(family: i32) -> libc::sa_family_t {
    family as libc::sa_family_t
}

#[allow(clippy::cast_possible_truncation, reason = "sizes of kernel structures")]
pub const fn size_of_u32<T>() -> libc::socklen_t {
    size_of::<T>() as libc::socklen_t
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_the_kernel_format() {
        for text in ["192.0.2.7:7000", "[2001:db8::1]:65535"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(RawAddress::new(address).get(), Some(address));
        }
    }

    #[test]
    fn a_mapped_address_is_read_as_ipv4() {
        let mapped: SocketAddr = "[::ffff:192.0.2.7]:7000".parse().unwrap();
        assert_eq!(RawAddress::new(mapped).get(), Some("192.0.2.7:7000".parse().unwrap()));
    }
}
