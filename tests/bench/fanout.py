"""`make bench-fanout`: what a delivered packet costs the media server, beside the least that it could cost.

Four processes: the server (an Engine without HTTP, or any WHIP and WHEP server by URL and pid), a publisher and viewers
(the Rust crate rivulet-bench: real ICE, DTLS and SRTP), and the bare loop, which seals and sends the same packets to
the same viewers' sockets, on as many threads. Server and bare loop take turns within one run. All stand on loopback,
or the server behind a pod's network (`--via pod`). The last line is JSON (docs/benchmarks/).
"""

import argparse
import contextlib
import itertools
import json
import os
import platform
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import fanout_report
from fanout_report import PATTERNS, Case, Result
from networks import LOOPBACK, Network, pod
from rivulet_scene.load import Part, build, generator
from servers import BareEngine, Server, WebServer, spent

VERIFYING = 3  # viewers that decrypt and check every byte
ROUNDS = 3
SETTLE_SECONDS = 1.5


@dataclass(frozen=True)
class Turn:
    """What one stretch cost and brought."""

    cpu: int  # microseconds
    packets: int  # delivered
    bytes: int
    seconds: float

    @property
    def us_per_packet(self) -> float:
        return self.cpu / max(self.packets, 1)


@dataclass(frozen=True)
class Rounds:
    """What was measured of one number of viewers and one pattern."""

    server: list[Turn]
    floor: list[Turn]
    latency_us: Mapping[str, int]

    def result(self, viewers: int, memory: int) -> Result:
        """As figures; `memory`: what all viewers take."""
        packets, floor_packets = sum(t.packets for t in self.server), sum(t.packets for t in self.floor)
        cpu, seconds = sum(t.cpu for t in self.server), sum(t.seconds for t in self.server)
        each, least = cpu / packets, sum(t.cpu for t in self.floor) / floor_packets
        rounds = [turn.us_per_packet for turn in self.server]
        figures = (each, least, each / least, min(rounds), max(rounds), packets / seconds / viewers)
        sizes = (sum(t.bytes for t in self.server) / packets, sum(t.bytes for t in self.floor) / floor_packets)
        used = (cpu / seconds / 1e4, memory / viewers / 1024)
        return Result(self.latency_us, *(round(figure, 2) for figure in (*figures, *sizes, *used)))


@dataclass(frozen=True)
class Scene:
    """The parts of one run, connected. `memory`: by how much the server has grown with the viewers, bytes."""

    server: Server
    source: Part
    viewers: Part
    floor: Part
    count: int
    memory: int

    def begin(self) -> None:
        """Every viewer has had its key frame: count from here."""
        self.source.ask("paced")
        time.sleep(SETTLE_SECONDS)
        self.viewers.ask("reset")

    def measure(self, pattern: str, seconds: float) -> Result:
        """Server and bare loop by turns."""
        turns, floor, latencies = [], [], []
        for _ in range(ROUNDS):
            self.source.ask(pattern)
            time.sleep(SETTLE_SECONDS)
            self.viewers.ask("latency")
            turns.append(self._server_turn(seconds))
            latencies.append(self.viewers.figures("latency"))
            self.source.ask("pause")
            time.sleep(0.3)
            floor.append(self._floor_turn(pattern, seconds))
        latency = {name: round(statistics.median(each[name] for each in latencies)) for name in latencies[0]}
        return Rounds(turns, floor, latency).result(self.count, self.memory)

    def _server_turn(self, seconds: float) -> Turn:
        began = time.monotonic()
        cpu, seen = spent(self.server).cpu_us, self.viewers.figures("count")
        time.sleep(seconds)
        cpu_after, seen_after = spent(self.server).cpu_us, self.viewers.figures("count")
        packets, size = seen_after["packets"] - seen["packets"], seen_after["bytes"] - seen["bytes"]
        return Turn(cpu_after - cpu, packets, size, time.monotonic() - began)

    def _floor_turn(self, pattern: str, seconds: float) -> Turn:
        seen = self.viewers.figures("count")
        cpu = self.floor.figures(f"{pattern} {seconds}")["cpu"]
        time.sleep(0.2)
        after = self.viewers.figures("count")
        return Turn(cpu, after["floor"] - seen["floor"], after["floor_bytes"] - seen["floor_bytes"], seconds)

    def check(self) -> None:
        """Nothing came wrong, and every viewer got about as much as every other."""
        seen = self.viewers.figures("count")
        if seen["broken"] or not seen["intact"]:
            raise SystemExit(f"what {VERIFYING} viewers decrypted is not what was sent: {seen}")
        if seen["least"] < 0.99 * seen["most"]:
            raise SystemExit(f"viewers did not get the same: {seen}")
        print(f"  checked: {seen['intact']} packets intact; each viewer {seen['least']}…{seen['most']} packets")
        print(f"  server: {json.dumps(self.server.counters())}", flush=True)


