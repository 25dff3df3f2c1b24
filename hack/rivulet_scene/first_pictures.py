"""How soon a viewer has a picture and is live, on loopback: `rivulet-bench` publishes to one node and plays from it.

Its viewers are full ICE agents with real DTLS and SRTP that decode nothing; beside them a witness, who is always there,
says what live is. Every viewer is a POST to the node's own WHEP endpoint.
"""

import contextlib
import os
import select
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from rivulet_scene.bare import BareCdn
from rivulet_scene.command import ROOT
from rivulet_scene.http import request
from rivulet_scene.waiting import until

STREAM = "first_picture"
FRAMES_A_SECOND = 30
ANSWER_SECONDS = 60.0
STOP_SECONDS = 5.0
BUILD_SECONDS = 1800
SDP = {"Content-Type": "application/sdp"}


@dataclass(frozen=True)
class Start:
    """One viewer; milliseconds after its POST, or behind the witness."""

    key: float  # the last packet of the first key frame
    live: float  # from then on every frame came at most 300 ms after the witness had it
    first_behind: float
    last_behind: float
    frames: int
    missing: int  # packets

    @classmethod
    def of(cls, words: str) -> Self:
        """From `name=value` words, times in µs."""
        values = {name: int(value) for name, _, value in (word.partition("=") for word in words.split())}
        key, live, first, last = (values[name] / 1000 for name in ("key", "live", "first_behind", "last_behind"))
        return cls(key, live, first, last, values["frames"], values["missing"])


class Part:
    """One process of rivulet-bench, led by messages behind a 32-bit length on stdin and stdout."""

    def __init__(self, *arguments: str) -> None:
        command = ["setpriv", "--pdeathsig", "KILL", str(binary()), *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)

    def __enter__(self) -> Self:
        """The process itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closing stdin asks it to end; if it does not, it is killed."""
        with contextlib.suppress(BrokenPipeError):
            self._pipe(self._process.stdin).close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_SECONDS)

    def say(self, text: str) -> None:
        """One message to it."""
        pipe = self._pipe(self._process.stdin)
        data = text.encode()
        pipe.write(struct.pack(">I", len(data)) + data)
        pipe.flush()

    def hear(self) -> tuple[str, str]:
        """Its next message: the first word and the rest."""
        pipe = self._pipe(self._process.stdout)
        assert select.select([pipe], [], [], ANSWER_SECONDS)[0], f"no word within {ANSWER_SECONDS:.0f} s"
        head = pipe.read(4)
        assert len(head) == 4, f"it ended with status {self._process.wait(STOP_SECONDS)}"
        word, _, rest = pipe.read(struct.unpack(">I", head)[0]).decode().partition(" ")
        return word, rest

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None
        return pipe


class FirstPictures:
    """A publisher, a witness, and as many viewers as are asked for, one after another."""

    def __init__(self, node: str, source: Part, viewers: Part) -> None:
        self._whep = f"{node}/whep/{STREAM}"
        self._node = node
        self._source = source
        self._viewers = viewers

    def publish(self, gop_seconds: float) -> None:
        """A new stretch of the stream: a key frame first, then this often and when one is asked for."""
        self._source.say(f"paced {round(gop_seconds * FRAMES_A_SECOND)}")
        assert self._source.hear()[0] == "done"

    def start(self) -> Start:
        """One viewer: joins, is watched for two seconds, leaves."""
        self._viewers.say("start")
        session = self.answer()
        word, figures = self._viewers.hear()
        assert word == "started", word
        assert request("DELETE", session).status == 200
        return Start.of(figures)

    def answer(self) -> str:
        """POST the next offer of the viewers' process and hand it the answer; the session's URL."""
        word, offer = self._viewers.hear()
        assert word == "offer", word
        answer = request("POST", self._whep, body=offer, headers=SDP)
        assert answer.status == 201, answer.body
        self._viewers.say(answer.body)
        return f"{self._node}{answer.headers['Location']}"


@contextlib.contextmanager
def first_pictures(directory: Path) -> Iterator[FirstPictures]:
    """One region with one origin; it is published to and watched."""
    streams = {STREAM: {"region": "eu", "access": {"publish": "open"}}}
    with BareCdn(directory, {"eu": 1}, streams) as cdn, Part("source") as source:
        cdn.director("eu", ready=False)
        node = cdn.node("origin-eu-0", "origin", "eu").http
        cdn.settled("eu")
        publish(cdn, source)
        until(lambda: live(cdn), "the stream is live with both tracks", seconds=30)
        with Part("starts") as viewers:
            scene = FirstPictures(node, source, viewers)
            scene.answer()
            assert viewers.hear()[0] == "connected"
            yield scene


def publish(cdn: BareCdn, source: Part) -> None:
    """The source's POST, and its first stretch."""
    word, offer = source.hear()
    assert word == "offer", word
    answer = request("POST", f"{cdn.regions['eu'].public()}/whip/{STREAM}", body=offer, headers=SDP, seconds=30)
    assert answer.status == 201, answer.body
    source.say(answer.body)
    assert source.hear()[0] == "connected"
    source.say("paced")
    assert source.hear()[0] == "done"


def live(cdn: BareCdn) -> bool:
    """Whether the origin's table has the stream with both tracks."""
    streams = [entry for entry in cdn.table("origin-eu-0")["streams"] if entry["stream"] == STREAM]
    return any(entry["state"] == "live" and len(entry["tracks"]) == 2 for entry in streams)


def build() -> None:
    """The program in release mode."""
    environment = {**os.environ, "CARGO_TARGET_DIR": str(binary().parents[1])}
    command = ["cargo", "build", "--quiet", "--release", "--locked", "-p", "rivulet-bench"]
    subprocess.run(command, cwd=ROOT / "mediaserver" / "engine", env=environment, check=True, timeout=BUILD_SECONDS)


def binary() -> Path:
    """Where it is when it is built."""
    cache = Path(os.environ.get("RIVULET_CACHE", Path.home() / ".cache" / "rivulet"))
    return cache / "cargo" / "release" / "rivulet-bench"


if __name__ == "__main__":
    build()
