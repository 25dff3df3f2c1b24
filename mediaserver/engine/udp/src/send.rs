//! Many datagrams in one call (sendmmsg), runs of equal size as one segmented message (`UDP_SEGMENT`).
//!
//! Invariant: messages leave in the order given; what the kernel did not take is what `Progress` says, no more and no less.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::address::RawAddress;
use crate::socket::same_family;

/// Messages a call; more brings nothing.
const BATCH: usize = 64;
/// How long a destination that refused a segmented message gets single datagrams.
const REFUSAL: Duration = Duration::from_mins(1);
/// Destinations that may be remembered in vain.
const FEW: usize = 1_024;
/// Most datagrams that one segmented message carries (the kernel's own limit).
const MAX_SEGMENTS: usize = 64;
/// Most bytes of one segmented message.
const MAX_MESSAGE: usize = 64_000;
/// `CMSG_SPACE(sizeof(u16))`.
const CONTROL: usize = 24;

/// Datagrams for one destination, back to back: each `segment` bytes long, the last may be shorter.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    pub to: SocketAddr,
    pub bytes: &'a [u8],
    pub segment: usize,
}

/// How far a call got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Messages that are done with.
    pub messages: usize,
    /// Bytes of the next message that are done with, a multiple of its segment.
    pub bytes_of_next: usize,
    /// The socket's buffer is full: wait until it is writable.
    pub blocked: bool,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct SendCounters {
    pub calls: u64,
    pub segmented_messages: u64,
    pub would_block: u64,
    /// Datagrams that the kernel refused for good.
    pub failed: u64,
}

/// Sends in batches; remembers who refuses segmented messages.
#[derive(Debug, Default)]
pub struct Sender {
    unsegmented_until: HashMap<SocketAddr, Instant>,
    /// With so many of them those that are over are looked for.
    sweep_at: usize,
    pub counters: SendCounters,
}

/// One kernel message: a piece of an `Outgoing`.
#[derive(Clone, Copy)]
struct Piece {
    message: usize,
    offset: usize,
    length: usize,
    segmented: bool,
}

/// On the stack: the heap's own lists have long left the caches when a batch is sent.
type Batch<T> = SmallVec<[T; BATCH]>;

#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL]);

impl Sender {
    /// Hand `outgoing` to the kernel, in order, until all is done or the socket is full.
    pub fn send(&mut self, socket: &UdpSocket, outgoing: &[Outgoing<'_>], now: Instant) -> Progress {
        let Ok(local) = socket.local_addr() else {
            return Progress { messages: outgoing.len(), ..Progress::default() };
        };
        let mut progress = Progress::default();
        while progress.messages < outgoing.len() && !progress.blocked {
            let mut pieces = SmallVec::new();
            self.cut(outgoing, &progress, now, &mut pieces);
            match self.call(socket, local, outgoing, &pieces) {
                Ok(taken) => advance(&mut progress, outgoing, &pieces[..taken]),
                Err(error) => self.refused(&mut progress, outgoing, &pieces[0], &error, now),
            }
        }
        progress
    }

    /// The next batch of kernel messages.
    fn cut(&mut self, outgoing: &[Outgoing<'_>], from: &Progress, now: Instant, pieces: &mut Batch<Piece>) {
        let mut offset = from.bytes_of_next;
        for (message, out) in outgoing.iter().enumerate().skip(from.messages) {
            let segment = out.segment.max(1);
            let most = if self.segments_to(out.to, now) { MAX_SEGMENTS.min(MAX_MESSAGE / segment).max(1) } else { 1 };
            loop {
                if pieces.len() == BATCH {
                    return;
                }
                let length = (out.bytes.len() - offset).min(most * segment);
                pieces.push(Piece { message, offset, length, segmented: length > segment });
                offset += length;
                if offset >= out.bytes.len() {
                    break;
                }
            }
            offset = 0;
        }
    }

    fn segments_to(&mut self, to: SocketAddr, now: Instant) -> bool {
        match self.unsegmented_until.get(&to) {
            Some(until) if *until > now => false,
            Some(_) => {
                self.unsegmented_until.remove(&to);
                true
            }
            None => true,
        }
    }

    fn call(
        &mut self,
        socket: &UdpSocket,
        local: SocketAddr,
        outgoing: &[Outgoing<'_>],
        pieces: &[Piece],
    ) -> io::Result<usize> {
        let mut addresses = Batch::<RawAddress>::new();
        let mut vectors = Batch::<libc::iovec>::new();
        let mut controls = Batch::<Control>::new();
        let mut headers = Batch::<libc::mmsghdr>::new();
        addresses.extend(pieces.iter().map(|p| RawAddress::new(same_family(local, outgoing[p.message].to))));
        vectors.extend(pieces.iter().map(|p| vector(outgoing, p)));
        controls.extend(pieces.iter().map(|p| control(outgoing[p.message].segment)));
        headers.extend(
            (0..pieces.len())
                .map(|i| header(&mut addresses[i], &mut vectors[i], pieces[i].segmented.then_some(&mut controls[i]))),
        );
        let count = u32::try_from(headers.len()).unwrap_or(u32::MAX);
        self.counters.calls += 1;
        // SAFETY: every header points into `addresses`, `vectors`, `controls` and the borrowed bytes; all outlive the call.
        let taken = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count, libc::MSG_DONTWAIT) };
        let taken = usize::try_from(taken).map_err(|_| io::Error::last_os_error())?;
        let segmented = pieces[..taken].iter().filter(|p| p.segmented).count();
        self.counters.segmented_messages += u64::try_from(segmented).unwrap_or(0);
        Ok(taken)
    }

    /// Viewers that have gone are sent to no more: theirs go when there are many.
    fn note_refusal(&mut self, to: SocketAddr, now: Instant) {
        if self.unsegmented_until.len() >= self.sweep_at {
            self.unsegmented_until.retain(|_, until| *until > now);
            self.sweep_at = (self.unsegmented_until.len() * 2).max(FEW);
        }
        self.unsegmented_until.insert(to, now + REFUSAL);
    }

    /// The kernel refused the first message of a batch.
    fn refused(
        &mut self,
        progress: &mut Progress,
        outgoing: &[Outgoing<'_>],
        piece: &Piece,
        error: &io::Error,
        now: Instant,
    ) {
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::ENOBUFS) => {
                self.counters.would_block += 1;
                progress.blocked = true;
            }
            // ECONNREFUSED tells of an earlier datagram and is gone with the telling.
            Some(libc::EINTR | libc::ECONNREFUSED) => {}
            // No segmentation on this route (EINVAL) or device (EIO).
            Some(libc::EINVAL | libc::EIO) if piece.segmented => self.note_refusal(outgoing[piece.message].to, now),
            _ => {
                self.counters.failed += 1;
                advance(progress, outgoing, std::slice::from_ref(piece));
            }
        }
    }
}

