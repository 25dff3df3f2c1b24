//! The engine as other threads hold it: builds sessions here, hands them to the data thread, waits for its word.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rivulet_core::border::{CodecPayload, ForwarderConfig, ViewerSpec, ViewerTrack, WallClock};
use rivulet_core::dtls::Crypto;
use rivulet_core::negotiation::fragment::Fragment;
use rivulet_core::negotiation::{Codec, LocalTransport, Offer, Sending, Track, relay, whep, whip};
use rivulet_core::node::{Limits, NewPull, NewSession, Node, NodeStats, SessionId, TraceRead};
use rivulet_core::receive::Receiver;
use rivulet_core::session::{Media, Parts, Role, Session, agent};
use rivulet_core::trace::Bounds;
use rivulet_udp::{Buffers, SendCounters, Waker, bind, listen};

use crate::connections::ConnectionCounters;
use crate::data_thread::{Command, DataThread, ThreadCounters};
use crate::errors::Failure;
use crate::events::EventQueue;
use crate::random;

/// How long the data thread may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

pub struct Settings {
    pub address: SocketAddr,
    pub gather: Duration,
    pub history: Duration,
    pub egress_mbps: u32,
    pub limits: Limits,
    pub buffers: Buffers,
    /// Take media over TCP too, on the same port.
    pub tcp: bool,
}

/// Everything that `stats` tells.
pub struct Figures {
    pub node: NodeStats,
    pub send: SendCounters,
    pub thread: ThreadCounters,
    pub connections: ConnectionCounters,
    pub open_connections: usize,
}

pub struct Handle {
    pub events: Arc<EventQueue>,
    pub local: SocketAddr,
    buffers: Buffers,
    tcp: bool,
    crypto: Crypto,
    candidates: Mutex<Vec<SocketAddr>>,
    commands: Mutex<Option<Sender<Command>>>,
    waker: Arc<Waker>,
}

impl Handle {
    /// Bind and start the data thread.
    ///
    /// # Errors
    /// When the port is taken or the system is out of something.
    pub fn start(settings: &Settings) -> Result<Self, Failure> {
        let crypto = Crypto::new().map_err(std::io::Error::other)?;
        let (socket, listener) = sockets(settings)?;
        let local = socket.local_addr()?;
        let (commands, queue) = channel::<Command>();
        let waker = Arc::new(Waker::new()?);
        let events = Arc::new(EventQueue::new()?);
        let config = ForwarderConfig {
            gather_publisher: settings.gather,
            history: settings.history,
            egress_mbps: settings.egress_mbps,
            ..ForwarderConfig::default()
        };
        let node = Node::new(crypto.clone(), settings.limits, config, wall_clock(), random::number());
        let data = DataThread::new(node, (socket, listener), waker.clone(), queue, events.clone())?;
        thread::Builder::new().name("rivulet-data".to_owned()).spawn(move || data.run())?;
        let commands = Mutex::new(Some(commands));
        let Settings { buffers, tcp, .. } = *settings;
        Ok(Self { events, local, buffers, tcp, crypto, candidates: Mutex::default(), commands, waker })
    }

    pub fn set_candidates(&self, candidates: Vec<SocketAddr>) {
        *self.candidates.lock().unwrap_or_else(PoisonError::into_inner) = candidates;
    }

    pub fn publish(
        &self,
        stream: &str,
        incarnation: &str,
        offer: &str,
        codecs: &[Codec],
    ) -> Result<(SessionId, String), Failure> {
        let now = Instant::now();
        let receiving = whip::negotiate(&Offer::parse(offer)?, codecs)?;
        let local = self.local_transport(None);
        let answer = whip::answer(&local, &receiving);
        let agent = agent::transport(&self.crypto, &local, &receiving.peer, now)?;
        let media = Media::Inbound(Receiver::new(&receiving, &local.ufrag));
        let session = Session::new(Parts { role: Role::Publisher, media, local, peer: receiving.peer, agent }, now);
        let id = self.add(session, stream, Some(incarnation.to_owned()))?;
        Ok((id, answer))
    }

    pub fn play(
        &self,
        stream: &str,
        tracks: &[Track],
        offer: &str,
        role: Role,
        candidates: Option<Vec<SocketAddr>>,
    ) -> Result<(SessionId, String), Failure> {
        let now = Instant::now();
        let offer = Offer::parse(offer)?;
        let sources = random::local_sources();
        let sending = whep::negotiate(&offer, tracks, &sources)?;
        let local = self.local_transport(candidates);
        let answer = whep::answer(&local, &sources, &offer, &sending);
        let agent = agent::transport(&self.crypto, &local, &sending.peer, now)?;
        let media = Media::Outbound(viewer_spec(&sending, sources.cname, role));
        let session = Session::new(Parts { role, media, local, peer: sending.peer, agent }, now);
        let id = self.add(session, stream, None)?;
        Ok((id, answer))
    }

    pub fn pull(&self, stream: &str, incarnation: &str, tracks: &[Track]) -> Result<(SessionId, String), Failure> {
        let local = random::local_transport(self.crypto.fingerprint());
        let offer = relay::offer(&local, tracks)?;
        let socket = bind(SocketAddr::new(self.local.ip(), 0), self.buffers)?;
        let id = random::session_id();
        let created = Instant::now();
        let pull = NewPull { stream: stream.into(), incarnation: incarnation.to_owned(), local, created };
        self.call(move |data, _| -> Result<(), Failure> {
            data.add_own_socket(id, socket)?;
            data.node.add_pull(id, pull).map_err(|full| {
                data.drop_own_socket(id);
                Failure::Full(full)
            })
        })??;
        Ok((id, offer))
    }

