//! The publisher: sends what the schedule says over real ICE, DTLS and SRTP.
//!
//! It asks `offer SDP`; then its leader says `paced` or `burst` (a new stretch with a key frame first; behind it how many
//! frames a group of pictures has), `still` (a sound every 2 s) or `pause`, each answered with `done`. The end of stdin ends it.

use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use rivulet_core::dtls::Crypto;
use rivulet_udp::{Poller, Receiver};
use str0m::Event;
use str0m::format::Codec;
use str0m::media::{Direction, Mid, Pt};
use str0m::rtp::RtpWrite;

use crate::frames::{GOP, Pattern};
use crate::latency;
use crate::payload;
use crate::peer::{Peer, until};
use crate::pipe::Pipe;
use crate::schedule::{Packet, Schedule, Track};

const SOCKET: u64 = 0;
const LEADER: u64 = 1;
const LONGEST_WAIT: Duration = Duration::from_millis(100);
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// One RTP stream being sent.
struct Sending {
    mid: Mid,
    payload_type: Pt,
    sequence: u64,
}

struct Source {
    peer: Peer,
    video: Sending,
    audio: Sending,
    epoch: Instant,
    schedule: Option<Schedule>,
    connected: bool,
}

pub fn run(at: IpAddr) -> io::Result<()> {
    let mut pipe = Pipe::standard()?;
    let poller = Poller::new()?;
    let mut source = publish(&mut pipe, at)?;
    poller.add(&source.peer.socket, SOCKET)?;
    connect(&mut source, &poller)?;
    pipe.send("connected")?;
    poller.add(&pipe, LEADER)?;
    let mut receiver = Receiver::new(32);
    loop {
        let wait = until(source.deadline(), LONGEST_WAIT);
        for ready in poller.wait(wait)? {
            if ready.token == LEADER {
                let Some(command) = pipe.receive()? else { return Ok(()) };
                source.schedule = schedule(&command, source.epoch);
                pipe.send("done")?;
            } else {
                source.receive(&mut receiver)?;
            }
        }
        source.turn(Instant::now())?;
    }
}

/// What the leader asks for; None: silence.
fn schedule(command: &str, epoch: Instant) -> Option<Schedule> {
    if command == "still" {
        return Some(Schedule::still(epoch, Instant::now()));
    }
    let (name, gop) = command.split_once(' ').unwrap_or((command, ""));
    let schedule = Schedule::new(Pattern::from_name(name)?, epoch, Instant::now());
    Some(schedule.with_gop(gop.parse().unwrap_or(GOP)))
}

fn publish(pipe: &mut Pipe, at: IpAddr) -> io::Result<Source> {
    let crypto = Crypto::new().map_err(io::Error::other)?;
    let (mut peer, offer) = Peer::offer(&crypto, at, Direction::SendOnly)?;
    peer.accept(&pipe.ask(&format!("offer {offer}"))?)?;
    let sending = |mid, codec| {
        let payload_type = peer.payload_type(mid, codec);
        let payload_type = payload_type.ok_or_else(|| io::Error::other(format!("no {codec:?} in the answer")))?;
        Ok::<_, io::Error>(Sending { mid, payload_type, sequence: 1_000 })
    };
    let (video, audio) = (sending(peer.video, Codec::H264)?, sending(peer.audio, Codec::Opus)?);
    Ok(Source { peer, video, audio, epoch: Instant::now(), schedule: None, connected: false })
}

fn connect(source: &mut Source, poller: &Poller) -> io::Result<()> {
    let give_up = Instant::now() + CONNECT_WITHIN;
    let mut receiver = Receiver::new(32);
    while !source.connected {
        if Instant::now() > give_up {
            return Err(io::Error::other("the publisher does not connect"));
        }
        source.turn(Instant::now())?;
        if !poller.wait(until(source.deadline(), LONGEST_WAIT))?.is_empty() {
            source.receive(&mut receiver)?;
        }
    }
    Ok(())
}

impl Source {
    fn deadline(&self) -> Instant {
        self.schedule.as_ref().map_or(self.peer.deadline, |schedule| schedule.deadline().min(self.peer.deadline))
    }

    fn receive(&mut self, receiver: &mut Receiver) -> io::Result<()> {
        receiver.receive(&self.peer.socket)?;
        for (from, bytes) in receiver.datagrams() {
            self.peer.receive(from, bytes, Instant::now())?;
        }
        self.drain()
    }

    fn turn(&mut self, now: Instant) -> io::Result<()> {
        while let Some(packet) = self.schedule.as_mut().and_then(|schedule| schedule.pop(now)) {
            self.write(packet, now);
            // One at a time: str0m keeps its own order of tracks in a batch.
            self.peer.time_out(now)?;
            self.drain()?;
        }
        if self.peer.deadline <= now {
            self.peer.time_out(now)?;
        }
        self.drain()
    }

    fn write(&mut self, mut packet: Packet, now: Instant) {
        payload::stamp(&mut packet.payload, latency::micros_now());
        let (sending, video) = match packet.track {
            Track::Video => (&mut self.video, true),
            Track::Audio => (&mut self.audio, false),
        };
        sending.sequence += 1;
        let rtp = RtpWrite::new(sending.payload_type, sending.sequence.into(), packet.timestamp, now, packet.payload)
            .marker(packet.marker)
            .nackable(video);
        if let Some(stream) = self.peer.rtc.direct_api().stream_tx_by_mid(sending.mid, None) {
            stream.write_rtp(rtp);
        }
    }

    fn drain(&mut self) -> io::Result<()> {
        let (connected, schedule) = (&mut self.connected, &mut self.schedule);
        self.peer.drain(|event| match event {
            Event::Connected => *connected = true,
            Event::KeyframeRequest(_) => schedule.iter_mut().for_each(Schedule::want_key),
            _ => {}
        })
    }
}
