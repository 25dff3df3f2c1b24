"""Tracks as the engine speaks of them and as they stand in the table; what an SDP says that a refusal should name."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rivulet_media.table import Layer, Track

if TYPE_CHECKING:
    from rivulet_media import _engine

_RTPMAP = re.compile(r"^a=rtpmap:\d+ ([A-Za-z0-9-]+)/", re.MULTILINE)


def from_engine(tracks: Sequence["_engine.Track"]) -> tuple[Track, ...]:
    """For the table."""
    return tuple(
        Track(
            kind=track["kind"],
            codec=track["codec"],
            clock_rate=track["clock_rate"],
            channels=track.get("channels"),
            fmtp=track["fmtp"],
            layers=tuple(_layer_from_engine(layer) for layer in track.get("layers", [])) or None,
        )
        for track in tracks
    )


def to_engine(tracks: Sequence[Track]) -> list["_engine.Track"]:
    """For the engine."""
    return [_to_engine(track) for track in tracks]


def named(tracks: Sequence[Track]) -> list[str]:
    """Their codecs, for a refusal."""
    return [track.codec for track in tracks]


def offered_codecs(offer: str) -> list[str]:
    """Codecs of an SDP, each once, in its order; repairs and the like are no codecs."""
    names = (name.lower() for name in _RTPMAP.findall(offer))
    return [name for name in dict.fromkeys(names) if name not in ("rtx", "red", "ulpfec", "flexfec-03")]


def _layer_from_engine(layer: "_engine.Layer") -> Layer:
    return Layer(
        rid=layer["rid"],
        width=layer.get("width"),
        height=layer.get("height"),
        bitrate=layer.get("bitrate"),
        live=layer["live"],
    )


def _layer_to_engine(layer: Layer) -> "_engine.Layer":
    return {"rid": layer.rid, "live": layer.live}


def _to_engine(track: Track) -> "_engine.Track":
    described: _engine.Track = {
        "kind": track.kind,
        "codec": track.codec,
        "clock_rate": track.clock_rate,
        "fmtp": track.fmtp,
    }
    if track.channels is not None:
        described["channels"] = track.channels
    if track.layers:
        described["layers"] = [_layer_to_engine(layer) for layer in track.layers]
    return described
