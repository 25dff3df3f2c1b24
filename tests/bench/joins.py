"""`make bench-joins`: what a join costs the media server, and what those who watch notice of it.

The processes of `fanout.py`, on loopback: 300 viewers watch, then many more join, as fast as the clients of this one
machine can (they need more CPU for a join than the server), and leave. The server's CPU for its viewers alone is taken
off. Transit is from the source to one viewer, of the packet that completes a frame. The last line is JSON.
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
class Joins:
    """One number of joins beside one number of viewers."""

    watching: int
    joining: int
    us_per_join: float  # the server's CPU: SDP, ICE, DTLS and the first media of those who came early
    per_second: float  # as many as the clients managed
    kib_per_viewer: float
    quiet_us: dict[str, int]
    busy_us: dict[str, int]


def measure(binary: str, scene: Scene, joining: int) -> Joins:
    scene.source.ask("paced")
    time.sleep(SETTLE_SECONDS)
    scene.viewers.ask("latency")
    before, began = scene.server.figures("cpu"), time.monotonic()
    time.sleep(QUIET_SECONDS)
    quiet_cpu = (scene.server.figures("cpu")["cpu"] - before["cpu"]) / (time.monotonic() - began)
    quiet = scene.viewers.figures("latency")
    before, began = scene.server.figures("cpu"), time.monotonic()
    with Part(binary, "viewers", str(joining), "0") as crowd:
        serve_offers(crowd, scene.server, "play")
        seconds, after = time.monotonic() - began, scene.server.figures("cpu")
        busy = scene.viewers.figures("latency")
    cpu = after["cpu"] - before["cpu"] - quiet_cpu * seconds
    memory = (after["memory"] - before["memory"]) / 1024 / joining
    return Joins(scene.count, joining, round(cpu / joining), round(joining / seconds), round(memory), quiet, busy)


def main() -> None:
    parser = argparse.ArgumentParser(description="server CPU per join beside running viewers")
    parser.add_argument("--watching", type=int, default=300, help="viewers that watch (default: %(default)s)")
    parser.add_argument("--joining", type=int, default=1000, help="viewers that join (default: %(default)s)")
    arguments = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    binary = build()
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    print(f"{os.cpu_count()} CPUs, Linux {platform.release()}, load before: {load}; all on loopback", flush=True)
    with connected(binary, arguments.watching, GATHER_MS) as scene:
        scene.begin()
        joins = measure(binary, scene, arguments.joining)
        scene.check()
    print(
        f"{joins.joining} joins: {joins.us_per_join:.0f} µs of server CPU each ({1e6 / joins.us_per_join:.0f}/s/core)"
    )
    print(f"they came at {joins.per_second:.0f}/s, {joins.kib_per_viewer:.0f} KiB of server memory each")
    for name, latency in {"before": joins.quiet_us, "meanwhile": joins.busy_us}.items():
        words = ", ".join(f"p{p} {latency[f'last_p{p}'] / 1000:.1f} ms" for p in (50, 95, 99))
        print(f"transit of a frame's last packet to one of {joins.watching} viewers {name}: {words}")
    print(json.dumps(asdict(joins)))


if __name__ == "__main__":
    main()