@contextlib.contextmanager
def connected(server: Server, network: Network, count: int, threads: int = 1) -> Iterator[Scene]:
    """A publisher and viewers of this server, all connected, and the bare loop."""
    with contextlib.ExitStack() as parts:
        source = parts.enter_context(generator("source", network.clients, before=network.client_side))
        serve_offers(source, server.publish)
        source.ask("paced")
        server.wait_until_live()
        began, before = time.monotonic(), spent(server)
        verifying = str(min(VERIFYING, count))
        viewers = generator("viewers", network.clients, str(count), verifying, before=network.client_side)
        addresses = serve_offers(parts.enter_context(viewers), server.play)
        memory = spent(server).memory - before.memory
        took = f"{time.monotonic() - began:.1f} s, {memory / count / 1024:.0f} KiB of memory each"
        print(f"{count} viewers joined in {took}", flush=True)
        bare_loop = generator("floor", network.bound, addresses, str(threads), before=network.server_side)
        floor = parts.enter_context(bare_loop)
        yield Scene(server, source, viewers, floor, count, memory)


def serve_offers(client: Part, answer: Callable[[str], str], leave: Callable[[str], str] | None = None) -> str:
    """Carry offers and answers until the client says that it is connected; the rest of that word."""
    while True:
        word, _, rest = client.hear().partition(" ")
        if word == "connected":
            return rest
        client.say(leave(rest) if leave and word == "leave" else answer(rest))


@dataclass(frozen=True)
class Asked:
    """What the command line asks for."""

    network: Network
    patterns: tuple[str, ...]
    seconds: float

    def measure(self, server: Server, case: Case) -> dict[Case, Result]:
        """All patterns at one number of viewers."""
        with connected(server, self.network, case.viewers, case.threads or 1) as scene:
            scene.begin()
            cases = [replace(case, pattern=pattern) for pattern in self.patterns]
            results = {each: scene.measure(each.pattern, self.seconds) for each in cases}
            scene.check()
        return results


def our_engine(asked: Asked, arguments: argparse.Namespace) -> dict[Case, Result]:
    """Each combination of viewers, gathering and threads, at an engine of its own."""
    results: dict[Case, Result] = {}
    lists = (arguments.viewers, arguments.gather_ms, arguments.threads)
    for viewers, gather_ms, threads in itertools.product(*(each.split(",") for each in lists)):
        case = Case(asked.network.label, "", int(viewers), float(gather_ms), int(threads))
        with BareEngine(asked.network, float(gather_ms), int(threads), arguments.bind) as server:
            results |= asked.measure(server, case)
    return results


def any_server(asked: Asked, arguments: argparse.Namespace) -> dict[Case, Result]:
    """A server that runs already, with sessions for each number of viewers."""
    pids = {str(pid): int(pid) for pid in arguments.pid.split(",")}
    results: dict[Case, Result] = {}
    for viewers in arguments.viewers.split(","):
        with WebServer(arguments.whip, arguments.whep, pids, arguments.token) as server:
            results |= asked.measure(server, Case(asked.network.label, "", int(viewers)))
    return results


def parser() -> argparse.ArgumentParser:
    words = argparse.ArgumentParser(description="server CPU per delivered packet")
    add = words.add_argument
    add("--viewers", default="10,100,500,1000", help="numbers of viewers (default: %(default)s)")
    add("--seconds", type=float, default=4.0, help=f"of each of {ROUNDS} rounds (default: %(default)s)")
    add("--patterns", default=",".join(PATTERNS), help="of the source (default: %(default)s)")
    add("--gather-ms", default="20", help="the engine's setting, one or several (default: %(default)s)")
    add("--bind", metavar="IP", help="where the engine listens (default: where nodes do, IPv6 and IPv4)")
    add("--threads", default="1", help="the engine's data threads, one or several (default: %(default)s)")
    add("--via", choices=("loopback", "pod"), default="loopback", help="pod: behind veth, bridge and DNAT; needs root")
    add("--whip", metavar="URL", help="another server's endpoint for publishers; with --whep and --pid")
    add("--whep", metavar="URL", help="and for viewers")
    add("--pid", metavar="PID", help="and its process, or several with commas between")
    add("--token", default="", help="bearer token for both endpoints")
    add("--clients", metavar="IP", default="127.0.0.1", help="from where it is reached (default: %(default)s)")
    add("--write", metavar="FOLDER", type=Path, help="table, plot and JSON go there as fanout-WHERE")
    return words


def about() -> dict[str, object]:
    """Under what conditions this run is made."""
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    machine = f"{os.cpu_count()} CPUs, Linux {platform.release().partition('-')[0]}"
    command = " ".join([f"tests/bench/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    return {"command": command, "date": f"{datetime.now(UTC):%Y-%m-%d}", "machine": machine, "load before": load}


def main() -> None:
    arguments = parser().parse_args()
    given = (arguments.whip, arguments.whep, arguments.pid)
    if any(given) and (not all(given) or arguments.via == "pod"):
        raise SystemExit("--whip, --whep and --pid go together, and not with --via pod")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    build()
    conditions = about()
    print(", ".join(f"{name} {value}" for name, value in conditions.items()), flush=True)
    with contextlib.ExitStack() as stack:
        network = stack.enter_context(pod()) if arguments.via == "pod" else LOOPBACK
        if any(given):
            network = Network("url", bound=arguments.clients, clients=arguments.clients)
        asked = Asked(network, tuple(arguments.patterns.split(",")), arguments.seconds)
        results = any_server(asked, arguments) if any(given) else our_engine(asked, arguments)
    print(fanout_report.table(results))
    if arguments.write:
        fanout_report.write(arguments.write, results, conditions)
    print(json.dumps({**conditions, "rows": fanout_report.rows(results)}))


if __name__ == "__main__":
    main()
