"""`make bench-start`: from a viewer's POST to its first decoded picture, at a warm edge and at cold ones.

Two places of the testbed, 84 ms apart, each with a director: an origin and the publisher in eu, an edge and the viewers
in us, all bare processes. Warm: the edge relays the stream already. Open: each start makes the relay begin, on a link
that is there. Cold: it makes the link begin too, on connections for signalling that are new. The last line is JSON
(docs/benchmarks/).
"""

import argparse
import contextlib
import json
import os
import platform
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
TESTBED = REPOSITORY / "hack" / "testbed"
MEDIA = Path(sys.executable).with_name("rivulet-media")
LOGS = REPOSITORY / "logs" / "bench-start"
PREFIX = "rvbench"
STREAM = "start_eu"
PUBLIC, INTERNAL, NODE_HTTP, NODE_MEDIA = 8080, 7443, 8081, 7000
READY_SECONDS = 20.0
# Of the edge's link without relays: it is still there at the next start, and its end can be waited for.
LINK_SECONDS = 5
# Connections for signalling that nobody uses are closed after 15 s.
COLD_SECONDS = 16
COLD_STARTS = 10
STOP_SECONDS = 10.0
STEPS = {
    "answered": "POST answered",
    "ice": "ICE connected",
    "dtls": "DTLS finished",
    "first_packet": "first packet",
    "key_begins": "first packet of a key frame",
    "key_complete": "that key frame complete",
    "picture": "first decoded picture",
}


class Region:
    """One place with its director; processes started in it end with the `with` block around `stack`."""

    def __init__(self, stack: contextlib.ExitStack, folder: Path, name: str, address: str) -> None:
        self._stack = stack
        self._folder = folder
        self.name = name
        self.public = f"http://{address}:{PUBLIC}"
        self.node_http = f"http://{address}:{NODE_HTTP}"
        self.address = address
        (folder / f"{name}.join").write_text(secrets.token_hex(16))

    def start(self, label: str, *arguments: str) -> None:
        """`rivulet-media ARGUMENTS` in this place's network."""
        log = self._stack.enter_context((LOGS / f"{label}.log").open("wb"))
        command = in_place(self.name, str(MEDIA), *arguments)
        self._stack.callback(stop, subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def director(self) -> None:
        files = ["--file", str(self._folder / f"{self.name}.json"), "--state-dir", str(self._folder / self.name)]
        ports = ["--public-port", str(PUBLIC), "--internal-port", str(INTERNAL), "--pod-ip", self.address]
        self.start(f"director-{self.name}", "director", "--region", self.name, *files, *self._join(), *ports)
        until(lambda: answers(f"{self.public}/readyz"), f"director of {self.name} ready")

    def node(self, role: str, *options: str) -> None:
        entry = ["--entry", f"http://{self.address}:{INTERNAL}", "--pod-ip", self.address]
        ports = ["--http-port", str(NODE_HTTP), "--media-port", str(NODE_MEDIA)]
        self.start(
            f"{role}-{self.name}", "node", "--role", role, "--slot", role, *entry, *self._join(), *ports, *options
        )
        until(lambda: answers(f"{self.node_http}/readyz"), f"{role} of {self.name} ready")

    def _join(self) -> list[str]:
        return ["--join-token-file", str(self._folder / f"{self.name}.join"), "--bind", self.address]


def in_place(place: str, *command: str) -> list[str]:
    """The command line that runs `command` in a place and dies with this process."""
    return ["setpriv", "--pdeathsig", "KILL", str(TESTBED), "--prefix", PREFIX, "exec", place, "--", *command]


def testbed(*arguments: str) -> str:
    command = [str(TESTBED), "--prefix", PREFIX, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=120).stdout


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_SECONDS)


