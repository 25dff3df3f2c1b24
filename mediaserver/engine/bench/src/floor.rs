//! The bare loop: seals and sends the benchmark's packets to the viewers' sockets, and does nothing else.
//!
//! What it costs is the least that the engine could. Whole frames leave at once, as GSO runs of (near-)equal packets, sound
//! singly. With several threads, each has its part of the sockets and a socket of its own. Its leader says `paced SECONDS` or `burst SECONDS` and gets `cpu=MICROSECONDS sent=PACKETS`.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrIn, sendmmsg};
use nix::sys::time::TimeValLike;
use rivulet_udp::{Buffers, bind};

use crate::frames::{AUDIO_BYTES, FRAME_RATE, Frames, Pattern};
use crate::pipe::Pipe;

/// The timestamp of its packets: the viewers' sockets get the engine's as well.
const MARK: [u8; 4] = *b"bare";
const SSRC: u32 = 0xf100_0000;
/// Fixed header and one transport-wide number (RFC 8285).
const HEADER: usize = 20;
const TAG: usize = 16;
const BATCH: usize = 64;
/// What the engine spends on making neighbours equal.
const NEAR: usize = 8;
const SOUND_EVERY: Duration = Duration::from_millis(20);
/// A destination's share of the time that the buffers are full.
const FULL_PAUSE: Duration = Duration::from_micros(200);

/// Whether a datagram came from the bare loop.
pub fn is_ours(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER && bytes[0] == 0x90 && bytes[4..8] == MARK
}

struct Destination {
    address: SockaddrIn,
    key: LessSafeKey,
    ssrc: u32,
}

struct Floor {
    socket: UdpSocket,
    destinations: Vec<Destination>,
    payload: Vec<u8>,
    arena: Vec<u8>,
    sequence: u64,
    sent: u64,
}

/// Room for what a batch is described by; stays on its thread.
struct Headers {
    segmented: MultiHeaders<SockaddrIn>,
    single: MultiHeaders<SockaddrIn>,
}

pub fn run(at: IpAddr, to: &[SocketAddrV4], threads: usize) -> io::Result<()> {
    let mut pipe = Pipe::standard()?;
    let shares = to.chunks(to.len().div_ceil(threads.max(1)).max(1));
    let mut floors: Vec<Floor> = shares.map(|share| Floor::new(at, share)).collect::<io::Result<_>>()?;
    while let Some(command) = pipe.receive()? {
        let (pattern, seconds) = parse(&command).ok_or_else(|| io::Error::other(format!("what is {command:?}?")))?;
        let (before, sent) = (cpu_micros()?, sent_by(&floors));
        play(&mut floors, pattern, Duration::from_secs_f64(seconds))?;
        pipe.send(&format!("cpu={} sent={}", cpu_micros()? - before, sent_by(&floors) - sent))?;
    }
    Ok(())
}

fn sent_by(floors: &[Floor]) -> u64 {
    floors.iter().map(|floor| floor.sent).sum()
}

/// All of them at once, each on a thread of its own.
fn play(floors: &mut [Floor], pattern: Pattern, time: Duration) -> io::Result<()> {
    std::thread::scope(|scope| {
        let running: Vec<_> = floors.iter_mut().map(|floor| scope.spawn(move || floor.play(pattern, time))).collect();
        running.into_iter().try_for_each(|thread| thread.join().expect("the bare loop does not panic"))
    })
}

fn parse(command: &str) -> Option<(Pattern, f64)> {
    let (pattern, seconds) = command.split_once(' ')?;
    Some((Pattern::from_name(pattern)?, seconds.parse().ok()?))
}

impl Floor {
    fn new(at: IpAddr, to: &[SocketAddrV4]) -> io::Result<Self> {
        let destinations = to.iter().zip(SSRC..).map(|(&to, ssrc)| Destination::new(to, ssrc)).collect();
        Ok(Self {
            socket: bind(SocketAddr::new(at, 0), Buffers::default())?,
            destinations,
            payload: vec![0x55; 1_200],
            arena: Vec::new(),
            sequence: 0,
            sent: 0,
        })
    }

    /// Frames and sounds at their rates for a while.
    fn play(&mut self, pattern: Pattern, time: Duration) -> io::Result<()> {
        let mut frames = Frames::new(pattern);
        let segmented = MultiHeaders::preallocate(BATCH, Some(cmsg_space!(u16)));
        let mut headers = Headers { segmented, single: MultiHeaders::preallocate(BATCH, None) };
        let mut next_frame = Instant::now();
        let mut next_sound = next_frame;
        let end = next_frame + time;
        while next_frame.min(next_sound) < end {
            std::thread::sleep(next_frame.min(next_sound).saturating_duration_since(Instant::now()));
            if next_sound <= next_frame {
                next_sound += SOUND_EVERY;
                self.send(&mut headers, AUDIO_BYTES, 1)?;
            } else {
                next_frame += Duration::from_secs(1) / FRAME_RATE;
                for (length, count) in runs(&frames.next_frame().lengths) {
                    self.send(&mut headers, length, count)?;
                }
            }
        }
        Ok(())
    }

