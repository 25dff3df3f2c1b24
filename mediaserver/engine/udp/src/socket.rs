//! Making UDP sockets: non-blocking, with large buffers.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::address::{RawAddress, size_of_u32};

/// Buffer wanted of the kernel when nobody says otherwise, bytes.
const DEFAULT_BUFFER: usize = 8 << 20;

/// Sizes of a socket's buffers; None: as large as the kernel allows, up to 8 MiB.
#[derive(Debug, Clone, Copy, Default)]
pub struct Buffers {
    pub send: Option<usize>,
    pub receive: Option<usize>,
}

/// A buffer that the kernel has made smaller than wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// What limits it.
    pub sysctl: &'static str,
    /// Bytes.
    pub wanted: usize,
    pub got: usize,
}

impl Buffers {
    /// What `socket` lacks of them. (The kernel cuts without a word.)
    ///
    /// # Errors
    /// What the kernel says.
    pub fn cuts(self, socket: &UdpSocket) -> io::Result<Vec<Cut>> {
        let send = ("net.core.wmem_max", libc::SO_SNDBUF, self.send);
        let receive = ("net.core.rmem_max", libc::SO_RCVBUF, self.receive);
        let mut cuts = Vec::new();
        for (sysctl, option, size) in [send, receive] {
            let wanted = size.unwrap_or(DEFAULT_BUFFER);
            let got = buffer(socket.as_raw_fd(), option)?;
            if got < wanted {
                cuts.push(Cut { sysctl, wanted, got });
            }
        }
        Ok(cuts)
    }
}

/// A non-blocking socket bound to `address` (IPv6 unspecified takes IPv4 too).
///
/// # Errors
/// What the kernel says, for instance that the port is taken.
pub fn bind(address: SocketAddr, buffers: Buffers) -> io::Result<UdpSocket> {
    let socket = UdpSocket::from(unbound(address, libc::SOCK_DGRAM)?);
    take_both_families(&socket, address)?;
    bind_to(&socket, address)?;
    set_buffers(&socket, buffers)?;
    Ok(socket)
}

/// Whatever `net.ipv6.bindv6only` says: on IPv6 unspecified we want IPv4 too.
pub(crate) fn take_both_families(socket: &impl AsRawFd, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv4() || !address.ip().is_unspecified() {
        return Ok(());
    }
    set_option(socket.as_raw_fd(), (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY), 0)
}

/// As many sockets on one port, between which the kernel spreads peers by their address (`SO_REUSEPORT`).
///
/// The first is bound alone: a port that another process has is taken, also when that process shares it among sockets of its own.
///
/// # Errors
/// What the kernel says, for instance that the port is taken.
pub fn bind_group(address: SocketAddr, count: usize, buffers: Buffers) -> io::Result<Vec<UdpSocket>> {
    let first = bind(address, buffers)?;
    let local = first.local_addr()?;
    let mut group = vec![first];
    for _ in 1..count {
        set_option(group[0].as_raw_fd(), (libc::SOL_SOCKET, libc::SO_REUSEPORT), 1)?;
        group.push(bind_beside(local, buffers)?);
    }
    Ok(group)
}

fn bind_beside(local: SocketAddr, buffers: Buffers) -> io::Result<UdpSocket> {
    let socket = UdpSocket::from(unbound(local, libc::SOCK_DGRAM)?);
    take_both_families(&socket, local)?;
    set_option(socket.as_raw_fd(), (libc::SOL_SOCKET, libc::SO_REUSEPORT), 1)?;
    bind_to(&socket, local)?;
    set_buffers(&socket, buffers)?;
    Ok(socket)
}

