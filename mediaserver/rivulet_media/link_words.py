"""What two nodes say to one another of a link and its legs (docs/contract.md §5.2), and how the engine says it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from rivulet_media.table import Incarnation, StreamEntry, StreamName
from rivulet_media.wire_codec import Form

if TYPE_CHECKING:
    from rivulet_media import _engine

SessionName = Annotated[str, Form(r"[0-9a-f]{16}", "16 lower-case hex characters")]
# A leg has audio and a track for each layer; what is more is refused by the engine.
MOST_CANDIDATES = 8
_WORD = 1 << 32


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A UDP host candidate."""

    ip: str
    port: int


@dataclass(frozen=True, kw_only=True)
class LinkEnd:
    """One end of a link: ICE credentials, and SHA-256 of its certificate in hex pairs with colons.

    `candidates`: the parent's only.
    """

    ufrag: str
    password: str
    fingerprint: str
    candidates: tuple[Candidate, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LegTrack:
    """SSRCs of one track, or of one of its layers (`rid`); `rtx_ssrc`: of its repairs."""

    kind: Literal["audio", "video"]
    ssrc: int
    rid: str | None = None
    rtx_ssrc: int | None = None


@dataclass(frozen=True, kw_only=True)
class LegWish:
    """A puller asks for a publication; `feedback`: the SSRC that its own reports are from."""

    stream: StreamName
    incarnation: Incarnation
    feedback: int
    tracks: tuple[LegTrack, ...]


@dataclass(frozen=True, kw_only=True)
class LegAnswer:
    """The parent sends: the leg is `session`, the publication is `stream`."""

    session: SessionName
    stream: StreamEntry


@dataclass(frozen=True, kw_only=True)
class LinkWish:
    """A puller opens a link, with its first leg."""

    end: LinkEnd
    leg: LegWish


@dataclass(frozen=True, kw_only=True)
class LinkAnswer:
    """The parent's end, the link's name there, and the first leg."""

    link: SessionName
    end: LinkEnd
    leg: LegAnswer


def end_from_engine(end: "_engine.LinkTransport") -> LinkEnd:
    """For the other node."""
    candidates = tuple(Candidate(ip=ip, port=port) for ip, port in end["candidates"])
    return LinkEnd(ufrag=end["ufrag"], password=end["password"], fingerprint=end["fingerprint"], candidates=candidates)


def end_to_engine(end: LinkEnd) -> "_engine.LinkTransport":
    """For the engine. ValueError when a candidate's port cannot be one."""
    candidates = [(each.ip, each.port) for each in end.candidates[:MOST_CANDIDATES]]
    if any(not 0 < port < 1 << 16 for _, port in candidates):
        raise ValueError("a candidate's port must be from 1 to 65535")
    return {
        "ufrag": end.ufrag,
        "password": end.password,
        "fingerprint": end.fingerprint,
        "candidates": candidates,
    }


def wish_from_engine(stream: str, incarnation: str, wish: "_engine.LegWish") -> LegWish:
    """For the parent."""
    tracks = tuple(
        LegTrack(kind=track["kind"], ssrc=track["ssrc"], rid=track["rid"], rtx_ssrc=track["rtx_ssrc"])
        for track in wish["tracks"]
    )
    return LegWish(stream=stream, incarnation=incarnation, feedback=wish["feedback"], tracks=tracks)


def wish_to_engine(wish: LegWish) -> "_engine.LegWish":
    """For the engine. ValueError when an SSRC cannot be one."""
    ssrcs = [wish.feedback, *(ssrc for track in wish.tracks for ssrc in (track.ssrc, track.rtx_ssrc or 1))]
    if any(not 0 < ssrc < _WORD for ssrc in ssrcs):
        raise ValueError("an SSRC must be from 1 to 4294967295")
    return {
        "feedback": wish.feedback,
        "tracks": [
            {"kind": track.kind, "rid": track.rid, "ssrc": track.ssrc, "rtx_ssrc": track.rtx_ssrc}
            for track in wish.tracks
        ],
    }
