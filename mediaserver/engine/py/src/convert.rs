//! The engine's values as the typed dictionaries of `_engine.pyi`.

use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use rivulet_core::border::{Layer, StreamStats, TrackSpec};
use rivulet_core::negotiation::{Codec, Format, Kind, Refusal, Track, simulcast};
use rivulet_core::node::{Fact, NodeEvent, SessionId, SessionStats};

use crate::errors::Failure;
use crate::figures::Figures;

/// A `Track` as Python gives it.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct TrackArgument {
    kind: String,
    codec: String,
    fmtp: String,
    #[pyo3(default)]
    layers: Vec<LayerArgument>,
}

/// A `Layer` as Python gives it; what else is known of it is of no use here.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct LayerArgument {
    rid: String,
}

pub fn tracks(arguments: Vec<TrackArgument>) -> Result<Vec<Track>, Failure> {
    let track = |argument: TrackArgument| {
        let codec = Codec::from_name(&argument.codec).filter(|codec| codec.kind().name() == argument.kind);
        let unknown = || Refusal::Unsupported(format!("{} {} is not carried", argument.codec, argument.kind));
        let codec = codec.ok_or_else(unknown)?;
        let rids = argument.layers.into_iter().map(|layer| layer.rid);
        let layers = rids.filter(|rid| simulcast::is_rid(rid)).take(simulcast::MAX_LAYERS).collect();
        Ok(Track { kind: codec.kind(), format: Format { codec, fmtp: argument.fmtp }, layers })
    };
    arguments.into_iter().map(track).collect()
}

/// 16 lower-case hex characters.
pub fn session_name(id: SessionId) -> String {
    format!("{id:016x}")
}

pub fn events<'py>(py: Python<'py>, events: &[NodeEvent]) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for event in events {
        list.append(event_dict(py, event)?)?;
    }
    Ok(list)
}

fn event_dict<'py>(py: Python<'py>, event: &NodeEvent) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("session", session_name(event.session))?;
    dict.set_item("stream", &*event.stream)?;
    let kind = match &event.fact {
        Fact::Connected => "connected",
        Fact::Closed(reason) => {
            dict.set_item("reason", reason.name())?;
            "closed"
        }
        Fact::Tracks(tracks) => {
            dict.set_item("tracks", track_list(py, tracks)?)?;
            "tracks"
        }
        Fact::Layer(rid) => {
            dict.set_item("layer", &**rid)?;
            "layer"
        }
        Fact::Active => "active",
        Fact::Silent => "silent",
    };
    dict.set_item("type", kind)?;
    if let (Some(incarnation), Fact::Tracks(_) | Fact::Active | Fact::Silent) = (&event.incarnation, &event.fact) {
        dict.set_item("incarnation", incarnation)?;
    }
    Ok(dict)
}

fn track_list<'py>(py: Python<'py>, tracks: &[TrackSpec]) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    let mut layers = None;
    for track in tracks {
        if let (Some(layers), Some(layer)) = (&layers, &track.layer) {
            add_layer(py, layers, layer)?;
            continue;
        }
        let dict = PyDict::new(py);
        dict.set_item("kind", track.kind.name())?;
        dict.set_item("codec", track.codec.name())?;
        dict.set_item("clock_rate", track.clock_rate)?;
        if track.kind == Kind::Audio {
            dict.set_item("channels", 2)?;
        }
        dict.set_item("fmtp", &track.fmtp)?;
        if let Some(layer) = &track.layer {
            let first = PyList::empty(py);
            add_layer(py, &first, layer)?;
            dict.set_item("layers", &first)?;
            layers = Some(first);
        }
        list.append(dict)?;
    }
    Ok(list)
}

/// The layers of one track, which the engine has as tracks of their own, as the publisher lists them.
fn add_layer(py: Python<'_>, list: &Bound<'_, PyList>, layer: &Layer) -> PyResult<()> {
    let dict = PyDict::new(py);
    dict.set_item("rid", &*layer.rid)?;
    if let Some((width, height)) = layer.size {
        dict.set_item("width", width)?;
        dict.set_item("height", height)?;
    }
    dict.set_item("bitrate", layer.bitrate)?;
    dict.set_item("live", layer.live)?;
    list.append(dict)
}

