//! The engine as other threads hold it: builds sessions here, hands them to a data thread, waits for its word.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rivulet_core::border::{CodecPayload, ForwarderConfig, ViewerSpec, ViewerTrack, WallClock};
use rivulet_core::dtls::Crypto;
use rivulet_core::inboxes::MOST_THREADS;
use rivulet_core::negotiation::fragment::Fragment;
use rivulet_core::negotiation::{Codec, LocalTransport, Offer, Sending, Track, ingest, relay, whep, whip};
use rivulet_core::node::{Limits, NewPull, NewSession, Node, PulledFrom, SessionId, TraceRead};
use rivulet_core::pacing::WayOut;
use rivulet_core::receive::Receiver;
use rivulet_core::session::{Media, Parts, Role, Session, agent};
use rivulet_core::trace::Bounds;
use rivulet_udp::{Buffers, Cut, bind, bind_group, listen};

use crate::crew::Crew;
use crate::errors::Failure;
use crate::events::EventQueue;
use crate::figures::Figures;
use crate::random;

pub struct Settings {
    pub address: SocketAddr,
    pub gather: Duration,
    pub history: Duration,
    pub egress_mbps: u32,
    /// What one publisher may send.
    pub publisher_mbps: u32,
    pub limits: Limits,
    pub buffers: Buffers,
    /// Data threads, at least 1.
    pub threads: usize,
    /// Take media over TCP too, on the same port.
    pub tcp: bool,
    /// The congestion control that connections of relays are to have.
    pub congestion: String,
}

/// What a viewer's session may be given besides.
#[derive(Default)]
pub struct PlayOptions {
    pub candidates: Option<Vec<SocketAddr>>,
    /// The rid of the layer that is asked for.
    pub layer: Option<String>,
}

pub struct Handle {
    pub events: Arc<EventQueue>,
    pub local: SocketAddr,
    pub(crate) buffers: Buffers,
    /// Of the shared sockets: what they lack of `buffers`.
    pub cuts: Vec<Cut>,
    tcp: bool,
    publisher_mbps: u32,
    pub(crate) crypto: Crypto,
    candidates: Mutex<Vec<SocketAddr>>,
    pub(crate) crew: Crew,
}

impl Handle {
    /// Bind and start the data threads.
    ///
    /// # Errors
    /// When the port is taken or the system is out of something.
    pub fn start(settings: &Settings) -> Result<Self, Failure> {
        let crypto = Crypto::new().map_err(std::io::Error::other)?;
        let threads = settings.threads.clamp(1, MOST_THREADS);
        let (sockets, listener) = sockets(settings, threads)?;
        let tcp = listener.is_some();
        let local = sockets[0].local_addr()?;
        let cuts = settings.buffers.cuts(&sockets[0])?;
        let events = Arc::new(EventQueue::new()?);
        let config = ForwarderConfig {
            gather_publisher: settings.gather,
            history: settings.history,
            way_out: WayOut::new(settings.egress_mbps, threads),
            ..ForwarderConfig::default()
        };
        let clock = wall_clock();
        let node = || Node::new(crypto.clone(), settings.limits, config.clone(), clock, random::number());
        let crew =
            Crew::start(sockets, (listener, settings.limits.connections(), &settings.congestion), &events, node)?;
        let (buffers, publisher_mbps) = (settings.buffers, settings.publisher_mbps);
        Ok(Self { events, local, buffers, cuts, tcp, publisher_mbps, crypto, candidates: Mutex::default(), crew })
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
        let media = Media::Inbound(Receiver::new(&receiving, &local.ufrag).limited_to(self.publisher_mbps));
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
        with: PlayOptions,
    ) -> Result<(SessionId, String), Failure> {
        let now = Instant::now();
        let PlayOptions { candidates, layer } = with;
        let mut offer = Offer::parse(offer)?;
        offer.transport.over_tcp = role == Role::RelayOut && relay::is_over_tcp(&offer);
        if offer.transport.over_tcp && !self.tcp {
            return Err(Failure::NoTcp);
        }
        let sources = random::local_sources();
        let sending = whep::negotiate(&offer, tracks, &sources)?;
        let local = self.local_transport(candidates);
        let answer = whep::answer(&local, &sources, &offer, &sending);
        let agent = agent::transport(&self.crypto, &local, &sending.peer, now)?;
        let media = Media::Outbound(viewer_spec(&sending, sources.cname, role, layer));
        let session = Session::new(Parts { role, media, local, peer: sending.peer, agent }, now);
        let id = self.add(session, stream, None)?;
        Ok((id, answer))
    }

