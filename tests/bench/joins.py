"""`make bench-joins`: what a join costs the media server, and what those who watch notice of it.

The processes of `fanout.py`, on loopback: many viewers join, as fast as the clients of this one machine can (a join
costs them more than the server). First while the source sends next to nothing: that is what a join costs. Then at
another server beside 300 viewers who watch, and those who join leave as soon as they are connected, unless `--stay`:
transit is from the source to one who watches, of the packet that completes a frame, up to the moment that the kernel
has it. The server's processes have one CPU for themselves and all others share the rest, unless `--share`.
`--through director`: a region of bare processes, by HTTP through its front door to an edge. The last line is JSON.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from fanout import SETTLE_SECONDS, Scene, about, connected, serve_offers
from networks import LOOPBACK
from rivulet_scene.bare import BareCdn
from rivulet_scene.load import build, generator
from servers import BareEngine, Server, Spent, WebServer, spent

GATHER_MS = 10.0
QUIET_SECONDS = 4.0
STREAM = "bench_eu"
SEATS = "100000"


@dataclass(frozen=True)
class Cost:
    """Of one join, for the server: µs of CPU of each process, and KiB in all."""

    cpu_us: Mapping[str, int]
    memory_kib: int

    @property
    def whole_us(self) -> int:
        return sum(self.cpu_us.values())


@dataclass(frozen=True)
class Disturbance:
    """Joins a second, the server's share of a core meanwhile, and transit times to one who watches, before and then."""

    joins_per_second: int
    core_percent: int
    before_us: Mapping[str, int]
    meanwhile_us: Mapping[str, int]


@dataclass(frozen=True)
class Desk:
    """How a server is had."""

    through: str
    pinned: bool
    stay: bool

    @contextlib.contextmanager
    def server(self) -> Iterator[Server]:
        """A new one, on a CPU of its own if that is wanted."""
        made = engine() if self.through == "engine" else region()
        with made as server:
            if self.pinned:
                pin(server)
            yield server


@contextlib.contextmanager
def engine() -> Iterator[Server]:
    """The engine without HTTP."""
    with BareEngine(LOOPBACK, GATHER_MS, threads=1) as server:
        yield server


@contextlib.contextmanager
def region() -> Iterator[Server]:
    """Director, origin and edge. The origin is not measured: viewers come to the edge."""
    streams = {STREAM: {"region": "eu", "access": {"publish": "open"}}}
    with (
        tempfile.TemporaryDirectory(prefix="rivulet-bench-") as folder,
        BareCdn(Path(folder), {"eu": 1}, streams) as cdn,
    ):
        director = cdn.director("eu", ready=False)
        cdn.node("origin-eu-0", "origin", "eu")
        edge = cdn.node("edge-eu-0", "edge", "eu", "--capacity-viewers", SEATS)
        cdn.settled("eu")
        door, pids = cdn.regions["eu"].public(), {"director": director.popen.pid, "edge": edge.popen.pid}
        yield WebServer(f"{door}/whip/{STREAM}", f"{door}/whep/{STREAM}", pids)


def pin(server: Server) -> None:
    """All threads of the server's processes to the last CPU."""
    for pid in server.pids.values():
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {max(all_cpus())})


def all_cpus() -> set[int]:
    """Those that this machine has for us."""
    return set(range(os.cpu_count() or 1))


def cost(desk: Desk, joining: int) -> Cost:
    """Of a join while next to nothing is sent; without any sign of life the stream would count as lost."""
    with desk.server() as server, connected(server, LOOPBACK, 1) as scene:
        scene.source.ask("still")
        time.sleep(SETTLE_SECONDS)
        before = {name: Spent.of(pid) for name, pid in server.pids.items()}
        join(scene, joining)
        each = {name: Spent.of(pid) - before[name] for name, pid in server.pids.items()}
    memory = sum(used.memory for used in each.values())
    return Cost({name: round(used.cpu_us / joining) for name, used in each.items()}, round(memory / joining / 1024))


def disturbance(desk: Desk, watching: int, joining: int) -> Disturbance:
    """Of those who watch."""
    with desk.server() as server, connected(server, LOOPBACK, watching) as scene:
        scene.begin()
        scene.viewers.ask("stamp")
        scene.viewers.ask("latency")
        time.sleep(QUIET_SECONDS)
        before, used = scene.viewers.figures("latency"), spent(server)
        seconds = join(scene, joining) if desk.stay else visit(scene, joining)
        core = (spent(server) - used).cpu_us / seconds / 1e4
        return Disturbance(round(joining / seconds), round(core), before, scene.viewers.figures("latency"))


def join(scene: Scene, joining: int) -> float:
    """Seconds until all had joined."""
    began = time.monotonic()
    with generator("viewers", LOOPBACK.clients, str(joining), "0") as crowd:
        serve_offers(crowd, scene.server.play)
        return time.monotonic() - began


def visit(scene: Scene, joining: int) -> float:
    """Seconds until all have been there and have gone."""
    began = time.monotonic()
    with generator("visitors", LOOPBACK.clients, str(joining)) as crowd:

        def leave(number: str) -> str:
            scene.server.leave(scene.count + int(number))
            return "gone"

        serve_offers(crowd, scene.server.play, leave=leave)
        return time.monotonic() - began


def report(each: Cost, noticed: Disturbance) -> str:
    """For a person."""
    split = ", ".join(f"{name} {cpu}" for name, cpu in each.cpu_us.items())
    whole = f"a join: {each.whole_us} µs of server CPU ({1e6 / each.whole_us:.0f}/s/core)"
    lines = [f"{whole}: {split}; {each.memory_kib} KiB"]
    lines.append(f"beside those who watch {noticed.joins_per_second} joins/s, {noticed.core_percent} % of a core")
    for name, latency in {"before": noticed.before_us, "meanwhile": noticed.meanwhile_us}.items():
        words = ", ".join(f"p{p} {latency[f'last_p{p}'] / 1000:.1f} ms" for p in (50, 95, 99))
        lines.append(f"transit of a frame's last packet to one of those, {name}: {words}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="server CPU per join, and joins beside running viewers")
    parser.add_argument("--watching", type=int, default=300, help="viewers that watch (default: %(default)s)")
    parser.add_argument("--joining", type=int, default=1000, help="viewers that join (default: %(default)s)")
    parser.add_argument("--through", choices=("engine", "director"), default="engine", help="(default: %(default)s)")
    parser.add_argument("--stay", action="store_true", help="those who join watch too")
    parser.add_argument("--share", action="store_true", help="server and clients share all CPUs")
    arguments = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    build()
    conditions = about()
    print(", ".join(f"{name} {value}" for name, value in conditions.items()), "loopback", flush=True)
    desk = Desk(arguments.through, pinned=not arguments.share and len(all_cpus()) > 1, stay=arguments.stay)
    if desk.pinned:
        os.sched_setaffinity(0, all_cpus() - {max(all_cpus())})
    each = cost(desk, arguments.joining)
    noticed = disturbance(desk, arguments.watching, arguments.joining)
    print(report(each, noticed))
    print(json.dumps({**conditions, **asdict(desk), **asdict(each), **asdict(noticed)}))


if __name__ == "__main__":
    main()