fn advance(progress: &mut Progress, outgoing: &[Outgoing<'_>], done: &[Piece]) {
    let Some(last) = done.last() else { return };
    let end = last.offset + last.length;
    if end >= outgoing[last.message].bytes.len() {
        progress.messages = last.message + 1;
        progress.bytes_of_next = 0;
    } else {
        progress.messages = last.message;
        progress.bytes_of_next = end;
    }
}

fn vector(outgoing: &[Outgoing<'_>], piece: &Piece) -> libc::iovec {
    let bytes = &outgoing[piece.message].bytes[piece.offset..piece.offset + piece.length];
    libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
}

fn header(address: &mut RawAddress, vector: &mut libc::iovec, control: Option<&mut Control>) -> libc::mmsghdr {
    // SAFETY: msghdr is plain data, all zeroes is an empty header.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_name = (&raw mut address.storage).cast();
    header.msg_namelen = address.length;
    header.msg_iov = vector;
    header.msg_iovlen = 1;
    if let Some(control) = control {
        header.msg_control = control.0.as_mut_ptr().cast();
        header.msg_controllen = CONTROL;
    }
    libc::mmsghdr { msg_hdr: header, msg_len: 0 }
}

/// The ancillary message that says how to cut (udp(7): `UDP_SEGMENT`).
fn control(segment: usize) -> Control {
    const LENGTH: usize = size_of::<libc::cmsghdr>() + size_of::<u16>();
    let mut control = Control([0; CONTROL]);
    control.0[..8].copy_from_slice(&LENGTH.to_ne_bytes());
    control.0[8..12].copy_from_slice(&libc::SOL_UDP.to_ne_bytes());
    control.0[12..16].copy_from_slice(&libc::UDP_SEGMENT.to_ne_bytes());
    control.0[16..18].copy_from_slice(&u16::try_from(segment).unwrap_or(u16::MAX).to_ne_bytes());
    control
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::poll::wait_readable;
    use crate::receive::Receiver;
    use crate::socket::{Buffers, bind};

    fn pair() -> (UdpSocket, UdpSocket) {
        let make = || bind("127.0.0.1:0".parse().unwrap(), Buffers::default()).unwrap();
        (make(), make())
    }

    #[test]
    fn a_datagram_of_a_family_that_the_socket_lacks_is_lost_and_the_next_one_leaves() {
        let (from, to) = pair();
        let [nowhere, here] = ["[::1]:9".parse().unwrap(), to.local_addr().unwrap()];
        let outgoing = [nowhere, here].map(|to| Outgoing { to, bytes: b"abc", segment: 3 });
        let mut sender = Sender::default();
        let progress = sender.send(&from, &outgoing, Instant::now());
        assert_eq!(progress, Progress { messages: 2, ..Progress::default() });
        assert_eq!((sender.counters.failed, lengths(&to, 1)), (1, vec![3]));
    }

    /// Of what has arrived, once it is `count` datagrams or more.
    fn lengths(socket: &UdpSocket, count: usize) -> Vec<usize> {
        let mut receiver = Receiver::new(256);
        let mut lengths = Vec::new();
        while lengths.len() < count {
            wait_readable(socket);
            receiver.receive(socket).unwrap();
            lengths.extend(receiver.datagrams().map(|(_, bytes)| bytes.len()));
        }
        lengths
    }

    #[test]
    fn a_run_arrives_as_single_datagrams_with_a_shorter_last() {
        let (from, to) = pair();
        let bytes = [9; 100 * 3 + 40];
        let out = Outgoing { to: to.local_addr().unwrap(), bytes: &bytes, segment: 100 };
        let mut sender = Sender::default();
        let progress = sender.send(&from, &[out, out], Instant::now());
        assert_eq!(progress, Progress { messages: 2, bytes_of_next: 0, blocked: false });
        assert_eq!(lengths(&to, 8), vec![100, 100, 100, 40, 100, 100, 100, 40]);
        assert_eq!(sender.counters.segmented_messages, 2);
    }

    #[test]
    fn who_refuses_segments_gets_single_datagrams_for_a_minute() {
        let (from, to) = pair();
        let bytes = [9; 300];
        let out = Outgoing { to: to.local_addr().unwrap(), bytes: &bytes, segment: 100 };
        let now = Instant::now();
        let mut sender = Sender::default();
        let piece = Piece { message: 0, offset: 0, length: 300, segmented: true };
        let mut progress = Progress::default();
        sender.refused(&mut progress, &[out], &piece, &io::Error::from_raw_os_error(libc::EINVAL), now);
        assert_eq!(progress, Progress::default());
        sender.send(&from, &[out], now + Duration::from_secs(59));
        assert_eq!((sender.counters.segmented_messages, lengths(&to, 3)), (0, vec![100; 3]));
        sender.send(&from, &[out], now + Duration::from_secs(61));
        assert_eq!((sender.counters.segmented_messages, lengths(&to, 3)), (1, vec![100; 3]));
    }

    #[test]
    fn refusals_of_those_who_are_gone_are_forgotten() {
        let mut sender = Sender::default();
        let start = Instant::now();
        for refusal in 0..20_000_u16 {
            let to = SocketAddr::from(([192, 0, 2, 1], refusal));
            sender.note_refusal(to, start + Duration::from_secs(refusal.into()));
        }
        assert!(sender.unsegmented_until.len() <= FEW, "{}", sender.unsegmented_until.len());
        let last = SocketAddr::from(([192, 0, 2, 1], 19_999));
        assert!(!sender.segments_to(last, start + Duration::from_secs(20_000)));
    }

    #[test]
    fn a_full_socket_stops_in_the_middle_and_goes_on_in_order() {
        let (from, to) = pair();
        let bytes = [9; 250];
        let out = Outgoing { to: to.local_addr().unwrap(), bytes: &bytes, segment: 100 };
        let mut progress = Progress::default();
        let pieces = [Piece { message: 0, offset: 0, length: 100, segmented: false }];
        advance(&mut progress, &[out], &pieces);
        assert_eq!(progress, Progress { messages: 0, bytes_of_next: 100, blocked: false });
        let mut sender = Sender::default();
        let mut rest = SmallVec::new();
        sender.cut(&[out], &progress, Instant::now(), &mut rest);
        assert_eq!((rest[0].offset, rest[0].length), (100, 150));
        drop(from);
    }

    #[test]
    fn a_datagram_that_can_never_leave_is_dropped_and_counted() {
        let (from, to) = pair();
        let huge = vec![0; 70_000];
        let to = to.local_addr().unwrap();
        let mut sender = Sender::default();
        let progress = sender.send(&from, &[Outgoing { to, bytes: &huge, segment: 70_000 }], Instant::now());
        assert_eq!((progress.messages, sender.counters.failed), (1, 1));
    }
}
