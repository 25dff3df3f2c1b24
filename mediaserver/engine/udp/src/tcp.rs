//! TCP sockets for media: non-blocking, nothing collected into larger segments, little waiting in the kernel.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use crate::address::RawAddress;
use crate::socket::{bind_to, connect_to, set_option, take_both_families, unbound};

/// Bytes that may wait in the kernel unsent; above it the socket is not writable. What is on its way is not counted, so a long and
/// wide path is filled all the same. Nothing of it can be taken back: at 0.5 Mbit/s, what cubic makes of 84 ms and 3 % loss, it is 65 ms.
const NOT_SENT: i32 = 4 * 1024;
/// Connections that may wait to be taken; the kernel makes it less where `net.core.somaxconn` is.
const BACKLOG: i32 = 4096;

/// Take connections on `address` (IPv6 unspecified takes IPv4 too).
///
/// # Errors
/// What the kernel says, for instance that the port is taken.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::from(unbound(address, libc::SOCK_STREAM)?);
    set_option(listener.as_raw_fd(), (libc::SOL_SOCKET, libc::SO_REUSEADDR), 1)?;
    take_both_families(&listener, address)?;
    bind_to(&listener, address)?;
    // SAFETY: the descriptor is open.
    let result = unsafe { libc::listen(listener.as_raw_fd(), BACKLOG) };
    if result == 0 { Ok(listener) } else { Err(io::Error::last_os_error()) }
}

/// The next connection that waits, and whose it is; an IPv4 address is one, however it came.
///
/// # Errors
/// `WouldBlock` when none waits; others when the system is out of something, or that connection is gone already.
pub fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = listener.accept()?;
    stream.set_nonblocking(true)?;
    prepare(&stream)?;
    Ok((stream, RawAddress::new(peer).get().unwrap_or(peer)))
}

/// Begin a connection to `peer`, from our address `from` unless that is any or of the other family. It is open, or has failed
/// (`take_error`), when the socket is writable.
///
/// # Errors
/// What the kernel says at once, for instance that there is no route.
pub fn dial(from: IpAddr, peer: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::from(unbound(peer, libc::SOCK_STREAM)?);
    prepare(&stream)?;
    if !from.is_unspecified() && from.is_ipv4() == peer.is_ipv4() {
        bind_to(&stream, SocketAddr::new(from, 0))?;
    }
    match connect_to(&stream, peer) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(stream),
    }
}

/// Have `stream` use the congestion control of that name, "bbr" for instance, instead of the system's.
///
/// # Errors
/// `NotFound` where the kernel does not have it, `PermissionDenied` where we may not use it: the connection goes on as it was.
pub fn use_congestion_control(stream: &TcpStream, name: &str) -> io::Result<()> {
    let length = libc::socklen_t::try_from(name.len()).unwrap_or(0);
    let (fd, option) = (stream.as_raw_fd(), libc::TCP_CONGESTION);
    // SAFETY: the descriptor is open and `name` has `length` bytes.
    let result = unsafe { libc::setsockopt(fd, libc::IPPROTO_TCP, option, name.as_ptr().cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    set_option(stream.as_raw_fd(), (libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT), NOT_SENT)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::time::Duration;

    use super::*;
    use crate::Poller;
    use crate::poll::wait_readable;

    /// The connection that is under way to `listener`.
    fn accepted(listener: &TcpListener) -> (TcpStream, SocketAddr) {
        wait_readable(listener);
        accept(listener).unwrap()
    }

    #[test]
    fn an_ipv6_listener_takes_ipv4_peers_and_calls_them_so() {
        let Ok(listener) = listen("[::]:0".parse().unwrap()) else { return };
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (stream, peer) = accepted(&listener);
        assert_eq!((peer, stream.nodelay().unwrap()), (client.local_addr().unwrap(), true));
        assert_eq!(accept(&listener).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    fn settled(stream: &TcpStream) -> io::Result<()> {
        let poller = Poller::new()?;
        poller.add(stream, 1)?;
        poller.want_writable(stream, 1, true)?;
        poller.wait(Duration::from_secs(5))?;
        stream.take_error()?.map_or(Ok(()), Err)
    }

    #[test]
    fn a_connection_is_dialled_from_our_own_address() {
        for (at, from, seen) in [
            ("127.0.0.1:0", "127.0.0.9", Some("127.0.0.9")),
            ("127.0.0.1:0", "0.0.0.0", None),
            ("127.0.0.1:0", "::1", None),
            ("[::1]:0", "::", Some("::1")),
        ] {
            let listener = listen(at.parse().unwrap()).unwrap();
            let stream = dial(from.parse().unwrap(), listener.local_addr().unwrap()).unwrap();
            settled(&stream).unwrap();
            let (_, peer) = accepted(&listener);
            assert_eq!((stream.nodelay().unwrap(), stream.local_addr().unwrap()), (true, peer));
            assert!(seen.is_none_or(|seen| peer.ip().to_string() == seen), "{from}: {peer}");
        }
    }

    #[test]
    fn nobody_at_the_other_end_is_an_error() {
        let gone = listen("127.0.0.1:0".parse().unwrap()).unwrap().local_addr().unwrap();
        let dialled = dial("127.0.0.1".parse().unwrap(), gone).and_then(|stream| settled(&stream));
        assert_eq!(dialled.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn congestion_control_that_the_kernel_does_not_have_is_an_error_and_the_connection_goes_on() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert_eq!(use_congestion_control(&client, "reno").map_err(|error| error.kind()), Ok(()), "every kernel's");
        let missing = use_congestion_control(&client, "nosuch");
        assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
        let (mut stream, _) = accepted(&listener);
        client.write_all(b"x").unwrap();
        stream.set_nonblocking(false).unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }

    #[test]
    fn little_waits_unsent_for_a_peer_that_does_not_read() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let (mut stream, _) = accepted(&listener);
        let mut taken = 0;
        while let Ok(count) = stream.write(&[7; 4_096]) {
            taken += count;
        }
        // What the peer's kernel has is not here; the rest is.
        let mut read = vec![0; taken];
        client.read_exact(&mut read).unwrap();
        settled(&stream).unwrap();
        assert!(stream.write(&[7; 4_096]).is_ok());
    }
}
