//! Many datagrams in one call (recvmmsg).

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use crate::address::RawAddress;

/// Largest datagram that is taken whole.
const DATAGRAM_BYTES: usize = 2_048;

/// Buffers for a batch; reused for every call.
pub struct Receiver {
    bytes: Vec<[u8; DATAGRAM_BYTES]>,
    addresses: Vec<RawAddress>,
    received: Vec<Received>,
}

#[derive(Clone, Copy)]
struct Received {
    length: usize,
    truncated: bool,
}

impl Receiver {
    /// Room for `batch` datagrams a call.
    #[must_use]
    pub fn new(batch: usize) -> Self {
        Self {
            bytes: vec![[0; DATAGRAM_BYTES]; batch],
            addresses: vec![RawAddress::empty(); batch],
            received: Vec::with_capacity(batch),
        }
    }

    /// Take what waits, at most a batch; 0: nothing.
    ///
    /// # Errors
    /// What the kernel says; an earlier datagram's ICMP refusal is none.
    pub fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        self.received.clear();
        let mut vectors: Vec<libc::iovec> = self
            .bytes
            .iter_mut()
            .map(|buffer| libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: DATAGRAM_BYTES })
            .collect();
        let mut messages: Vec<libc::mmsghdr> = vectors.iter_mut().zip(&mut self.addresses).map(message).collect();
        let count = u32::try_from(messages.len()).unwrap_or(u32::MAX);
        // SAFETY: every header points into `vectors`, `self.bytes` and `self.addresses`, which outlive the call.
        let taken = unsafe {
            libc::recvmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), count, libc::MSG_DONTWAIT, std::ptr::null_mut())
        };
        let Ok(taken) = usize::try_from(taken) else {
            return nothing(io::Error::last_os_error());
        };
        self.received.extend(messages[..taken].iter().map(|m| Received {
            length: usize::try_from(m.msg_len).unwrap_or(0).min(DATAGRAM_BYTES),
            truncated: m.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
        }));
        Ok(taken)
    }

    /// The datagrams of the last call; the bytes of one that did not fit are empty.
    pub fn datagrams(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        self.received.iter().zip(&self.bytes).zip(&self.addresses).filter_map(|((received, bytes), address)| {
            let length = if received.truncated { 0 } else { received.length };
            Some((address.get()?, &bytes[..length]))
        })
    }
}

fn message((vector, address): (&mut libc::iovec, &mut RawAddress)) -> libc::mmsghdr {
    *address = RawAddress::empty();
    // SAFETY: msghdr is plain data, all zeroes is an empty header.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_name = (&raw mut address.storage).cast();
    header.msg_namelen = address.length;
    header.msg_iov = vector;
    header.msg_iovlen = 1;
    libc::mmsghdr { msg_hdr: header, msg_len: 0 }
}

fn nothing(error: io::Error) -> io::Result<usize> {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionRefused => Ok(0),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::{Buffers, bind};

    #[test]
    fn a_batch_arrives_in_order_with_its_sender() {
        let here = bind("127.0.0.1:0".parse().unwrap(), Buffers::default()).unwrap();
        let there = bind("127.0.0.1:0".parse().unwrap(), Buffers::default()).unwrap();
        let to = here.local_addr().unwrap();
        for datagram in [&b"one"[..], b"two", &[7; 3_000]] {
            there.send_to(datagram, to).unwrap();
        }
        let mut receiver = Receiver::new(8);
        assert_eq!(receiver.receive(&here).unwrap(), 3);
        let got: Vec<_> = receiver.datagrams().collect();
        let from = there.local_addr().unwrap();
        assert_eq!(got, vec![(from, &b"one"[..]), (from, b"two"), (from, b"")]);
        assert_eq!(receiver.receive(&here).unwrap(), 0);
    }
}