    /// One run of `count` packets with `length` bytes of payload to everyone.
    fn send(&mut self, headers: &mut Headers, length: usize, count: usize) -> io::Result<()> {
        let packet = HEADER + length + TAG;
        let payload = &self.payload[..length];
        self.arena.resize(BATCH * count * packet, 0);
        for first in (0..self.destinations.len()).step_by(BATCH) {
            let batch = &self.destinations[first..self.destinations.len().min(first + BATCH)];
            for (run, to) in self.arena.chunks_exact_mut(count * packet).zip(batch) {
                for (sealed, sequence) in run.chunks_exact_mut(packet).zip(self.sequence..) {
                    to.seal(sealed, payload, sequence);
                }
            }
            let runs: Vec<[IoSlice; 1]> =
                self.arena.chunks_exact(count * packet).map(|run| [IoSlice::new(run)]).collect();
            let addresses: Vec<Option<SockaddrIn>> = batch.iter().map(|to| Some(to.address)).collect();
            let headers = if count > 1 { &mut headers.segmented } else { &mut headers.single };
            send_all(&self.socket, headers, &runs[..batch.len()], &addresses, (count > 1).then_some(packet))?;
            self.sent += (batch.len() * count) as u64;
        }
        self.sequence += count as u64;
        Ok(())
    }
}

impl Destination {
    fn new(to: SocketAddrV4, ssrc: u32) -> Self {
        let mut key = [7; 32];
        key[..4].copy_from_slice(&ssrc.to_be_bytes());
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).expect("a key of 32 bytes"));
        Self { address: to.into(), key, ssrc }
    }

    /// Write header and payload, and seal them.
    fn seal(&self, packet: &mut [u8], payload: &[u8], sequence: u64) {
        let number = sequence.to_be_bytes();
        let ssrc = self.ssrc.to_be_bytes();
        let (header, rest) = packet.split_at_mut(HEADER);
        header[..4].copy_from_slice(&[0x90, 96, number[6], number[7]]);
        header[4..8].copy_from_slice(&MARK);
        header[8..12].copy_from_slice(&ssrc);
        header[12..].copy_from_slice(&[0xbe, 0xde, 0, 1, 0x31, number[6], number[7], 0]);
        let mut nonce = [0; 12];
        nonce[2..6].copy_from_slice(&ssrc);
        nonce[6..].copy_from_slice(&number[2..]);
        let end = rest.len() - TAG;
        let (body, tag) = rest.split_at_mut(end);
        body.copy_from_slice(payload);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = self.key.seal_in_place_separate_tag(nonce, Aad::from(&*header), body);
        tag.copy_from_slice(sealed.expect("a packet's length").as_ref());
    }
}

/// Hand a batch to the kernel; when its buffers are full, wait a moment.
fn send_all(
    socket: &UdpSocket,
    headers: &mut MultiHeaders<SockaddrIn>,
    runs: &[[IoSlice; 1]],
    addresses: &[Option<SockaddrIn>],
    segment: Option<usize>,
) -> io::Result<()> {
    let size = u16::try_from(segment.unwrap_or(0)).map_err(io::Error::other)?;
    let control = [ControlMessage::UdpGsoSegments(&size)];
    let control = if segment.is_some() { &control[..] } else { &[] };
    let mut done = 0;
    while done < runs.len() {
        let flags = MsgFlags::MSG_DONTWAIT;
        match sendmmsg(socket.as_raw_fd(), headers, &runs[done..], &addresses[done..], control, flags) {
            Ok(results) => done += results.count(),
            Err(Errno::EAGAIN | Errno::ENOBUFS) => std::thread::sleep(FULL_PAUSE),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Runs of near-equal neighbours: (length of the longest, how many).
fn runs(lengths: &[usize]) -> Vec<(usize, usize)> {
    let near = |a: &usize, b: &usize| a.abs_diff(*b) <= NEAR;
    lengths.chunk_by(near).map(|run| (run.iter().copied().max().unwrap_or(0), run.len())).collect()
}

/// User and system time of this process.
fn cpu_micros() -> io::Result<i64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    Ok(usage.user_time().num_microseconds() + usage.system_time().num_microseconds())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_equal_packets_make_one_run() {
        for (name, lengths, expected) in [
            ("equal", &[1_000, 1_000][..], vec![(1_000, 2)]),
            ("a byte apart", &[1_000, 1_001, 1_001], vec![(1_001, 3)]),
            ("parameter sets first", &[34, 1_000, 1_000], vec![(34, 1), (1_000, 2)]),
        ] {
            assert_eq!(runs(lengths), expected, "{name}");
        }
    }

    #[test]
    fn its_packets_are_sealed_and_known_by_the_viewers() {
        let to = Destination::new("127.0.0.1:9".parse().unwrap(), SSRC + 499);
        let mut packet = vec![0; HEADER + 100 + TAG];
        to.seal(&mut packet, &[0x55; 100], 70_000);
        assert!(is_ours(&packet));
        assert_eq!(packet[2..4], [0x11, 0x70]);
        assert!(packet[HEADER..HEADER + 100].iter().any(|&byte| byte != 0x55));
        packet[4] ^= 1;
        assert!(!is_ours(&packet));
    }
}
