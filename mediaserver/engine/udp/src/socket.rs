//! Making UDP sockets: non-blocking, with large buffers.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};

use crate::address::{RawAddress, size_of_u32};

/// Buffer wanted of the kernel when nobody says otherwise, bytes.
const DEFAULT_BUFFER: usize = 8 << 20;

/// Sizes of a socket's buffers; None: as large as the kernel allows, up to 8 MiB.
#[derive(Debug, Clone, Copy, Default)]
pub struct Buffers {
    pub send: Option<usize>,
    pub receive: Option<usize>,
}

/// A non-blocking socket bound to `address` (IPv6 unspecified takes IPv4 too).
///
/// # Errors
/// What the kernel says, for instance that the port is taken.
pub fn bind(address: SocketAddr, buffers: Buffers) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    set_buffer(socket.as_raw_fd(), (libc::SO_SNDBUF, libc::SO_SNDBUFFORCE), buffers.send)?;
    set_buffer(socket.as_raw_fd(), (libc::SO_RCVBUF, libc::SO_RCVBUFFORCE), buffers.receive)?;
    Ok(socket)
}

/// Take and send datagrams of one peer only from now on.
///
/// # Errors
/// What the kernel says.
pub fn connect(socket: &UdpSocket, peer: SocketAddr) -> io::Result<()> {
    let raw = RawAddress::new(same_family(socket.local_addr()?, peer));
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

/// Ask for a buffer: forced past the system's limit where we may, else up to the limit. An explicit size is never forced up.
fn set_buffer(fd: RawFd, (plain, forced): (i32, i32), size: Option<usize>) -> io::Result<()> {
    let bytes = i32::try_from(size.unwrap_or(DEFAULT_BUFFER)).unwrap_or(i32::MAX);
    if size.is_none() && set_option(fd, (libc::SOL_SOCKET, forced), bytes).is_ok() {
        return Ok(());
    }
    set_option(fd, (libc::SOL_SOCKET, plain), bytes)
}

/// `option`: level and name of one that takes an int.
pub(crate) fn set_option(fd: RawFd, (level, name): (i32, i32), value: i32) -> io::Result<()> {
    // SAFETY: the descriptor is open and the option takes an int.
    let result = unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), size_of_u32::<i32>()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_an_error() {
        let first = bind("127.0.0.1:0".parse().unwrap(), Buffers::default()).unwrap();
        let second = bind(first.local_addr().unwrap(), Buffers::default());
        assert_eq!(second.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn an_ipv6_socket_gets_ipv4_peers_mapped() {
        let local: SocketAddr = "[::]:1".parse().unwrap();
        let peer: SocketAddr = "127.0.0.1:2".parse().unwrap();
        assert_eq!(same_family(local, peer), "[::ffff:127.0.0.1]:2".parse().unwrap());
        assert_eq!(same_family("0.0.0.0:1".parse().unwrap(), peer), peer);
    }
}
