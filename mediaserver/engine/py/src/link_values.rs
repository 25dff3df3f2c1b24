//! What is said of links as the typed dictionaries of `_engine.pyi`.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use rivulet_core::negotiation::Kind;
use rivulet_core::negotiation::link::{LegTrack, LegWish, LinkTransport};

use crate::engine::address;

/// A `LinkTransport` as Python gives it.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct TransportArgument {
    ufrag: String,
    password: String,
    fingerprint: String,
    candidates: Vec<(String, u16)>,
}

/// A `LegWish` as Python gives it.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct WishArgument {
    feedback: u32,
    tracks: Vec<LegTrackArgument>,
}

#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct LegTrackArgument {
    kind: String,
    rid: Option<String>,
    ssrc: u32,
    rtx_ssrc: Option<u32>,
}

pub fn transport(given: TransportArgument) -> PyResult<LinkTransport> {
    let TransportArgument { ufrag, password, fingerprint, candidates } = given;
    let candidates = candidates.into_iter().map(address).collect::<PyResult<_>>()?;
    Ok(LinkTransport { ufrag, password, fingerprint, candidates })
}

pub fn wish(given: WishArgument) -> PyResult<LegWish> {
    let track = |given: LegTrackArgument| {
        let kind = [Kind::Audio, Kind::Video].into_iter().find(|kind| kind.name() == given.kind);
        let kind = kind.ok_or_else(|| PyValueError::new_err("kind must be audio or video"))?;
        Ok(LegTrack { kind, rid: given.rid, ssrc: given.ssrc, rtx_ssrc: given.rtx_ssrc })
    };
    let tracks = given.tracks.into_iter().map(track).collect::<PyResult<_>>()?;
    Ok(LegWish { feedback: given.feedback, tracks })
}

pub fn transport_dict<'py>(py: Python<'py>, transport: &LinkTransport) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("ufrag", &transport.ufrag)?;
    dict.set_item("password", &transport.password)?;
    dict.set_item("fingerprint", &transport.fingerprint)?;
    let candidates: Vec<(String, u16)> = transport.candidates.iter().map(|a| (a.ip().to_string(), a.port())).collect();
    dict.set_item("candidates", candidates)?;
    Ok(dict)
}

pub fn wish_dict<'py>(py: Python<'py>, wish: &LegWish) -> PyResult<Bound<'py, PyDict>> {
    let tracks = PyList::empty(py);
    for track in &wish.tracks {
        let dict = PyDict::new(py);
        dict.set_item("kind", track.kind.name())?;
        dict.set_item("rid", &track.rid)?;
        dict.set_item("ssrc", track.ssrc)?;
        dict.set_item("rtx_ssrc", track.rtx_ssrc)?;
        tracks.append(dict)?;
    }
    let dict = PyDict::new(py);
    dict.set_item("feedback", wish.feedback)?;
    dict.set_item("tracks", tracks)?;
    Ok(dict)
}
