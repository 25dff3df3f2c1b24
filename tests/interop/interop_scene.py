"""What the clients of this folder meet: a CDN of bare processes, and our own player as a witness."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import av

from attempts import ATTEMPTS
from rivulet_scene.bare import BareCdn
from rivulet_scene.clients import Program, probe
from rivulet_scene.command import ROOT

FOLDER = ROOT / "tests/interop"
SYSTEM_PYTHON = "/usr/bin/python3"  # PyGObject fits the system's GStreamer only
PUBLISHING_SECONDS = "140"  # at most: a publisher is stopped when its test is done
START_SECONDS = 40  # until a client is connected, beside other tests on two busy cores
FRAMES, SOUNDS = 30, 50  # a second of each
T = TypeVar("T")


@contextmanager
def bare_cdn(directory: Path, streams: Mapping[str, Sequence[str]], address: str | None = None) -> Iterator[BareCdn]:
    """A region with a director, an origin and an edge, and these streams with their `codecs` (none named: all).

    `address` is where clients find the nodes' media; without it 127.0.0.1.
    """
    specs = {name: {"region": "eu", **({"codecs": codecs} if codecs else {})} for name, codecs in streams.items()}
    with BareCdn(directory, {"eu": 1}, specs) as running:
        options: tuple[str, ...] = ()
        if address:
            running.write_file(running.regions["eu"], specs, nodeDefaults={"addressMap": {"here": address}})
            options = ("--bind", "0.0.0.0", "--kube-node", "here")
        running.director("eu", ready=False)
        running.node("origin-eu-0", "origin", "eu", *options)
        running.node("edge-eu-0", "edge", "eu", *options)
        running.settled("eu")
        yield running


def whip(cdn: BareCdn, stream: str) -> str:
    """Where a stream is published."""
    return f"{cdn.regions['eu'].public()}/whip/{stream}"


def whep(cdn: BareCdn, stream: str) -> str:
    """Where it is played."""
    return f"{cdn.regions['eu'].public()}/whep/{stream}"


def our_player_sees(cdn: BareCdn, stream: str) -> str:
    """Our player decodes a second of picture and of sound within its time; what it saw, as words."""

    def play() -> tuple[str, dict[str, int]]:
        with probe(whep(cdn, stream), "--wait", "15", seconds=4) as player:
            seen = player.result()
        return "picture and sound by our player", {kind: seen[kind]["frames"] for kind in ("video", "audio")}

    return one_sees_enough(play)


def one_sees_enough(play: Callable[[], tuple[T, Mapping[str, int]]]) -> T:
    """Play until a player has a second of each kind that it counts; what else it says of itself."""
    seen = []
    for _ in range(ATTEMPTS):
        said, counts = play()
        if all(count >= {"video": FRAMES, "audio": SOUNDS}[kind] for kind, count in counts.items()):
            return said
        seen.append(counts)
    raise AssertionError(f"too few of some kind: {seen}")


def decoded(path: str) -> int:
    """How many frames of a file FFmpeg decodes."""
    with av.open(path) as file:
        return sum(1 for _ in file.decode(file.streams[0]))


def publishing(cdn: BareCdn, stream: str, **options: Any) -> str:
    """The expression by which a page publishes: what came of it, null where the browser has no such codec."""
    words = ", ".join(json.dumps(value) for value in (whip(cdn, stream), cdn.token(stream), options))
    return f"({(FOLDER / 'browser_client.js').read_text()})({words})"


def pion(*arguments: str) -> Program:
    """The Pion client."""
    made = subprocess.run([ROOT / "hack/interop", "pion"], check=True, stdout=subprocess.PIPE, text=True, timeout=600)
    return Program([made.stdout.strip(), *arguments])


def pion_name() -> str:
    """Its name and version in the table."""
    lines = (FOLDER / "pion/go.mod").read_text().splitlines()
    return f"Pion {next(line.split()[-1] for line in lines if 'pion/webrtc' in line)}"


def gstreamer(*arguments: str) -> Program:
    """The GStreamer client."""
    return Program([SYSTEM_PYTHON, str(FOLDER / "gstreamer_client.py"), *arguments])


def aiortc(*arguments: str) -> Program:
    """The aiortc client."""
    return Program([str(ROOT / ".venv/bin/python"), str(FOLDER / "aiortc_client.py"), *arguments])


def ffmpeg(*arguments: str) -> Program:
    """FFmpeg's WHIP muxer, as PyAV carries it."""
    return Program([str(ROOT / ".venv/bin/python"), str(FOLDER / "ffmpeg_client.py"), *arguments])


def connected(client: Program) -> dict[str, Any]:
    """The client's first line."""
    line = client.line(0, seconds=START_SECONDS)
    assert line["connected"] is True, line
    return line


def is_installed(program: str) -> bool:
    """Whether the system has a program."""
    return shutil.which(program) is not None


def version(*command: str) -> str:
    """The last word of what a program says of itself."""
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=30).stdout
    return said.splitlines()[0].split()[-1]
