"""`make bench-joins`: what a join costs the media server, and what those who watch notice of it.

The processes of `fanout.py`, on loopback: many viewers join, as fast as the clients of this one machine can (a join
costs them more than the server). First while the source pauses: that is what a join costs. Then at another server
beside 300 viewers who watch: transit is from the source to one of those, of the packet that completes a frame. The
last line is JSON.
"""

import argparse
import json
import os
import platform
import signal
import sys
import time
from dataclasses import asdict, dataclass

from fanout import SETTLE_SECONDS, Part, Scene, build, connected, serve_offers

GATHER_MS = 10.0
QUIET_SECONDS = 4.0


@dataclass(frozen=True)
class Cost:
    """Of one join, for the server."""

    cpu_us: float
    memory_kib: float


@dataclass(frozen=True)
class Disturbance:
    """Joins a second, and transit times to one who watches: before them, and meanwhile."""

    joins_per_second: float
    before_us: dict[str, int]
    meanwhile_us: dict[str, int]


def cost(binary: str, joining: int) -> Cost:
    with connected(binary, 1, GATHER_MS) as scene:
        scene.source.ask("pause")
        time.sleep(SETTLE_SECONDS)
        before = scene.server.figures("cpu")
        join(binary, scene, joining)
        each = {name: (value - before[name]) / joining for name, value in scene.server.figures("cpu").items()}
    return Cost(round(each["cpu"]), round(each["memory"] / 1024))


def disturbance(binary: str, watching: int, joining: int) -> Disturbance:
    with connected(binary, watching, GATHER_MS) as scene:
        scene.begin()
        scene.viewers.ask("latency")
        time.sleep(QUIET_SECONDS)
        before = scene.viewers.figures("latency")
        seconds = join(binary, scene, joining)
        return Disturbance(round(joining / seconds), before, scene.viewers.figures("latency"))


def join(binary: str, scene: Scene, joining: int) -> float:
    """Seconds until all had joined."""
    began = time.monotonic()
    with Part(binary, "viewers", str(joining), "0") as crowd:
        serve_offers(crowd, scene.server, "play")
        return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description="server CPU per join, and joins beside running viewers")
    parser.add_argument("--watching", type=int, default=300, help="viewers that watch (default: %(default)s)")
    parser.add_argument("--joining", type=int, default=1000, help="viewers that join (default: %(default)s)")
    arguments = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    binary = build()
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    print(f"{os.cpu_count()} CPUs, Linux {platform.release()}, load before: {load}; all on loopback", flush=True)
    each = cost(binary, arguments.joining)
    noticed = disturbance(binary, arguments.watching, arguments.joining)
    print(f"a join: {each.cpu_us:.0f} µs of server CPU ({1e6 / each.cpu_us:.0f}/s/core), {each.memory_kib:.0f} KiB")
    print(f"beside {arguments.watching} who watch {arguments.joining} came at {noticed.joins_per_second:.0f}/s;")
    for name, latency in {"before": noticed.before_us, "meanwhile": noticed.meanwhile_us}.items():
        words = ", ".join(f"p{p} {latency[f'last_p{p}'] / 1000:.1f} ms" for p in (50, 95, 99))
        print(f"transit of a frame's last packet to one of those {name}: {words}")
    print(json.dumps(asdict(each) | asdict(noticed)))


if __name__ == "__main__":
    main()
