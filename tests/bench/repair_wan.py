"""What a viewer sees when packets are lost on the testbed's WAN: rows of docs/benchmarks/repair.md, real processes.

Three places: an origin and the publisher in eu, an edge in us, the viewer in nsk, which is our own probe (aiortc, which
asks for repairs by rules of its own) with a screen that waits as the simulator's does. Loss in both directions, random
or in bursts of five packets in the mean, on the relay's path (eu, us) or on the viewer's (us, nsk); the other one has a
round trip of 20 ms and loses nothing. Needs root. The last line is JSON.
"""

import argparse
import contextlib
import itertools
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from fanout import about
from start import LOGS, MEDIA, STREAM, Region, in_place, testbed, write_resources

PATHS = {"relay": ("eu", "us"), "viewer": ("us", "nsk")}
NEAR_MS = 20.0
FRAMES_A_SECOND = 30
# The relay of the row before has gone: streams.idleSeconds is 1.
BETWEEN_SECONDS = 3.0
# Of what it sees: the start, in which it catches up with the live edge, is left out.
WARM_UP_SECONDS = 5.0
# Beside one round trip, room for one repair: as in the simulator.
PLAYOUT_MS = 50.0
JOIN_SECONDS = 20
HEAD = "| lost on | loss | RTT ms | Mbit/s | frames/s | freezes/min | longest ms |"


@dataclass(frozen=True)
class Row:
    """What is lost where."""

    path: str
    percent: float
    burst: float
    round_trip_ms: float
    megabits: float


@dataclass(frozen=True)
class Seen:
    """On the viewer's screen."""

    frames_per_second: float
    freezes_per_minute: float
    longest_ms: int

    @classmethod
    def of(cls, printed: str, seconds: float) -> "Seen":
        """From what the probe prints at its end."""
        screen = json.loads(printed.splitlines()[-1])["video"]["screen"]
        return cls(screen["fps"], round(screen["freezes"] * 60 / seconds, 1), screen["longest_gap_ms"])


def line(row: Row, seen: Seen) -> str:
    """Of the table (Markdown)."""
    how = "random" if row.burst == 1 else "bursts"
    lost = f"| {row.path} | {row.percent:g} % {how} | {row.round_trip_ms:g} | {row.megabits:g}"
    return f"{lost} | {seen.frames_per_second:.1f} | {seen.freezes_per_minute:.1f} | {seen.longest_ms} |"


@contextlib.contextmanager
def places(folder: Path) -> Iterator[tuple[Region, Region]]:
    """eu with its origin and us with its edge."""
    with contextlib.ExitStack() as stack:
        stack.callback(testbed, "down")
        testbed("up", "place:eu", "place:us", "place:nsk")
        found = json.loads(testbed("env"))["places"]
        eu, us = (Region(stack, folder, name, found[name]["ip"]) for name in ("eu", "us"))
        write_resources(folder, (eu, us))
        eu.director()
        us.director()
        eu.node("origin")
        us.node("edge")
        yield eu, us


@contextlib.contextmanager
def publisher(eu: Region, megabits: float) -> Iterator[None]:
    """A camera beside the origin."""
    settings = ("--fps", str(FRAMES_A_SECOND), "--bitrate", f"{megabits:g}M")
    words = ("publish", f"{eu.public}/whip/{STREAM}", "--timer", *settings, "--wait", "15")
    with (LOGS / "publisher.log").open("ab") as log:
        command = in_place(eu.name, str(MEDIA), *words)
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(JOIN_SECONDS)


def measure(us: Region, row: Row, seconds: float) -> Seen:
    """One viewer under these conditions."""
    for path, ends in PATHS.items():
        lossy = path == row.path
        delay, loss = (row.round_trip_ms / 2, row.percent) if lossy else (NEAR_MS / 2, 0.0)
        how = ("--delay", str(delay), "--loss", str(loss), "--burst", str(row.burst))
        testbed("wan", "set", *ends, *how, "--both")
    time.sleep(BETWEEN_SECONDS)
    url = f"{us.public}/whep/{STREAM}"
    watched = seconds + WARM_UP_SECONDS
    words = ("play", url, "--duration", str(watched), "--json", "--wait", str(JOIN_SECONDS))
    screen = ("--warm-up", str(WARM_UP_SECONDS), "--playout-delay", str(row.round_trip_ms + PLAYOUT_MS))
    limit = watched + 2 * JOIN_SECONDS
    done = subprocess.run(
        in_place("nsk", str(MEDIA), *words, *screen), check=True, capture_output=True, text=True, timeout=limit
    )
    return Seen.of(done.stdout, seconds)


def numbers(text: str) -> list[float]:
    """`1,5,10`."""
    return [float(word) for word in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description="frame rate and freezes at loss on the testbed's WAN")
    parser.add_argument("--paths", default=",".join(PATHS), help="where packets are lost (default: %(default)s)")
    parser.add_argument("--loss", default="1,3,5,10", help="per cent (default: %(default)s)")
    parser.add_argument("--bursts", default="1,5", help="packets lost in a row in the mean (default: %(default)s)")
    parser.add_argument("--round-trips", default="84,183", help="ms (default: %(default)s)")
    parser.add_argument("--megabits", default="1,4", help="of the video (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each row (default: %(default)s)")
    arguments = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    LOGS.mkdir(parents=True, exist_ok=True)
    conditions = about()
    print(", ".join(f"{name} {value}" for name, value in conditions.items()), flush=True)
    print(HEAD, "|---|---|---|---|---|---|---|", sep="\n", flush=True)
    found = []
    with tempfile.TemporaryDirectory(prefix="rivulet-bench-") as name, places(Path(name)) as (eu, us):
        for megabits in numbers(arguments.megabits):
            with publisher(eu, megabits):
                lists = (numbers(arguments.bursts), arguments.paths.split(","), numbers(arguments.round_trips))
                for burst, path, round_trip, percent in itertools.product(*lists, numbers(arguments.loss)):
                    row = Row(path, percent, burst, round_trip, megabits)
                    seen = measure(us, row, arguments.seconds)
                    found.append(asdict(row) | asdict(seen))
                    print(line(row, seen), flush=True)
    print(json.dumps({**conditions, "rows": found}))


if __name__ == "__main__":
    main()
