//! Viewers one after another beside a witness who is always there: how soon each has a picture, and how soon it is live.
//!
//! It asks `offer SDP` for the witness and says `connected`. Each `start` of its leader is one viewer: `offer SDP` again, and
//! after two seconds of watching `started NAME=VALUE…` with its figures, in µs. The end of stdin ends it.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rivulet_core::dtls::Crypto;
use rivulet_core::key_frame;
use rivulet_core::negotiation::Codec;
use rivulet_udp::{Poller, Receiver};
use str0m::Event;
use str0m::media::Direction;
use str0m::rtp::RtpPacket;

use crate::peer::{Peer, until};
use crate::pipe::Pipe;

const WITNESS: u64 = 0;
const VIEWER: u64 = 1;
const LEADER: u64 = 2;
const LONGEST_WAIT: Duration = Duration::from_millis(10);
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long each viewer is watched.
const WATCHED: Duration = Duration::from_secs(2);
/// Who gets a frame this much later than the witness is not live.
const LIVE: Duration = Duration::from_millis(300);
/// Frames that the witness remembers: some ten seconds.
const REMEMBERED: usize = 300;

struct Watcher {
    peer: Peer,
    seen: Seen,
}

/// What one watcher has received, of packets those of video.
#[derive(Debug, Default)]
struct Seen {
    /// When DTLS was finished.
    connected: Option<Instant>,
    /// How long it had nothing to do until then.
    waited: Duration,
    key_timestamp: Option<u32>,
    /// When its first packet was there.
    key_begins: Option<Instant>,
    /// When the first key frame was there to its last packet.
    key_at: Option<Instant>,
    /// The last packet's payload of each frame, and when it came.
    frames: VecDeque<(Vec<u8>, Instant)>,
    /// Packets, and their first and last number.
    packets: u64,
    numbers: Option<(u64, u64)>,
}

struct Stage {
    at: IpAddr,
    crypto: Crypto,
    poller: Poller,
    receiver: Receiver,
    witness: Watcher,
}

pub fn run(at: IpAddr) -> io::Result<()> {
    let mut pipe = Pipe::standard()?;
    let mut stage = Stage::new(&mut pipe, at)?;
    pipe.send("connected")?;
    stage.poller.add(&pipe, LEADER)?;
    loop {
        if stage.turn(None)? {
            let Some(command) = pipe.receive()? else { return Ok(()) };
            if command == "start" {
                let figures = stage.start(&mut pipe)?;
                pipe.send(&format!("started {figures}"))?;
            }
        }
    }
}

impl Stage {
    fn new(pipe: &mut Pipe, at: IpAddr) -> io::Result<Self> {
        let crypto = Crypto::new().map_err(io::Error::other)?;
        let (mut peer, offer) = Peer::offer(&crypto, at, Direction::RecvOnly)?;
        peer.accept(&pipe.ask(&format!("offer {offer}"))?)?;
        let poller = Poller::new()?;
        poller.add(&peer.socket, WITNESS)?;
        let mut stage = Self { at, crypto, poller, receiver: Receiver::new(32), witness: Watcher::new(peer)? };
        let give_up = Instant::now() + CONNECT_WITHIN;
        while stage.witness.seen.connected.is_none() {
            if Instant::now() > give_up {
                return Err(io::Error::other("the witness does not connect"));
            }
            stage.turn(None)?;
        }
        Ok(stage)
    }

    /// One viewer from its POST on.
    fn start(&mut self, pipe: &mut Pipe) -> io::Result<Figures> {
        let (mut peer, offer) = Peer::offer(&self.crypto, self.at, Direction::RecvOnly)?;
        let posted = Instant::now();
        let answer = pipe.ask(&format!("offer {offer}"))?;
        let answered = posted.elapsed();
        peer.accept(&answer)?;
        self.poller.add(&peer.socket, VIEWER)?;
        let mut viewer = Watcher::new(peer)?;
        viewer.seen.waited += answered;
        while Instant::now() < posted + WATCHED {
            self.turn(Some(&mut viewer))?;
        }
        Ok(Figures::of(&viewer.seen, &self.witness.seen, posted))
    }

    /// Serve sockets and timers once; whether the leader has said something.
    fn turn(&mut self, mut viewer: Option<&mut Watcher>) -> io::Result<bool> {
        let mut spoken = false;
        let due =
            viewer.as_ref().map_or(self.witness.peer.deadline, |v| v.peer.deadline.min(self.witness.peer.deadline));
        let asleep = Instant::now();
        let all_ready = self.poller.wait(until(due, LONGEST_WAIT))?;
        if let Some(viewer) = viewer.as_deref_mut().filter(|viewer| viewer.seen.connected.is_none()) {
            viewer.seen.waited += asleep.elapsed();
        }
        for ready in all_ready {
            match (ready.token, viewer.as_deref_mut()) {
                (WITNESS, _) => self.witness.receive(&mut self.receiver)?,
                (VIEWER, Some(viewer)) => viewer.receive(&mut self.receiver)?,
                (LEADER, None) => spoken = true,
                _ => {}
            }
        }
        let now = Instant::now();
        for watcher in [Some(&mut self.witness), viewer].into_iter().flatten().filter(|w| w.peer.deadline <= now) {
            watcher.peer.time_out(now)?;
            watcher.drain()?;
        }
        Ok(spoken)
    }
}

impl Watcher {
    fn new(peer: Peer) -> io::Result<Self> {
        let mut watcher = Self { peer, seen: Seen::default() };
        watcher.drain()?;
        Ok(watcher)
    }

