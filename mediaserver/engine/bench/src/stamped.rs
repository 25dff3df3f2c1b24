//! Datagrams with the time at which the kernel got them (`SO_TIMESTAMPNS`): what a busy reader adds is not in it.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::sockopt::ReceiveTimestampns;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt};
use nix::sys::time::TimeSpec;

const DATAGRAM_BYTES: usize = 2_048;

/// One datagram.
#[derive(Debug)]
pub struct Datagram<'a> {
    pub from: SocketAddr,
    pub bytes: &'a [u8],
    /// µs since 1970; None: it came before the kernel was asked.
    pub arrived: Option<u64>,
}

/// A buffer for one datagram and what comes beside it.
pub struct Stamped {
    bytes: Vec<u8>,
    control: Vec<u8>,
}

impl Stamped {
    /// Ask the kernel for the times of a socket's datagrams.
    pub fn new(socket: &UdpSocket) -> io::Result<Self> {
        setsockopt(socket, ReceiveTimestampns, &true)?;
        Ok(Self { bytes: vec![0; DATAGRAM_BYTES], control: cmsg_space!(TimeSpec) })
    }

    /// The next datagram that waits.
    pub fn receive(&mut self, socket: &UdpSocket) -> io::Result<Option<Datagram<'_>>> {
        let mut vectors = [IoSliceMut::new(&mut self.bytes)];
        let flags = MsgFlags::MSG_DONTWAIT;
        let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut vectors, Some(&mut self.control), flags);
        let (length, from, arrived) = match message {
            Ok(message) => {
                let arrived = message.cmsgs()?.find_map(|word| match word {
                    ControlMessageOwned::ScmTimestampns(at) => Some(micros(at)),
                    _ => None,
                });
                (message.bytes, message.address.and_then(socket_address), arrived)
            }
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(from.map(|from| Datagram { from, bytes: &self.bytes[..length], arrived }))
    }
}

fn socket_address(address: SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::from((v4.ip(), v4.port())));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::from((v6.ip(), v6.port()))))
}

#[allow(clippy::cast_sign_loss)] // After 1970.
fn micros(at: TimeSpec) -> u64 {
    at.tv_sec() as u64 * 1_000_000 + at.tv_nsec() as u64 / 1_000
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::latency::micros_now;

    #[test]
    fn a_late_reader_learns_when_a_datagram_came() {
        let [here, there] = [0, 1].map(|_| UdpSocket::bind("127.0.0.1:0").unwrap());
        let mut stamped = Stamped::new(&here).unwrap();
        let mut late = || {
            there.send_to(b"early", here.local_addr().unwrap()).unwrap();
            std::thread::sleep(Duration::from_millis(20));
            let Datagram { from, bytes, arrived } = stamped.receive(&here).unwrap().unwrap();
            assert_eq!((from, bytes), (there.local_addr().unwrap(), &b"early"[..]));
            micros_now() - arrived.unwrap()
        };
        // The kernel begins with it a little after it was asked; until then it stamps what is read.
        assert!((0..50).any(|_| late() >= 15_000));
        assert!(stamped.receive(&here).unwrap().is_none());
    }
}
