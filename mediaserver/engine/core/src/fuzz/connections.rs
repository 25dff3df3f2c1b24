//! What comes on TCP connections.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};

use super::Ground;
use crate::tcp::{self, Connections, Deframer, MAX_FRAME, Oversized};

/// Datagrams of a byte stream that comes in these pieces.
fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, Result<(), Oversized>) {
    let (mut deframer, mut datagrams) = (Deframer::default(), vec![]);
    for piece in pieces {
        if let Err(oversized) = deframer.read(piece, |datagram| datagrams.push(datagram.to_vec())) {
            return (datagrams, Err(oversized));
        }
    }
    (datagrams, Ok(()))
}

/// The first byte says into what pieces the stream is cut; 0: it comes whole.
pub fn framing(_: &mut Ground, data: &[u8]) {
    let Some((&size, stream)) = data.split_first() else { return };
    let (whole, end) = read(std::iter::once(stream));
    assert_eq!(read(stream.chunks(usize::from(size).max(1))), (whole.clone(), end));
    assert!(whole.iter().all(|datagram| (1..=MAX_FRAME).contains(&datagram.len())));
    let mut again = vec![];
    for datagram in &whole {
        tcp::frame(datagram, &mut again);
    }
    assert!(again.len() <= stream.len());
    assert_eq!(read(std::iter::once(&again[..])), (whole, Ok(())));
}

/// Names of connections: 4 bytes of its number, then 16 of its peer's address, 2 of its port and 4 of its scope.
pub fn address(_: &mut Ground, data: &[u8]) {
    let mut connections = Connections::default();
    for data in data.as_chunks::<26>().0 {
        let word = |at: usize| u32::from_be_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]]);
        let mut ip = [0; 16];
        ip.copy_from_slice(&data[4..20]);
        let ip = Ipv6Addr::from(ip);
        let port = u16::from_be_bytes([data[20], data[21]]);
        // A socket for both families says an IPv4 peer's address in either form.
        let peer = ip.to_ipv4_mapped().map_or_else(
            || SocketAddr::V6(SocketAddrV6::new(ip, port, 0, word(22))),
            |v4| SocketAddr::from((v4, port)),
        );
        let name = tcp::named(word(0).max(1), peer);
        assert_eq!((tcp::number(name), tcp::plain(name)), (Some(word(0).max(1)), peer));
        assert_eq!((tcp::number(peer), tcp::plain(peer)), (None, peer));
        connections.note(name);
        assert_eq!(connections.with(peer), Some(name));
        if data[0] % 3 == 0 {
            connections.forget(name);
            assert_ne!(connections.with(peer), Some(name));
        }
    }
}
