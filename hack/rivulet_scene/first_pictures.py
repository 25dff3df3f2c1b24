"""How soon a viewer has a picture and is live, on loopback: `rivulet-bench` publishes to one node and plays from it.

Its viewers are full ICE agents with real DTLS and SRTP that decode nothing; beside them a witness, who is always there,
says what live is. Every viewer is a POST to the node's own WHEP endpoint.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from rivulet_scene.bare import BareCdn
from rivulet_scene.http import request
from rivulet_scene.load import Part, generator
from rivulet_scene.waiting import until

STREAM = "first_picture"
FRAMES_A_SECOND = 30
LOOPBACK = "127.0.0.1"
SDP = {"Content-Type": "application/sdp"}


@dataclass(frozen=True)
class Start:
    """One viewer; milliseconds after its POST, or behind the witness."""

    connected: float  # DTLS is finished
    waited: float  # of that: for the server, and for what is between
    key_begins: float  # the first packet of the first key frame
    key: float  # its last
    moving: float  # the last packet of the frame after it
    live: float  # from then on every frame came at most 300 ms after the witness had it
    first_behind: float
    last_behind: float
    frames: int
    missing: int  # packets

    @classmethod
    def of(cls, words: str) -> Self:
        """From `name=value` words, times in µs."""
        values = {name: int(value) for name, _, value in (word.partition("=") for word in words.split())}
        frames, missing = values.pop("frames"), values.pop("missing")
        return cls(**{name: time / 1000 for name, time in values.items()}, frames=frames, missing=missing)


class FirstPictures:
    """A publisher, a witness, and as many viewers as are asked for, one after another."""

    def __init__(self, node: str, source: Part, viewers: Part) -> None:
        self._whep = f"{node}/whep/{STREAM}"
        self._node = node
        self._source = source
        self._viewers = viewers

    def publish(self, gop_seconds: float) -> None:
        """A new stretch of the stream: a key frame first, then this often and when one is asked for."""
        assert self._source.ask(f"paced {round(gop_seconds * FRAMES_A_SECOND)}") == "done"

    def start(self) -> Start:
        """One viewer: joins, is watched for two seconds, leaves."""
        self._viewers.say("start")
        session = self.answer()
        word, _, figures = self._viewers.hear().partition(" ")
        assert word == "started", word
        assert request("DELETE", session).status == 200
        return Start.of(figures)

    def answer(self) -> str:
        """POST the next offer of the viewers' process and hand it the answer; the session's URL."""
        word, _, offer = self._viewers.hear().partition(" ")
        assert word == "offer", word
        answer = request("POST", self._whep, body=offer, headers=SDP)
        assert answer.status == 201, answer.body
        self._viewers.say(answer.body)
        return f"{self._node}{answer.headers['Location']}"


@contextlib.contextmanager
def first_pictures(directory: Path) -> Iterator[FirstPictures]:
    """One region with one origin; it is published to and watched."""
    streams = {STREAM: {"region": "eu", "access": {"publish": "open"}}}
    with BareCdn(directory, {"eu": 1}, streams) as cdn, generator("source", LOOPBACK) as source:
        cdn.director("eu", ready=False)
        node = cdn.node("origin-eu-0", "origin", "eu").http
        cdn.settled("eu")
        publish(cdn, source)
        until(lambda: live(cdn), "the stream is live with both tracks", seconds=30)
        with generator("starts", LOOPBACK) as viewers:
            scene = FirstPictures(node, source, viewers)
            scene.answer()
            assert viewers.hear() == "connected"
            yield scene


def publish(cdn: BareCdn, source: Part) -> None:
    """The source's POST, and its first stretch."""
    word, _, offer = source.hear().partition(" ")
    assert word == "offer", word
    answer = request("POST", f"{cdn.regions['eu'].public()}/whip/{STREAM}", body=offer, headers=SDP, seconds=30)
    assert answer.status == 201, answer.body
    source.say(answer.body)
    assert source.hear() == "connected"
    assert source.ask("paced") == "done"


def live(cdn: BareCdn) -> bool:
    """Whether the origin's table has the stream with both tracks."""
    streams = [entry for entry in cdn.table("origin-eu-0")["streams"] if entry["stream"] == STREAM]
    return any(entry["state"] == "live" and len(entry["tracks"]) == 2 for entry in streams)