pub fn figures<'py>(py: Python<'py>, figures: &Figures) -> PyResult<Bound<'py, PyDict>> {
    let sessions = PyList::empty(py);
    for session in &figures.node.sessions {
        sessions.append(session_dict(py, session)?)?;
    }
    let streams = PyList::empty(py);
    for stream in &figures.node.streams {
        streams.append(stream_dict(py, stream)?)?;
    }
    let dict = PyDict::new(py);
    dict.set_item("sessions", sessions)?;
    dict.set_item("streams", streams)?;
    dict.set_item("packets_sent", figures.node.totals.packets)?;
    dict.set_item("bytes_sent", figures.node.totals.bytes)?;
    dict.set_item("packets_received", figures.thread.packets_received)?;
    dict.set_item("bytes_received", figures.thread.bytes_received)?;
    dict.set_item("send_calls", figures.send.calls)?;
    dict.set_item("gso_messages", figures.send.segmented_messages)?;
    dict.set_item("would_block", figures.send.would_block)?;
    dict.set_item("tcp_connections", figures.open_connections)?;
    dict.set_item("tcp_accepted", figures.connections.accepted)?;
    dict.set_item("tcp_refused", figures.connections.refused)?;
    dict.set_item("tcp_silent", figures.connections.silent)?;
    dict.set_item("tcp_garbage", figures.connections.garbage)?;
    dict.set_item("tcp_displaced", figures.connections.displaced)?;
    dict.set_item("tcp_cuts", figures.connections.cuts)?;
    dict.set_item("tcp_dialled", figures.connections.dialled)?;
    dict.set_item("tcp_congestion_refused", figures.connections.congestion_refused)?;
    dict.set_item("unknown_datagrams", figures.node.unknown_datagrams)?;
    dict.set_item("pending_handshakes", figures.node.pending_handshakes)?;
    dict.set_item("handshake_wait_ms", milliseconds(figures.node.handshake_wait))?;
    dict.set_item("dropped_bursts", figures.node.totals.dropped_bursts)?;
    dict.set_item("loop_lateness_ms", figures.thread.lateness.as_secs_f64() * 1_000.0)?;
    dict.set_item("ticks", figures.thread.ticks)?;
    Ok(dict)
}

fn session_dict<'py>(py: Python<'py>, stats: &SessionStats) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("session", session_name(stats.session))?;
    dict.set_item("link", stats.link.map(session_name))?;
    dict.set_item("kind", stats.role.name())?;
    dict.set_item("stream", &*stats.stream)?;
    dict.set_item("state", if stats.connected { "connected" } else { "connecting" })?;
    dict.set_item("age_ms", milliseconds(stats.age))?;
    dict.set_item("remote", stats.remote.map(|address| address.to_string()))?;
    dict.set_item("transport", stats.remote.map(|_| if stats.over_tcp { "tcp" } else { "udp" }))?;
    dict.set_item("rtt_ms", stats.rtt.map(|rtt| rtt.as_secs_f64() * 1_000.0))?;
    dict.set_item("loss", stats.loss)?;
    dict.set_item("packets", stats.packets)?;
    dict.set_item("bytes", stats.bytes)?;
    dict.set_item("media_age_ms", stats.media_age.map(milliseconds))?;
    dict.set_item("nacks", stats.nacks)?;
    dict.set_item("repaired", stats.repaired)?;
    dict.set_item("given_up", stats.given_up)?;
    dict.set_item("late", stats.late)?;
    dict.set_item("plis", stats.plis)?;
    dict.set_item("cut", stats.cut)?;
    dict.set_item("longest_gap_ms", milliseconds(stats.longest_gap))?;
    dict.set_item("layer", stats.layer.as_deref())?;
    dict.set_item("estimate_bps", stats.estimate)?;
    Ok(dict)
}

fn stream_dict<'py>(py: Python<'py>, stats: &StreamStats) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("stream", &*stats.stream)?;
    dict.set_item("incarnation", stats.incarnation.as_deref())?;
    dict.set_item("viewers", stats.viewers)?;
    dict.set_item("media_age_ms", stats.media_age.map(milliseconds))?;
    dict.set_item("gop_ms", stats.gop.map(milliseconds))?;
    dict.set_item("key_frames", stats.key_frames)?;
    Ok(dict)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