    fn receive(&mut self, receiver: &mut Receiver) -> io::Result<()> {
        receiver.receive(&self.peer.socket)?;
        let now = Instant::now();
        let datagrams: Vec<(SocketAddr, &[u8])> = receiver.datagrams().collect();
        for (from, bytes) in datagrams {
            self.peer.receive(from, bytes, now)?;
            self.drain()?;
        }
        Ok(())
    }

    fn drain(&mut self) -> io::Result<()> {
        let (seen, audio) = (&mut self.seen, self.peer.audio);
        self.peer.drain(|event| match event {
            Event::Connected => seen.connected = seen.connected.or_else(|| Some(Instant::now())),
            Event::RtpPacket(packet) if packet.header.ext_vals.mid != Some(audio) => seen.take(&packet),
            _ => {}
        })
    }
}

impl Seen {
    fn take(&mut self, packet: &RtpPacket) {
        let (timestamp, number) = (packet.header.timestamp, *packet.seq_no);
        self.packets += 1;
        let (first, last) = self.numbers.unwrap_or((number, number));
        self.numbers = Some((first.min(number), last.max(number)));
        // One that a newer one overtakes is not gone on with.
        if self.key_at.is_none() && key_frame::begins(Codec::H264, &packet.payload) {
            self.key_timestamp = Some(timestamp);
            self.key_begins = self.key_begins.or(Some(packet.timestamp));
        }
        if packet.header.marker {
            if self.key_timestamp == Some(timestamp) {
                self.key_at = self.key_at.or(Some(packet.timestamp));
            }
            self.frames.push_back((packet.payload.to_vec(), packet.timestamp));
            if self.frames.len() > REMEMBERED {
                self.frames.pop_front();
            }
        }
    }
}

/// What became of one start; times after POST. What did not happen is as long as the viewer was watched.
#[derive(Debug, PartialEq, Eq)]
struct Figures {
    /// DTLS is finished; and what of that the client waited for the server and for loopback.
    connected: Duration,
    waited: Duration,
    /// The first packet of a key frame, and the last one of the first that is whole.
    key_begins: Duration,
    key: Duration,
    /// The last packet of the frame after it: the picture moves.
    moving: Duration,
    /// The first frame from which on all came at most `LIVE` after the witness had them.
    live: Duration,
    /// How much later than the witness it got its first and its last frame.
    behind: (Duration, Duration),
    frames: usize,
    missing: u64,
}

impl Figures {
    fn of(viewer: &Seen, witness: &Seen, posted: Instant) -> Self {
        let known = |payload: &[u8]| witness.frames.iter().rev().find(|(other, _)| other == payload);
        // What the witness has not had yet is not late.
        let behind = |(payload, at): &(Vec<u8>, Instant)| {
            known(payload).map_or(Duration::ZERO, |(_, theirs)| at.saturating_duration_since(*theirs))
        };
        let lags: Vec<(Instant, Duration)> = viewer.frames.iter().map(|frame| (frame.1, behind(frame))).collect();
        let late = lags.iter().rposition(|(_, lag)| *lag > LIVE);
        let live = lags.get(late.map_or(0, |at| at + 1));
        let after = |at: Option<Instant>| at.map_or(WATCHED, |at| at.saturating_duration_since(posted));
        let lag = |frame: Option<&(Instant, Duration)>| frame.map_or(Duration::ZERO, |(_, lag)| *lag);
        let expected = viewer.numbers.map_or(0, |(first, last)| last - first + 1);
        let moving = lags.iter().find(|(at, _)| viewer.key_at.is_some_and(|key| *at > key));
        Self {
            connected: after(viewer.connected),
            waited: viewer.waited,
            key_begins: after(viewer.key_begins),
            key: after(viewer.key_at),
            moving: after(moving.map(|(at, _)| *at)),
            live: after(live.map(|(at, _)| *at)),
            behind: (lag(lags.first()), lag(lags.last())),
            frames: lags.len(),
            missing: expected.saturating_sub(viewer.packets),
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.behind.0.as_micros(), self.behind.1.as_micros());
        write!(f, "connected={} waited={} ", self.connected.as_micros(), self.waited.as_micros())?;
        write!(f, "key_begins={} key={} ", self.key_begins.as_micros(), self.key.as_micros())?;
        write!(f, "moving={} live={} ", self.moving.as_micros(), self.live.as_micros())?;
        write!(f, "first_behind={first} last_behind={last} frames={} missing={}", self.frames, self.missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_viewer_is_live_from_the_first_frame_after_the_last_late_one() {
        let posted = Instant::now();
        let frames = |times: &[u64]| -> VecDeque<(Vec<u8>, Instant)> {
            times.iter().zip(0..).map(|(&at, number)| (vec![number], posted + ms(at))).collect()
        };
        let witness = Seen { frames: frames(&[0, 33, 230, 263, 1000]), ..Seen::default() };
        let viewer = Seen {
            connected: Some(posted + ms(490)),
            waited: ms(480),
            key_begins: Some(posted + ms(495)),
            key_at: Some(posted + ms(500)),
            frames: frames(&[500, 508, 520, 530, 1001]),
            packets: 8,
            numbers: Some((10, 19)),
            ..Seen::default()
        };
        let expected = Figures {
            connected: ms(490),
            waited: ms(480),
            key_begins: ms(495),
            key: ms(500),
            moving: ms(508),
            live: ms(520),
            behind: (ms(500), ms(1)),
            frames: 5,
            missing: 2,
        };
        assert_eq!(Figures::of(&viewer, &witness, posted), expected);
        let nothing = Figures {
            connected: WATCHED,
            waited: ms(0),
            key_begins: WATCHED,
            key: WATCHED,
            moving: WATCHED,
            live: WATCHED,
            behind: (ms(0), ms(0)),
            frames: 0,
            missing: 0,
        };
        assert_eq!(Figures::of(&Seen::default(), &witness, posted), nothing);
    }
}