/// A non-blocking socket of the family of `address`; `kind`: `SOCK_DGRAM` or `SOCK_STREAM`.
pub(crate) fn unbound(address: SocketAddr, kind: i32) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: no pointers; the result is checked.
    let fd = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(crate) fn bind_to(socket: &impl AsRawFd, local: SocketAddr) -> io::Result<()> {
    let raw = RawAddress::new(local);
    // SAFETY: the descriptor is open and `raw` holds an address of `length` bytes.
    let result = unsafe { libc::bind(socket.as_raw_fd(), (&raw const raw.storage).cast(), raw.length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Take and send datagrams of one peer only from now on.
///
/// # Errors
/// What the kernel says.
pub fn connect(socket: &UdpSocket, peer: SocketAddr) -> io::Result<()> {
    connect_to(socket, same_family(socket.local_addr()?, peer))
}

pub(crate) fn connect_to(socket: &impl AsRawFd, peer: SocketAddr) -> io::Result<()> {
    let raw = RawAddress::new(peer);
    // SAFETY: the descriptor is open and `raw` holds an address of `length` bytes.
    let result = unsafe { libc::connect(socket.as_raw_fd(), (&raw const raw.storage).cast(), raw.length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `peer` in the form that a socket bound to `local` wants: IPv6 sockets take IPv4 addresses mapped.
#[must_use]
pub fn same_family(local: SocketAddr, peer: SocketAddr) -> SocketAddr {
    match (local, peer) {
        (SocketAddr::V6(_), SocketAddr::V4(v4)) => SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port())),
        _ => peer,
    }
}

fn set_buffers(socket: &UdpSocket, buffers: Buffers) -> io::Result<()> {
    set_buffer(socket.as_raw_fd(), (libc::SO_SNDBUF, libc::SO_SNDBUFFORCE), buffers.send)?;
    set_buffer(socket.as_raw_fd(), (libc::SO_RCVBUF, libc::SO_RCVBUFFORCE), buffers.receive)
}

/// Ask for a buffer: forced past the system's limit where we may, else up to the limit. An explicit size is never forced up.
fn set_buffer(fd: RawFd, (plain, forced): (i32, i32), size: Option<usize>) -> io::Result<()> {
    let bytes = i32::try_from(size.unwrap_or(DEFAULT_BUFFER)).unwrap_or(i32::MAX);
    if size.is_none() && set_option(fd, (libc::SOL_SOCKET, forced), bytes).is_ok() {
        return Ok(());
    }
    set_option(fd, (libc::SOL_SOCKET, plain), bytes)
}

/// How large a buffer is, bytes. The kernel doubles what it grants, for its own records, and says so (socket(7)).
fn buffer(fd: RawFd, name: i32) -> io::Result<usize> {
    let (mut value, mut length) = (0_i32, size_of_u32::<i32>());
    // SAFETY: the descriptor is open, and the option writes an int of `length` bytes.
    let result = unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, name, (&raw mut value).cast(), &raw mut length) };
    if result == 0 { Ok(usize::try_from(value).unwrap_or(0) / 2) } else { Err(io::Error::last_os_error()) }
}

/// `option`: level and name of one that takes an int.
pub(crate) fn set_option(fd: RawFd, (level, name): (i32, i32), value: i32) -> io::Result<()> {
    // SAFETY: the descriptor is open and the option takes an int.
    let result = unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), size_of_u32::<i32>()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use super::*;
    use crate::Poller;

    #[test]
    fn a_taken_port_is_an_error() {
        let first = bind("127.0.0.1:0".parse().unwrap(), Buffers::default()).unwrap();
        let second = bind(first.local_addr().unwrap(), Buffers::default());
        assert_eq!(second.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_group_shares_a_port_that_nobody_else_can_have() {
        for any in ["127.0.0.1:0", "[::1]:0", "[::]:0"] {
            let group = bind_group(any.parse().unwrap(), 3, Buffers::default()).unwrap();
            let local = group[0].local_addr().unwrap();
            assert!(group.iter().all(|socket| socket.local_addr().unwrap() == local), "{any}");
            for count in [1, 2] {
                let other = bind_group(local, count, Buffers::default());
                assert_eq!(other.unwrap_err().kind(), io::ErrorKind::AddrInUse, "{any}");
            }
        }
    }

    #[test]
    fn the_kernel_spreads_peers_over_a_group_and_keeps_each_where_it_is() {
        let group = bind_group("127.0.0.1:0".parse().unwrap(), 2, Buffers::default()).unwrap();
        let to = group[0].local_addr().unwrap();
        let peers: Vec<UdpSocket> = (0..64).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
        for peer in peers.iter().chain(&peers) {
            peer.send_to(b"x", to).unwrap();
        }
        let heard = heard(&group, 2 * peers.len());
        assert!(heard.iter().all(|peers| !peers.is_empty()), "{heard:?}");
        assert!(heard[0].is_disjoint(&heard[1]), "each peer comes to one socket only");
    }

    fn limit(sysctl: &str) -> usize {
        let path = format!("/proc/sys/{}", sysctl.replace('.', "/"));
        std::fs::read_to_string(path).unwrap().trim().parse().unwrap()
    }

    /// Sizes that are named are not forced past the limit.
    #[test]
    fn what_the_kernel_cuts_of_a_buffer_is_known() {
        let wanted = 1 << 30;
        let buffers = Buffers { send: Some(wanted), receive: Some(wanted) };
        let socket = bind("127.0.0.1:0".parse().unwrap(), buffers).unwrap();
        let sysctls = ["net.core.wmem_max", "net.core.rmem_max"];
        let cuts = sysctls.map(|sysctl| Cut { sysctl, wanted, got: limit(sysctl) });
        assert_eq!(buffers.cuts(&socket).unwrap(), cuts);
        let small = Buffers { send: Some(65_536), receive: Some(65_536) };
        let socket = bind("127.0.0.1:0".parse().unwrap(), small).unwrap();
        assert_eq!(small.cuts(&socket).unwrap(), []);
    }

    /// The peers that each socket has heard, once `count` datagrams have come.
    fn heard(group: &[UdpSocket], count: usize) -> Vec<HashSet<SocketAddr>> {
        let poller = Poller::new().unwrap();
        for (token, socket) in (1..).zip(group) {
            poller.add(socket, token).unwrap();
        }
        let (mut came, mut heard) = (0, vec![HashSet::new(); group.len()]);
        while came < count {
            assert!(!poller.wait(Duration::from_secs(5)).unwrap().is_empty(), "{came} of {count}");
            for (socket, peers) in group.iter().zip(&mut heard) {
                while let Ok((_, from)) = socket.recv_from(&mut [0; 9]) {
                    peers.insert(from);
                    came += 1;
                }
            }
        }
        heard
    }

    #[test]
    fn a_group_on_ipv6_unspecified_hears_ipv4_peers_and_calls_them_so() {
        let group = bind_group("[::]:0".parse().unwrap(), 2, Buffers::default()).unwrap();
        let port = group[0].local_addr().unwrap().port();
        let poller = Poller::new().unwrap();
        for (token, socket) in (1..).zip(&group) {
            poller.add(socket, token).unwrap();
        }
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.send_to(b"x", ("127.0.0.1", port)).unwrap();
        poller.wait(Duration::from_secs(5)).unwrap();
        let mut receiver = crate::Receiver::new(4);
        let from: Vec<SocketAddr> = group
            .iter()
            .flat_map(|socket| match receiver.receive(socket) {
                Ok(_) => receiver.datagrams().map(|(from, _)| from).collect(),
                Err(_) => vec![],
            })
            .collect();
        assert_eq!(from, [peer.local_addr().unwrap()]);
    }

    #[test]
    fn an_ipv6_socket_gets_ipv4_peers_mapped() {
        let local: SocketAddr = "[::]:1".parse().unwrap();
        let peer: SocketAddr = "127.0.0.1:2".parse().unwrap();
        assert_eq!(same_family(local, peer), "[::ffff:127.0.0.1]:2".parse().unwrap());
        assert_eq!(same_family("0.0.0.0:1".parse().unwrap(), peer), peer);
    }
}
