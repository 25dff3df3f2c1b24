//! Many viewers in one process: real ICE and DTLS each; most only count what comes, the first few decrypt and check it.
//!
//! It asks `offer SDP` for each viewer, says `connected ADDRESSES` when all are, and answers `count` with its counters as
//! `name=value` words; `reset` as well, and then counts from zero; `latency`: transit times to the first viewer since it was last
//! asked, until the process reads a packet, or from `stamp` on until the kernel has it; `pictures`: its frames, and how long its
//! picture stood. The end of stdin ends it. Visitors go as soon as they are connected: it says `leave NUMBER` and is answered.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rivulet_core::dtls::Crypto;
use rivulet_udp::{Poller, Ready, Receiver};
use str0m::Event;
use str0m::media::Direction;

use crate::floor;
use crate::latency::{self, Transits};
use crate::payload::{self, Part};
use crate::peer::Peer;
use crate::pictures::{Pictures, Piece};
use crate::pipe::Pipe;
use crate::stamped::{Datagram, Stamped};

const LEADER: u64 = u64::MAX;
/// How many joins are under way at a time.
const JOINING: usize = 20;
const TICK: Duration = Duration::from_millis(10);
const CONNECT_WITHIN: Duration = Duration::from_mins(1);
/// And this for each viewer: the slowest servers need some 15 ms of a core for one.
const CONNECT_EACH: Duration = Duration::from_millis(50);

struct Viewer {
    peer: Peer,
    connected: bool,
    left: bool,
    verifies: bool,
    seen: Seen,
    transits: Transits,
    pictures: Pictures,
    /// When the kernel got the packet at hand, µs since 1970; None: ask the clock.
    arrived: Option<u64>,
}

/// What one viewer has received.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Seen {
    packets: u64,
    bytes: u64,
    /// From the bare loop.
    floor: u64,
    floor_bytes: u64,
    intact: u64,
    broken: u64,
}

struct Crowd {
    at: IpAddr,
    viewers: Vec<Viewer>,
    /// Reads the first viewer's socket when arrivals are to be known from the kernel.
    stamped: Option<Stamped>,
    crypto: Crypto,
    poller: Poller,
    receiver: Receiver,
    next_tick: Instant,
    leave_at_once: bool,
}

pub fn run(at: IpAddr, count: usize, verifying: usize) -> io::Result<()> {
    allow_sockets()?;
    let mut pipe = Pipe::standard()?;
    let mut crowd = Crowd::new(at)?;
    crowd.join(&mut pipe, count, verifying)?;
    pipe.send(&format!("connected {}", crowd.addresses()?))?;
    crowd.poller.add(&pipe, LEADER)?;
    loop {
        if crowd.turn()? {
            let Some(command) = pipe.receive()? else { return Ok(()) };
            pipe.send(&crowd.answer(&command)?)?;
        }
    }
}

/// Viewers come and go at once; then it says `connected`.
pub fn visit(at: IpAddr, count: usize) -> io::Result<()> {
    allow_sockets()?;
    let mut pipe = Pipe::standard()?;
    let mut crowd = Crowd::new(at)?;
    crowd.leave_at_once = true;
    crowd.join(&mut pipe, count, 0)?;
    pipe.send("connected")
}

/// Every viewer has a socket: as many open files as this process may ask for.
fn allow_sockets() -> io::Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, most, most)?)
}

impl Crowd {
    fn new(at: IpAddr) -> io::Result<Self> {
        Ok(Self {
            at,
            viewers: Vec::new(),
            stamped: None,
            crypto: Crypto::new().map_err(io::Error::other)?,
            poller: Poller::new()?,
            receiver: Receiver::new(32),
            next_tick: Instant::now(),
            leave_at_once: false,
        })
    }