def answers(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own processes
        return bool(answer.status == 200)
    return False


def until(look: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not look():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {READY_SECONDS:.0f} s: {what}; logs: {LOGS}")
        time.sleep(0.2)


def resource(kind: str, name: str, /, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "rivulet.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def write_resources(folder: Path, regions: Sequence[Region]) -> None:
    """What each region's director reads: both regions, the other's mesh token, in eu the Stream."""
    token = secrets.token_hex(16)
    stream = resource(
        "Stream", "start", name=STREAM, region="eu", access={"publish": "open"}, distribution={"idleSeconds": 1}
    )
    for region in regions:
        documents = [stream] if region.name == "eu" else []
        for other in regions:
            host, mesh = f"{other.address}:{PUBLIC}", {"address": f"{other.address}:{INTERNAL}"}
            documents.append(resource("CDNRegion", other.name, host=host, mesh=mesh))
            if other is not region:
                metadata, data = {"name": f"mesh-{other.name}"}, {"token": token}
                documents.append({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data})
        text = "\n---\n".join(json.dumps(document) for document in documents)
        (folder / f"{region.name}.json").write_text(text)


@contextlib.contextmanager
def scene(folder: Path) -> Iterator[tuple[Region, Region]]:
    """Both regions with their processes and the publisher, the stream known in us."""
    with contextlib.ExitStack() as stack:
        stack.callback(testbed, "down")
        testbed("up", "place:eu", "place:us")
        places = json.loads(testbed("env"))["places"]
        eu, us = (Region(stack, folder, name, places[name]["ip"]) for name in ("eu", "us"))
        write_resources(folder, (eu, us))
        eu.director()
        us.director()
        eu.node("origin")
        us.node("edge", "--link-seconds", str(LINK_SECONDS))
        eu.start("publisher", "publish", f"{eu.public}/whip/{STREAM}", "--timer", "--wait", "15")
        yield eu, us


def starts(us: Region, count: int, *options: str) -> list[dict[str, float]]:
    """Viewers in us, one after another."""
    client = Path(__file__).with_name("start_client.py")
    command = [sys.executable, str(client), f"{us.public}/whep/{STREAM}", "--starts", str(count), *options]
    done = subprocess.run(
        in_place("us", *command), check=True, stdout=subprocess.PIPE, text=True, timeout=30 + 40 * count
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def percentile(values: list[float], share: float) -> float:
    """Nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def summary(runs: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Per step: p50 and p95 in ms after POST, and how many starts saw it."""
    columns = {step: [run[step] for run in runs if step in run] for step in STEPS}
    return {
        step: {"p50": percentile(values, 0.5), "p95": percentile(values, 0.95), "starts": len(values)}
        for step, values in columns.items()
        if values
    }


def table(figures: dict[str, dict[str, dict[str, float]]]) -> str:
    lines = [f"{'ms after POST':<30}" + "".join(f"{edge + ' p50':>12}{edge + ' p95':>12}" for edge in figures)]
    for step, words in STEPS.items():
        cells = (figures[edge].get(step, {}) for edge in figures)
        numbers = "".join(f"{cell.get('p50', 0):>12.0f}{cell.get('p95', 0):>12.0f}" for cell in cells)
        lines.append(f"{words:<30}{numbers}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="POST to first decoded picture, at a warm edge and at cold ones")
    parser.add_argument("--starts", type=int, default=20, help="of each kind (default: %(default)s)")
    parser.add_argument("--apart", default="0", metavar="S", help="pause between starts, at least (default: 0)")
    arguments = parser.parse_args()
    apart = ("--apart", arguments.apart)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    LOGS.mkdir(parents=True, exist_ok=True)
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    print(f"{os.cpu_count()} CPUs, Linux {platform.release()}, load before: {load}; eu and us 84 ms apart", flush=True)
    with tempfile.TemporaryDirectory(prefix="rivulet-bench-") as name, scene(Path(name)) as (_, us):
        starts(us, 1)  # the stream is live and known everywhere
        reached = starts(us, arguments.starts, *apart, "--cold", us.node_http)
        cold_apart = ("--apart", str(COLD_SECONDS))
        cold = starts(us, min(arguments.starts, COLD_STARTS), *cold_apart, "--cold", us.node_http, "--no-link")
        us.start("watcher", "play", f"{us.public}/whep/{STREAM}")
        time.sleep(3)
        warm = starts(us, arguments.starts, *apart)
    figures = {"warm": summary(warm), "open": summary(reached), "cold": summary(cold)}
    print(table(figures))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