    pub fn pull_answer(&self, id: SessionId, answer: &str) -> Result<(), Failure> {
        let answer = answer.to_owned();
        Ok(self.call(move |data, now| data.node.answer_pull(id, &answer, now))??)
    }

    pub fn patch(&self, id: SessionId, fragment: &str) -> Result<Option<String>, Failure> {
        let fragment = Fragment::parse(fragment)?;
        let local = self.local_transport(None);
        Ok(self.call(move |data, now| data.node.patch(id, &fragment, local, now))??)
    }

    pub fn close(&self, id: SessionId) -> Result<(), Failure> {
        let known = self.call(move |data, now| data.node.close(id, now))?;
        if known { Ok(()) } else { Err(Failure::UnknownSession) }
    }

    pub fn drop_stream(&self, stream: &str) -> Result<(), Failure> {
        let stream = stream.to_owned();
        self.call(move |data, now| data.node.drop_stream(&stream, now))
    }

    pub fn request_key_frame(&self, stream: &str) -> Result<(), Failure> {
        let stream = stream.to_owned();
        self.call(move |data, now| data.node.request_key_frame(&stream, now))
    }

    pub fn start_trace(&self, id: SessionId, time: Duration, room: usize) -> Result<(), Failure> {
        Ok(self.call(move |data, now| data.node.start_trace(id, Bounds { until: now + time, room }, now))??)
    }

    pub fn read_trace(&self, id: SessionId, stop: bool) -> Result<TraceRead, Failure> {
        self.call(move |data, now| data.node.read_trace(id, stop, now))
    }

    pub fn figures(&self) -> Result<Figures, Failure> {
        self.call(|data, now| {
            let figures = Figures {
                node: data.node.stats(now),
                send: data.send_counters(),
                thread: data.counters,
                connections: data.connections.counters,
                open_connections: data.connections.len(),
            };
            data.counters.lateness = Duration::ZERO;
            figures
        })
    }

    /// Close all sessions and stop the thread; waits for it at most `timeout`. Idempotent.
    pub fn shut_down(&self, timeout: Duration) {
        let Some(commands) = self.take_commands() else { return };
        let (done, finished) = sync_channel::<()>(1);
        let stop: Command = Box::new(move |data, now| {
            data.node.shut_down(now);
            data.stopping = true;
            drop(done);
        });
        if commands.send(stop).is_ok() {
            self.waker.wake();
            // Disconnected is the sign; the goodbyes leave in the same turn.
            let _ = finished.recv_timeout(timeout);
        }
    }

    fn take_commands(&self) -> Option<Sender<Command>> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn add(&self, session: Session, stream: &str, incarnation: Option<String>) -> Result<SessionId, Failure> {
        let id = random::session_id();
        let new = NewSession { id, session, stream: stream.into(), incarnation };
        self.call(move |data, now| data.node.add(new, now))??;
        Ok(id)
    }

    /// Have something done on the data thread.
    fn call<T: Send + 'static>(
        &self,
        action: impl FnOnce(&mut DataThread, Instant) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (answer, answered) = sync_channel(1);
        let command: Command = Box::new(move |data, now| {
            // The caller may have given up: then nobody wants the answer.
            let _ = answer.send(action(data, now));
        });
        commands.ok_or(Failure::Stopped)?.send(command).map_err(|_| Failure::Stopped)?;
        self.waker.wake();
        answered.recv_timeout(ANSWER).map_err(|_| Failure::Stopped)
    }

    fn local_transport(&self, candidates: Option<Vec<SocketAddr>>) -> LocalTransport {
        let candidates = candidates.unwrap_or_else(|| {
            let set = self.candidates.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if set.is_empty() { vec![self.own_address()] } else { set }
        });
        LocalTransport { candidates, tcp: self.tcp, ..random::local_transport(self.crypto.fingerprint()) }
    }

    /// Where we are when nobody said: the bound address, or loopback.
    fn own_address(&self) -> SocketAddr {
        let ip = if self.local.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { self.local.ip() };
        SocketAddr::new(ip, self.local.port())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Without a sender the thread stops at its next turn.
        drop(self.take_commands());
        self.waker.wake();
    }
}

/// One port number for both. Any free one is wanted: of some it is taken by somebody's TCP.
fn sockets(settings: &Settings) -> io::Result<(UdpSocket, Option<TcpListener>)> {
    const TRIES: usize = 16;
    let mut tries = 0;
    loop {
        let socket = bind(settings.address, settings.buffers)?;
        if !settings.tcp {
            return Ok((socket, None));
        }
        tries += 1;
        match listen(socket.local_addr()?) {
            Ok(listener) => return Ok((socket, Some(listener))),
            Err(_) if settings.address.port() == 0 && tries < TRIES => {}
            Err(error) => return Err(error),
        }
    }
}

fn wall_clock() -> WallClock {
    let since_unix_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    WallClock { at: Instant::now(), since_unix_epoch }
}

fn viewer_spec(sending: &Sending, cname: String, role: Role) -> ViewerSpec {
    let tracks = sending.media.iter().map(|media| ViewerTrack {
        kind: media.kind,
        mid: media.mid.clone(),
        payloads: media
            .payloads
            .iter()
            .map(|p| CodecPayload { codec: p.format.codec, payload_type: p.payload_type, rtx: p.rtx })
            .collect(),
        ssrc: media.ssrc,
        rtx_ssrc: media.rtx_ssrc,
        extensions: media.extensions.clone(),
    });
    ViewerSpec { tracks: tracks.collect(), cname, relay: role == Role::RelayOut }
}