    fn join(&mut self, pipe: &mut Pipe, count: usize, verifying: usize) -> io::Result<()> {
        let give_up = Instant::now() + CONNECT_WITHIN + CONNECT_EACH * u32::try_from(count).unwrap_or(u32::MAX);
        loop {
            let connected = self.viewers.iter().filter(|viewer| viewer.connected).count();
            if connected == count {
                return Ok(());
            }
            if Instant::now() > give_up {
                return Err(io::Error::other(format!("only {connected} of {count} viewers have connected")));
            }
            if self.viewers.len() < count && self.viewers.len() - connected < JOINING {
                self.add(pipe, verifying)?;
            }
            self.turn()?;
            if self.leave_at_once {
                self.let_go(pipe)?;
            }
        }
    }

    /// Those who are connected go.
    fn let_go(&mut self, pipe: &mut Pipe) -> io::Result<()> {
        for (number, viewer) in self.viewers.iter_mut().enumerate().filter(|(_, each)| each.connected && !each.left) {
            viewer.left = true;
            self.poller.remove(&viewer.peer.socket)?;
            pipe.ask(&format!("leave {number}"))?;
        }
        Ok(())
    }

    fn add(&mut self, pipe: &mut Pipe, verifying: usize) -> io::Result<()> {
        let (mut peer, offer) = Peer::offer(&self.crypto, self.at, Direction::RecvOnly)?;
        peer.accept(&pipe.ask(&format!("offer {offer}"))?)?;
        self.poller.add(&peer.socket, self.viewers.len() as u64)?;
        let verifies = self.viewers.len() < verifying;
        let (seen, transits, pictures) = (Seen::default(), Transits::default(), Pictures::default());
        let mut viewer =
            Viewer { peer, connected: false, left: false, verifies, seen, transits, pictures, arrived: None };
        viewer.drain()?;
        self.viewers.push(viewer);
        Ok(())
    }

    /// Serve sockets and timers once; whether the leader has said something.
    fn turn(&mut self) -> io::Result<bool> {
        let mut spoken = false;
        for Ready { token, .. } in self.poller.wait(TICK)? {
            match (usize::try_from(token).ok().and_then(|index| self.viewers.get_mut(index)), &mut self.stamped) {
                (Some(viewer), Some(stamped)) if token == 0 => viewer.receive_stamped(stamped)?,
                (Some(viewer), _) => viewer.receive(&mut self.receiver)?,
                (None, _) => spoken = true,
            }
        }
        let now = Instant::now();
        if now >= self.next_tick {
            self.next_tick = now + TICK;
            for viewer in self.viewers.iter_mut().filter(|viewer| !viewer.left && viewer.peer.deadline <= now) {
                viewer.peer.time_out(now)?;
                viewer.drain()?;
            }
        }
        Ok(spoken)
    }

    fn addresses(&self) -> io::Result<String> {
        let local = |viewer: &Viewer| viewer.peer.socket.local_addr().map(|address| address.to_string());
        Ok(self.viewers.iter().map(local).collect::<io::Result<Vec<_>>>()?.join(","))
    }

    fn answer(&mut self, command: &str) -> io::Result<String> {
        match command {
            "latency" => {
                let words = self.viewers.first().map_or_else(String::new, |viewer| viewer.transits.words());
                self.viewers.iter_mut().for_each(|viewer| viewer.transits.forget());
                return Ok(words);
            }
            "pictures" => {
                let first = self.viewers.first_mut();
                return Ok(first.map_or_else(String::new, |viewer| viewer.pictures.words(latency::micros_now())));
            }
            "stamp" => {
                if let Some(first) = self.viewers.first() {
                    self.stamped = Some(Stamped::new(&first.peer.socket)?);
                }
            }
            _ => {}
        }
        let total = self.total().to_string();
        if command == "reset" {
            self.viewers.iter_mut().for_each(|viewer| viewer.seen = Seen::default());
        }
        Ok(total)
    }

    fn total(&self) -> Total {
        Total(self.viewers.iter().map(|viewer| viewer.seen).collect())
    }
}

impl Viewer {
    fn receive(&mut self, receiver: &mut Receiver) -> io::Result<()> {
        receiver.receive(&self.peer.socket)?;
        let now = Instant::now();
        for (from, bytes) in receiver.datagrams() {
            self.take(from, bytes, now)?;
        }
        Ok(())
    }