    pub fn pull(&self, stream: &str, incarnation: &str, tracks: &[Track]) -> Result<(SessionId, String), Failure> {
        let local = random::local_transport(self.crypto.fingerprint());
        let offer = relay::offer(&local, tracks)?;
        let socket = bind(SocketAddr::new(self.local.ip(), 0), self.buffers)?;
        let (created, incarnation) = (Instant::now(), incarnation.to_owned());
        let pull = NewPull { stream: stream.into(), incarnation, local, created, from: PulledFrom::Node };
        Ok((self.add_pull(pull, socket)?, offer))
    }

    /// The same from a foreign server: what it sends, one of `codecs`, is a publication of this node.
    pub fn ingest(&self, stream: &str, incarnation: &str, codecs: Vec<Codec>) -> Result<(SessionId, String), Failure> {
        let socket = self.bind_own()?;
        let port = socket.local_addr()?.port();
        let ours = self.local_transport(None).candidates.into_iter().map(|address| SocketAddr::new(address.ip(), port));
        let local = LocalTransport { candidates: ours.collect(), ..random::local_transport(self.crypto.fingerprint()) };
        let offer = ingest::offer(&local, &codecs)?;
        let (created, incarnation) = (Instant::now(), incarnation.to_owned());
        let from = PulledFrom::Server { codecs, megabits: self.publisher_mbps };
        let pull = NewPull { stream: stream.into(), incarnation, local, created, from };
        Ok((self.add_pull(pull, socket)?, offer))
    }

    fn add_pull(&self, pull: NewPull, socket: UdpSocket) -> Result<SessionId, Failure> {
        let id = random::session_id();
        self.crew.call(self.crew.next(), move |data, _| -> Result<(), Failure> {
            data.add_own_socket(id, socket)?;
            data.node.add_pull(id, pull).map_err(|full| {
                data.drop_own_socket(id);
                Failure::Full(full)
            })
        })??;
        Ok(id)
    }

    /// For a peer that may be reached by IPv4 or IPv6, where we listen on every address: whether clients come by both or not.
    fn bind_own(&self) -> io::Result<UdpSocket> {
        let any = if self.local.ip().is_unspecified() { Ipv6Addr::UNSPECIFIED.into() } else { self.local.ip() };
        let bound = bind(SocketAddr::new(any, 0), self.buffers);
        // A kernel without IPv6.
        bound.or_else(|_| bind(SocketAddr::new(self.local.ip(), 0), self.buffers))
    }

    /// A relay over TCP alone: no socket before the parent has answered.
    pub fn pull_over_tcp(
        &self,
        stream: &str,
        incarnation: &str,
        tracks: &[Track],
    ) -> Result<(SessionId, String), Failure> {
        let local = random::local_transport(self.crypto.fingerprint());
        let offer = relay::offer_over_tcp(&local, tracks)?;
        let (id, created, incarnation) = (random::session_id(), Instant::now(), incarnation.to_owned());
        let pull = NewPull { stream: stream.into(), incarnation, local, created, from: PulledFrom::NodeOverTcp };
        self.crew.call(self.crew.next(), move |data, _| data.node.add_pull(id, pull))??;
        Ok((id, offer))
    }

    pub fn pull_answer(&self, id: SessionId, answer: &str) -> Result<(), Failure> {
        let answer = answer.to_owned();
        Ok(self.crew.call_for(id, move |data, now| data.node.answer_pull(id, &answer, now))??)
    }

    pub fn patch(&self, id: SessionId, fragment: &str) -> Result<Option<String>, Failure> {
        let fragment = Fragment::parse(fragment)?;
        let local = self.local_transport(None);
        Ok(self.crew.call_for(id, move |data, now| data.node.patch(id, &fragment, local, now))??)
    }

