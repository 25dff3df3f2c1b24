//! TCP sockets for media: non-blocking, nothing collected into larger segments, little waiting in the kernel.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use crate::address::RawAddress;
use crate::socket::set_option;

/// Bytes that may wait in the kernel unsent; above it the socket is not writable. What is on its way is not counted, so a long and
/// wide path is filled all the same.
const NOT_SENT: i32 = 16 * 1024;

/// Take connections on `address` (IPv6 unspecified takes IPv4 too).
///
/// # Errors
/// What the kernel says, for instance that the port is taken.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// The next connection that waits, and whose it is; an IPv4 address is one, however it came.
///
/// # Errors
/// `WouldBlock` when none waits; others when the system is out of something, or that connection is gone already.
pub fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = listener.accept()?;
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    set_option(stream.as_raw_fd(), (libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT), NOT_SENT)?;
    Ok((stream, RawAddress::new(peer).get().unwrap_or(peer)))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_ipv6_listener_takes_ipv4_peers_and_calls_them_so() {
        let Ok(listener) = listen("[::]:0".parse().unwrap()) else { return };
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (stream, peer) = accept(&listener).unwrap();
        assert_eq!((peer, stream.nodelay().unwrap()), (client.local_addr().unwrap(), true));
        assert_eq!(accept(&listener).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn little_waits_unsent_for_a_peer_that_does_not_read() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let (mut stream, _) = accept(&listener).unwrap();
        let mut taken = 0;
        while let Ok(count) = stream.write(&[7; 4_096]) {
            taken += count;
        }
        // What the peer's kernel has is not here; the rest is.
        let mut read = vec![0; taken];
        client.read_exact(&mut read).unwrap();
        assert!(stream.write(&[7; 4_096]).is_ok());
    }
}