    fn receive_stamped(&mut self, stamped: &mut Stamped) -> io::Result<()> {
        while let Some(Datagram { from, bytes, arrived }) = stamped.receive(&self.peer.socket)? {
            self.arrived = arrived;
            self.take(from, bytes, Instant::now())?;
        }
        Ok(())
    }

    fn take(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) -> io::Result<()> {
        if floor::is_ours(bytes) {
            self.seen.floor += 1;
            self.seen.floor_bytes += bytes.len() as u64;
            return Ok(());
        }
        if is_rtp(bytes) {
            self.seen.packets += 1;
            self.seen.bytes += bytes.len() as u64;
        }
        let media = bytes.first().is_some_and(|first| (128..192).contains(first));
        if media && self.connected && !self.verifies {
            return Ok(());
        }
        self.peer.receive(from, bytes, now)?;
        self.drain()
    }

    fn drain(&mut self) -> io::Result<()> {
        let (connected, seen) = (&mut self.connected, &mut self.seen);
        let (transits, pictures) = (&mut self.transits, &mut self.pictures);
        let arrived = self.arrived;
        self.peer.drain(|event| match event {
            Event::Connected => *connected = true,
            Event::RtpPacket(packet) => {
                // str0m leaves RTP padding where it is; its last byte is its length (RFC 3550, 5.1).
                let padding = if packet.header.has_padding { packet.payload.last().copied().unwrap_or(0) } else { 0 };
                let end = packet.payload.len().saturating_sub(padding.into());
                let intact = payload::is_intact(&packet.payload[..end]);
                seen.intact += u64::from(intact);
                seen.broken += u64::from(!intact);
                if let Some((sent, part)) = payload::stamped(&packet.payload[..end]) {
                    let (came, completes) = (arrived.unwrap_or_else(latency::micros_now), packet.header.marker);
                    transits.note(sent, came, part, completes);
                    let (sequence, timestamp) = (*packet.seq_no, packet.header.timestamp);
                    if let Part::Slice { begins } = part {
                        pictures.note(Piece { sequence, timestamp, sent, came, begins, completes });
                    }
                }
            }
            _ => {}
        })
    }
}

/// RTP and not RTCP, STUN or DTLS (RFC 7983; RFC 5761, 4).
fn is_rtp(bytes: &[u8]) -> bool {
    bytes.len() >= 12 && (128..192).contains(&bytes[0]) && !(192..224).contains(&bytes[1])
}

/// The sums over all viewers, and the two who got least and most.
struct Total(Vec<Seen>);

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = |what: fn(&Seen) -> u64| self.0.iter().map(what).sum::<u64>();
        let each = || self.0.iter().map(|seen| seen.packets);
        let (packets, bytes) = (sum(|s| s.packets), sum(|s| s.bytes));
        let (floor, floor_bytes) = (sum(|s| s.floor), sum(|s| s.floor_bytes));
        let (intact, broken) = (sum(|s| s.intact), sum(|s| s.broken));
        let (least, most) = (each().min().unwrap_or(0), each().max().unwrap_or(0));
        write!(f, "packets={packets} bytes={bytes} floor={floor} floor_bytes={floor_bytes} ")?;
        write!(f, "intact={intact} broken={broken} least={least} most={most}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rtp_is_told_from_what_else_comes_to_the_port() {
        let datagram = |first, second| [&[first, second], &[0; 30][..]].concat();
        for (name, bytes, expected) in [
            ("video", datagram(0x90, 96), true),
            ("video with marker", datagram(0x90, 0xec), true),
            ("sender report", datagram(0x80, 200), false),
            ("STUN", datagram(0, 1), false),
            ("DTLS", datagram(22, 254), false),
            ("nothing", vec![], false),
        ] {
            assert_eq!(is_rtp(&bytes), expected, "{name}");
        }
    }

    #[test]
    fn a_total_adds_up_and_names_least_and_most() {
        let seen = |packets| Seen { packets, bytes: packets * 1_000, ..Seen::default() };
        let text = Total(vec![seen(3), seen(5)]).to_string();
        assert_eq!(text, "packets=8 bytes=8000 floor=0 floor_bytes=0 intact=0 broken=0 least=3 most=5");
    }
}
