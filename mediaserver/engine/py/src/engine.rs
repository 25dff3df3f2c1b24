//! The class `Engine`.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use rivulet_core::negotiation::{Codec, Offer, Track, whep};
use rivulet_core::node::{Limits, SessionId};
use rivulet_core::session::Role;
use rivulet_udp::Buffers;

use crate::convert::{self, TrackArgument};
use crate::errors::{Failure, UnknownSessionError};
use crate::handle::{Handle, PlayOptions, Settings};
use crate::link_values::{self, TransportArgument, WishArgument};
use crate::random;

/// Raise `OfferError` or `UnsupportedError` when a viewer's `offer` cannot play `tracks`.
#[pyfunction]
#[pyo3(signature = (tracks, offer))]
#[allow(clippy::needless_pass_by_value, reason = "what PyO3 extracts")]
pub fn playable(py: Python<'_>, tracks: Vec<TrackArgument>, offer: &str) -> PyResult<()> {
    let tracks = convert::tracks(tracks)?;
    py.detach(|| -> Result<(), Failure> {
        whep::negotiate(&Offer::parse(offer)?, &tracks, &random::local_sources())?;
        Ok(())
    })?;
    Ok(())
}

/// Sockets, ICE, DTLS, SRTP and forwarding on data threads of its own.
#[pyclass(frozen, module = "rivulet_media._engine")]
pub struct Engine {
    handle: Handle,
}