    pub fn close(&self, id: SessionId) -> Result<(), Failure> {
        let known = self.crew.call_for(id, move |data, now| data.node.close(id, now))?;
        if known { Ok(()) } else { Err(Failure::UnknownSession) }
    }

    pub fn drop_stream(&self, stream: &str) -> Result<(), Failure> {
        // A second time for a session that was on its way to a thread that had been asked.
        for _ in 0..2 {
            let stream = stream.to_owned();
            self.crew.call_all(move |data, now| data.node.drop_stream(&stream, now))?;
        }
        Ok(())
    }

    pub fn request_key_frame(&self, stream: &str) -> Result<(), Failure> {
        let stream = stream.to_owned();
        self.crew.call_all(move |data, now| data.node.request_key_frame(&stream, now))?;
        Ok(())
    }

    pub fn choose_layer(&self, id: SessionId, rid: Option<String>) -> Result<(), Failure> {
        let known = self.crew.call_for(id, move |data, now| data.node.choose_layer(id, rid.as_deref(), now))?;
        if known { Ok(()) } else { Err(Failure::UnknownSession) }
    }

    pub fn start_trace(&self, id: SessionId, time: Duration, room: usize) -> Result<(), Failure> {
        Ok(self
            .crew
            .call_for(id, move |data, now| data.node.start_trace(id, Bounds { until: now + time, room }, now))??)
    }

    pub fn read_trace(&self, id: SessionId, stop: bool) -> Result<TraceRead, Failure> {
        // A trace outlives its session until it is read.
        let has = self.crew.call_all(move |data, _| data.node.has(id))?;
        let thread = has.iter().position(|has| *has).unwrap_or(0);
        self.crew.call(thread, move |data, now| data.node.read_trace(id, stop, now))
    }

    pub fn figures(&self) -> Result<Figures, Failure> {
        let all = self.crew.call_all(|data, now| {
            let figures = Figures {
                node: data.node.stats(now),
                send: data.send_counters(),
                thread: data.counters,
                connections: data.connections.counters,
                open_connections: data.connections.len(),
            };
            data.counters.lateness = Duration::ZERO;
            figures
        })?;
        Figures::of_all(all).ok_or(Failure::Stopped)
    }

    /// Close all sessions and stop the threads; waits for them at most `timeout`. Idempotent.
    pub fn shut_down(&self, timeout: Duration) {
        self.crew.shut_down(timeout);
    }

    pub(crate) fn add(
        &self,
        session: Session,
        stream: &str,
        incarnation: Option<String>,
    ) -> Result<SessionId, Failure> {
        let id = random::session_id();
        let new = NewSession { id, session, stream: stream.into(), incarnation };
        self.crew.call(self.crew.next(), move |data, now| data.node.add(new, now))??;
        Ok(id)
    }

    pub(crate) fn local_transport(&self, candidates: Option<Vec<SocketAddr>>) -> LocalTransport {
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

/// One port number for both. Any free one is wanted: of some it is taken by somebody's TCP.
fn sockets(settings: &Settings, threads: usize) -> io::Result<(Vec<UdpSocket>, Option<TcpListener>)> {
    const TRIES: usize = 16;
    let mut tries = 0;
    loop {
        let sockets = bind_group(settings.address, threads, settings.buffers)?;
        if !settings.tcp {
            return Ok((sockets, None));
        }
        tries += 1;
        match listen(sockets[0].local_addr()?) {
            Ok(listener) => return Ok((sockets, Some(listener))),
            Err(_) if settings.address.port() == 0 && tries < TRIES => {}
            Err(error) => return Err(error),
        }
    }
}

fn wall_clock() -> WallClock {
    let since_unix_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    WallClock { at: Instant::now(), since_unix_epoch }
}

fn viewer_spec(sending: &Sending, cname: String, role: Role, layer: Option<String>) -> ViewerSpec {
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
        rid: media.rid.clone(),
    });
    ViewerSpec { tracks: tracks.collect(), cname, relay: role == Role::RelayOut, layer }
}
