//! What comes on TCP connections.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};

use super::peer::{accepted, local, node};
use super::{Ground, parts};
use crate::inboxes::Inboxes;
use crate::negotiation::link::LinkTransport;
use crate::node::{Course, Directory, Inlet, Node, SessionId};
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

/// Threads of a node; the session that a connection is for begins on the last.
const THREADS: usize = 3;
const SESSION: SessionId = 1;

fn threads(ground: &Ground) -> Vec<Node> {
    let (crypto, directory) = (ground.crypto(), Directory::default());
    let inboxes = Inboxes::mesh(THREADS, 100).into_iter().zip(Inboxes::mesh(THREADS, 100));
    let linked = |(sessions, streams)| node(&crypto, 9, ground.start).linked(sessions, streams, directory.clone());
    let mut threads: Vec<Node> = inboxes.map(linked).collect();
    let puller = LinkTransport::of(&local(&crypto, 'c', vec![]));
    accepted(&mut threads[THREADS - 1], &crypto, SESSION, &puller, ground.start).expect("our own end");
    threads
}

/// The first byte says on which thread the connection begins; each part is what is read of it in one go. All of it is read until the
/// connection is garbage, it comes to rest on one thread, and when it is closed nobody knows it.
pub fn inlet(ground: &mut Ground, data: &[u8]) {
    let Some((first, stream)) = data.split_first() else { return };
    let (mut threads, now) = (threads(ground), ground.start);
    let name = tcp::named(77, ([203, 0, 113, 9], 5000).into());
    let (mut inlet, mut at) = (Inlet::new(name), usize::from(*first) % THREADS);
    let (mut counted, mut whole, mut course) = (0, Deframer::default(), Course::Here);
    for piece in parts(stream) {
        let mut framed = 0;
        let broken = whole.read(piece, |_| framed += 1).is_err();
        let before = counted;
        course = inlet.read(piece, &mut threads[at], &mut |_| counted += 1, now);
        assert!(counted - before == framed && (!broken || course != Course::Here));
        for _ in 0..THREADS {
            let Course::To(to) = course else { break };
            assert!(to != at && to < THREADS);
            at = to;
            course = inlet.arrive(&mut threads[at], now);
        }
        threads[at].on_handshakes(now, &mut || true);
        let only = threads.iter_mut().flat_map(|thread| thread.transmits.drain(..)).all(|sent| sent.to == name);
        assert!(only, "an answer goes elsewhere");
        assert!(!inlet.is_proved() || course != Course::Here || threads[at].knows(name));
        if course != Course::Here {
            break;
        }
    }
    assert!(!matches!(course, Course::To(_)), "it never comes to rest");
    threads[at].on_connection_closed(name, now);
    assert!(threads.iter().all(|thread| !thread.knows(name)));
    assert_eq!(threads.iter().map(|thread| thread.stats(now).sessions.len()).sum::<usize>(), 1);
}