#[pymethods]
#[allow(clippy::needless_pass_by_value, reason = "what PyO3 extracts")]
impl Engine {
    #[new]
    #[pyo3(signature = (bind, port, *, gather_ms=20.0, history_ms=1500, egress_mbps=1000, publisher_mbps=50,
                        max_sessions=5000, max_handshakes=500, send_buffer=None, receive_buffer=None, threads=1,
                        tcp=true, relay_congestion="bbr"))]
    #[allow(clippy::too_many_arguments, reason = "keyword arguments of a constructor")]
    fn new(
        py: Python<'_>,
        bind: &str,
        port: u16,
        gather_ms: f64,
        history_ms: u64,
        egress_mbps: u32,
        publisher_mbps: u32,
        max_sessions: usize,
        max_handshakes: usize,
        send_buffer: Option<usize>,
        receive_buffer: Option<usize>,
        threads: usize,
        tcp: bool,
        relay_congestion: &str,
    ) -> PyResult<Self> {
        let gather = Duration::try_from_secs_f64(gather_ms / 1_000.0)
            .map_err(|_| PyValueError::new_err("gather_ms must not be negative"))?;
        let settings = Settings {
            address: address((bind.to_owned(), port))?,
            gather,
            history: Duration::from_millis(history_ms),
            egress_mbps,
            publisher_mbps,
            limits: Limits { sessions: max_sessions, handshakes: max_handshakes },
            buffers: Buffers { send: send_buffer, receive: receive_buffer },
            threads,
            tcp,
            congestion: relay_congestion.to_owned(),
        };
        Ok(Self { handle: py.detach(|| Handle::start(&settings))? })
    }

    #[getter]
    const fn port(&self) -> u16 {
        self.handle.local.port()
    }

    fn short_buffers(&self) -> Vec<(&'static str, usize, usize)> {
        self.handle.cuts.iter().map(|cut| (cut.sysctl, cut.wanted, cut.got)).collect()
    }

    fn event_fd(&self) -> i32 {
        self.handle.events.fd()
    }

    fn drain_events<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let events = py.detach(|| self.handle.events.drain());
        convert::events(py, &events)
    }

    fn set_candidates(&self, addresses: Vec<(String, u16)>) -> PyResult<()> {
        self.handle.set_candidates(addresses.into_iter().map(address).collect::<PyResult<_>>()?);
        Ok(())
    }

    fn publish(
        &self,
        py: Python<'_>,
        stream: &str,
        incarnation: &str,
        offer: &str,
        codecs: Vec<String>,
    ) -> PyResult<(String, String)> {
        let codecs: Vec<Codec> = codecs.iter().filter_map(|name| Codec::from_name(name)).collect();
        let made = py.detach(|| self.handle.publish(stream, incarnation, offer, &codecs))?;
        Ok(named(made))
    }

    #[pyo3(signature = (stream, tracks, offer, *, relay=false, candidates=None, layer=None))]
    #[allow(clippy::too_many_arguments, reason = "keyword arguments")]
    fn play(
        &self,
        py: Python<'_>,
        stream: &str,
        tracks: Vec<TrackArgument>,
        offer: &str,
        relay: bool,
        candidates: Option<Vec<(String, u16)>>,
        layer: Option<String>,
    ) -> PyResult<(String, String)> {
        let tracks: Vec<Track> = convert::tracks(tracks)?;
        let role = if relay { Role::RelayOut } else { Role::Viewer };
        let candidates: Option<Vec<SocketAddr>> =
            candidates.map(|given| given.into_iter().map(address).collect::<PyResult<_>>()).transpose()?;
        let with = PlayOptions { candidates, layer };
        let made = py.detach(|| self.handle.play(stream, &tracks, offer, role, with))?;
        Ok(named(made))
    }

    #[pyo3(signature = (stream, incarnation, tracks, *, tcp=false))]
    fn pull(
        &self,
        py: Python<'_>,
        stream: &str,
        incarnation: &str,
        tracks: Vec<TrackArgument>,
        tcp: bool,
    ) -> PyResult<(String, String)> {
        let tracks: Vec<Track> = convert::tracks(tracks)?;
        let made = py.detach(|| {
            let handle = &self.handle;
            if tcp {
                handle.pull_over_tcp(stream, incarnation, &tracks)
            } else {
                handle.pull(stream, incarnation, &tracks)
            }
        })?;
        Ok(named(made))
    }

    fn ingest(
        &self,
        py: Python<'_>,
        stream: &str,
        incarnation: &str,
        codecs: Vec<String>,
    ) -> PyResult<(String, String)> {
        let codecs: Vec<Codec> = codecs.iter().filter_map(|name| Codec::from_name(name)).collect();
        Ok(named(py.detach(|| self.handle.ingest(stream, incarnation, codecs))?))
    }

    fn pull_answer(&self, py: Python<'_>, session: &str, answer: &str) -> PyResult<()> {
        let id = session_id(session)?;
        Ok(py.detach(|| self.handle.pull_answer(id, answer))?)
    }

    fn open_link<'py>(&self, py: Python<'py>) -> PyResult<(String, Bound<'py, PyDict>)> {
        let (link, transport) = py.detach(|| self.handle.open_link())?;
        Ok((convert::session_name(link), link_values::transport_dict(py, &transport)?))
    }

    fn answer_link(&self, py: Python<'_>, link: &str, transport: TransportArgument) -> PyResult<()> {
        let (link, transport) = (session_id(link)?, link_values::transport(transport)?);
        Ok(py.detach(|| self.handle.answer_link(link, transport))?)
    }

    #[pyo3(signature = (transport, *, candidates=None))]
    fn accept_link<'py>(
        &self,
        py: Python<'py>,
        transport: TransportArgument,
        candidates: Option<Vec<(String, u16)>>,
    ) -> PyResult<(String, Bound<'py, PyDict>)> {
        let transport = link_values::transport(transport)?;
        let candidates: Option<Vec<SocketAddr>> =
            candidates.map(|given| given.into_iter().map(address).collect::<PyResult<_>>()).transpose()?;
        let (link, ours) = py.detach(|| self.handle.accept_link(&transport, candidates))?;
        Ok((convert::session_name(link), link_values::transport_dict(py, &ours)?))
    }

    fn pull_leg<'py>(
        &self,
        py: Python<'py>,
        link: &str,
        stream: &str,
        incarnation: &str,
        tracks: Vec<TrackArgument>,
    ) -> PyResult<(String, Bound<'py, PyDict>)> {
        let (link, tracks) = (session_id(link)?, convert::tracks(tracks)?);
        let (leg, wish) = py.detach(|| self.handle.pull_leg(link, stream, incarnation, tracks))?;
        Ok((convert::session_name(leg), link_values::wish_dict(py, &wish)?))
    }

    fn serve_leg(
        &self,
        py: Python<'_>,
        link: &str,
        stream: &str,
        tracks: Vec<TrackArgument>,
        wish: WishArgument,
    ) -> PyResult<String> {
        let (link, tracks, wish) = (session_id(link)?, convert::tracks(tracks)?, link_values::wish(wish)?);
        Ok(convert::session_name(py.detach(|| self.handle.serve_leg(link, stream, tracks, wish))?))
    }

    fn answer_leg(&self, py: Python<'_>, leg: &str) -> PyResult<()> {
        let leg = session_id(leg)?;
        Ok(py.detach(|| self.handle.answer_leg(leg))?)
    }

    fn patch(&self, py: Python<'_>, session: &str, fragment: &str) -> PyResult<Option<String>> {
        let id = session_id(session)?;
        Ok(py.detach(|| self.handle.patch(id, fragment))?)
    }

    fn close(&self, py: Python<'_>, session: &str) -> PyResult<()> {
        let id = session_id(session)?;
        Ok(py.detach(|| self.handle.close(id))?)
    }

    fn drop_stream(&self, py: Python<'_>, stream: &str) -> PyResult<()> {
        Ok(py.detach(|| self.handle.drop_stream(stream))?)
    }

    fn request_keyframe(&self, py: Python<'_>, stream: &str) -> PyResult<()> {
        Ok(py.detach(|| self.handle.request_key_frame(stream))?)
    }

    #[pyo3(signature = (session, rid))]
    fn choose_layer(&self, py: Python<'_>, session: &str, rid: Option<String>) -> PyResult<()> {
        let id = session_id(session)?;
        Ok(py.detach(|| self.handle.choose_layer(id, rid))?)
    }

    fn trace(&self, py: Python<'_>, session: &str, seconds: u64, max_bytes: usize) -> PyResult<()> {
        let id = session_id(session)?;
        Ok(py.detach(|| self.handle.start_trace(id, Duration::from_secs(seconds), max_bytes))?)
    }

    #[pyo3(signature = (session, *, stop=false))]
    fn read_trace(&self, py: Python<'_>, session: &str, stop: bool) -> PyResult<(String, bool)> {
        let id = session_id(session)?;
        let read = py.detach(|| self.handle.read_trace(id, stop))?;
        Ok((read.lines, read.over))
    }

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let figures = py.detach(|| self.handle.figures())?;
        convert::figures(py, &figures)
    }

    #[pyo3(signature = (timeout_ms=1000))]
    fn shutdown(&self, py: Python<'_>, timeout_ms: u64) {
        py.detach(|| self.handle.shut_down(Duration::from_millis(timeout_ms)));
    }
}

pub fn address((ip, port): (String, u16)) -> PyResult<SocketAddr> {
    let ip: IpAddr = ip.parse().map_err(|_| PyValueError::new_err(format!("not an IP address: {ip}")))?;
    Ok(SocketAddr::new(ip, port))
}

fn named((id, text): (SessionId, String)) -> (String, String) {
    (convert::session_name(id), text)
}

fn session_id(name: &str) -> PyResult<SessionId> {
    let wrong = || UnknownSessionError::new_err("no such session, or it has ended");
    if name.len() != 16 || !name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return Err(wrong());
    }
    SessionId::from_str_radix(name, 16).map_err(|_| wrong())
}
