"""`make bench-transport`: a relay by UDP, by TCP with cubic, by TCP with bbr, over a long path that loses packets.

Two places of the testbed. In eu an engine that is the origin, and a publisher; in us an engine that is the edge, and a
viewer. Only the relay goes over the path: what they say to one another goes through this process. Beside each TCP
relay the same run measures what one bare TCP connection with the same congestion control carries on that path. The
last line is JSON (docs/benchmarks/transport.md).
"""

import argparse
import contextlib
import itertools
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from fanout import serve_offers
from rivulet_scene.load import Part, build, generator, read_message, write_message

REPOSITORY = Path(__file__).resolve().parents[2]
TESTBED = REPOSITORY / "hack" / "testbed"
PREFIX = os.environ.get("RIVULET_PREFIX", "rvtcp")
STREAM = "bench"
Way = Literal["udp", "cubic", "bbr"]
PATTERNS = {1: "paced", 3: "rich", 4: "full"}  # by Mbit/s of video
GROUP_OF_PICTURES = 60
SETTLE_SECONDS = 4.0
FLOOD_SECONDS, FLOOD_WARM_UP = 8.0, 3.0
CONNECT_SECONDS = 10.0
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class WanPath:
    """The way from eu to us and back: round trip in ms, loss in percent, rate in Mbit/s (0: any), its queue in ms."""

    rtt: float
    loss: float
    rate: float
    queue: float = 200.0

    def set(self) -> None:
        conditions = {"delay": self.rtt / 2, "loss": self.loss, "rate": self.rate, "queue": self.queue}
        words = [word for name, value in conditions.items() for word in (f"--{name}", f"{value:g}")]
        testbed("wan", "set", "eu", "us", *words, "--both")


@dataclass(frozen=True)
class Result:
    """What the viewer saw; times in ms."""

    way: Way
    megabits: int
    loss: float
    rate: float
    carries_mbps: float | None  # one bare TCP connection
    frames_per_second: float
    freezes_per_minute: float
    longest: float
    latency_p50: float
    latency_p95: float
    latency_p99: float
    cuts: int
    late: int  # packets that the edge dropped
    transport: str
    congestion_refused: int


def testbed(*arguments: str) -> str:
    command = [str(TESTBED), "--prefix", PREFIX, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=120).stdout


def in_place(place: str, *command: str) -> list[str]:
    return [str(TESTBED), "--prefix", PREFIX, "exec", place, "--", *command]


# In the places


def serve(congestion: str) -> None:
    """An engine: `publish`, `play`, `relay`, `pull`, `answer` with what belongs to them; `stats` as JSON."""
    from rivulet_media._engine import Engine  # noqa: PLC0415 - only these processes need it

    engine = Engine("0.0.0.0", 0, relay_congestion=congestion)
    engine.set_candidates([(LOOPBACK, engine.port)])
    tracks: list[Any] = []
    relay = ""
    while (message := read_message(sys.stdin.buffer)) is not None:
        verb, _, rest = message.partition(" ")
        for event in engine.drain_events():
            tracks = event.get("tracks", tracks)
        match verb:
            case "publish":
                answer = engine.publish(STREAM, "incarnation-1", rest, ["h264", "opus"])[1]
            case "tracks":
                answer = str(len(tracks))
            case "described":
                answer = json.dumps(tracks)
            case "relay":
                address, _, offer = rest.partition(" ")
                where = [(address, engine.port)]
                answer = engine.play(STREAM, tracks, offer, relay=True, candidates=where)[1]
            case "pull":
                way, _, described = rest.partition(" ")
                tracks = json.loads(described)
                relay, answer = engine.pull(STREAM, "incarnation-1", tracks, tcp=way == "tcp")
            case "answer":
                engine.pull_answer(relay, rest)
                answer = "taken"
            case "play":
                answer = engine.play(STREAM, tracks, rest)[1]
            case _:
                answer = json.dumps(engine.stats())
        write_message(sys.stdout.buffer, answer)
    engine.shutdown()


def drain(address: str) -> None:
    """Say the port, take one connection, say what came in the time after a warm-up, bit/s."""
    with socket.create_server((address, 0)) as listener:
        write_message(sys.stdout.buffer, str(listener.getsockname()[1]))
        stream, _ = listener.accept()
    with stream:
        began, count, counted_from = time.monotonic(), 0, 0.0
        while data := stream.recv(1 << 16):
            now = time.monotonic()
            if now - began >= FLOOD_WARM_UP:
                counted_from = counted_from or now
                count += len(data)
        write_message(sys.stdout.buffer, str(round(8 * count / (time.monotonic() - counted_from))))


def flood(address: str, port: int, congestion: str) -> None:
    """Send as fast as one connection goes."""
    with socket.create_connection((address, port)) as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion.encode())
        data, end = bytes(1 << 14), time.monotonic() + FLOOD_SECONDS
        while time.monotonic() < end:
            stream.send(data)


# From outside


def carries(addresses: dict[str, str], congestion: str) -> float:
    """What one bare TCP connection from eu to us carries, Mbit/s."""
    drains = in_place("us", sys.executable, __file__, "--drain", addresses["us"])
    with Part(*drains) as taking:
        port = taking.hear()
        with Part(*in_place("eu", sys.executable, __file__, "--flood", addresses["us"], port, congestion)):
            return round(int(taking.hear()) / 1e6, 2)


@contextlib.contextmanager
def relayed(addresses: dict[str, str], way: Way, megabits: int) -> Iterator[tuple[Part, Part, Part]]:
    """Publisher, origin, relay, edge and viewer, the picture running: origin, edge, viewer."""
    with contextlib.ExitStack() as parts:

        def part(place: str, *command: str) -> Part:
            return parts.enter_context(Part(*in_place(place, *command)))

        congestion = "bbr" if way == "udp" else way
        origin, edge = (part(place, sys.executable, __file__, "--serve", congestion) for place in ("eu", "us"))
        source = parts.enter_context(generator("source", LOOPBACK, before=in_place("eu")))
        serve_offers(source, lambda offer: origin.ask(f"publish {offer}"))
        source.ask(f"{PATTERNS[megabits]} {GROUP_OF_PICTURES}")
        wait_for_tracks(origin)
        offer = edge.ask(f"pull {'udp' if way == 'udp' else 'tcp'} {origin.ask('described')}")
        answer = origin.ask(f"relay {addresses['eu']} {offer}")
        edge.ask(f"answer {answer}")
        until_active(edge)
        viewer = parts.enter_context(generator("viewers", LOOPBACK, "1", "1", before=in_place("us")))
        serve_offers(viewer, lambda offer: edge.ask(f"play {offer}"))
        yield origin, edge, viewer


def wait_for_tracks(origin: Part) -> None:
    deadline = time.monotonic() + CONNECT_SECONDS
    while origin.ask("tracks") != "2":
        if time.monotonic() > deadline:
            raise SystemExit("the engine has not said which tracks are published")
        time.sleep(0.05)


def until_active(edge: Part) -> None:
    deadline = time.monotonic() + CONNECT_SECONDS
    while not json.loads(edge.ask("stats"))["sessions"][0]["packets"]:
        if time.monotonic() > deadline:
            raise SystemExit(f"no packet by the relay within {CONNECT_SECONDS:.0f} s: {edge.ask('stats')}")
        time.sleep(0.1)


def measure(addresses: dict[str, str], path: WanPath, way: Way, megabits: int, seconds: float) -> Result:
    path.set()
    capacity = None if way == "udp" else carries(addresses, way)
    with relayed(addresses, way, megabits) as (origin, edge, viewer):
        time.sleep(SETTLE_SECONDS)
        viewer.ask("pictures")
        time.sleep(seconds)
        seen = viewer.figures("pictures")
        sent, got = json.loads(origin.ask("stats")), json.loads(edge.ask("stats"))
    (relay,) = (each for each in got["sessions"] if each["kind"] == "relay_in")
    (fed,) = (each for each in sent["sessions"] if each["kind"] == "relay_out")
    return Result(
        way=way,
        megabits=megabits,
        loss=path.loss,
        rate=path.rate,
        carries_mbps=capacity,
        frames_per_second=round(seen["frames"] / seconds, 1),
        freezes_per_minute=round(seen["freezes"] * 60 / seconds, 1),
        longest=seen["longest"] / 1000,
        latency_p50=seen["whole_p50"] / 1000,
        latency_p95=seen["whole_p95"] / 1000,
        latency_p99=seen["whole_p99"] / 1000,
        cuts=fed["cut"],
        late=relay["late"],
        transport=relay["transport"],
        congestion_refused=sent["tcp_congestion_refused"] + got["tcp_congestion_refused"],
    )


def row(result: Result) -> str:
    carried = "-" if result.carries_mbps is None else f"{result.carries_mbps:.2f}"
    rate = "any" if not result.rate else f"{result.rate:g}"
    cells = (
        *(result.way, result.megabits, f"{result.loss:g} %", rate, carried),
        *(f"{result.frames_per_second:.1f}", f"{result.freezes_per_minute:.1f}", f"{result.longest:.0f}"),
        *(f"{each:.0f}" for each in (result.latency_p50, result.latency_p95, result.latency_p99)),
        result.cuts,
        result.late,
    )
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


HEAD = (
    "| relay | Mbit/s | loss | path Mbit/s | one connection carries | frames/s | freezes/min | longest ms"
    " | p50 ms | p95 | p99 | cuts | late |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|"
)


def run(arguments: argparse.Namespace) -> list[Result]:
    build()
    results = []
    with contextlib.ExitStack() as stack:
        stack.callback(testbed, "down")
        testbed("up", "place:eu", "place:us")
        addresses = {name: place["ip"] for name, place in json.loads(testbed("env"))["places"].items()}
        print(HEAD, flush=True)
        cases = itertools.product(arguments.megabits, arguments.losses, arguments.rates, arguments.ways)
        for megabits, loss, rate, way in cases:
            path = WanPath(arguments.rtt, loss, rate, arguments.queue)
            results.append(measure(addresses, path, way, megabits, arguments.seconds))
            print(row(results[-1]), flush=True)
    return results


def listed(kind: type[Any]) -> Any:
    return lambda text: [kind(word) for word in text.split(",")]


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="relays by UDP and by TCP over a long path that loses packets")
    parser.add_argument("--serve", metavar="CONGESTION", help=argparse.SUPPRESS)
    parser.add_argument("--drain", metavar="ADDRESS", help=argparse.SUPPRESS)
    parser.add_argument("--flood", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--ways", type=listed(str), default=list(get_args(Way)), help="default: udp,cubic,bbr")
    parser.add_argument("--megabits", type=listed(int), default=[1, 4], help="of video: 1, 3, 4 (default: 1,4)")
    parser.add_argument("--losses", type=listed(float), default=[0.0, 1.0, 3.0], help="percent (default: 0,1,3)")
    parser.add_argument("--rates", type=listed(float), default=[0.0], help="of the path, Mbit/s (default: 0, any)")
    parser.add_argument("--queue", type=float, default=200.0, help="before that bottleneck, ms (default: %(default)s)")
    parser.add_argument("--rtt", type=float, default=84.0, help="ms (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each row (default: %(default)s)")
    return parser.parse_args()


def main() -> None:
    arguments = parsed()
    if arguments.serve:
        serve(arguments.serve)
    elif arguments.drain:
        drain(arguments.drain)
    elif arguments.flood:
        address, port, congestion = arguments.flood
        flood(address, int(port), congestion)
    else:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _: sys.exit(128 + number))
        load = " ".join(f"{value:.2f}" for value in os.getloadavg())
        about = f"{os.cpu_count()} CPUs, Linux {platform.release()}, load before: {load}"
        print(f"{about}; round trip {arguments.rtt:g} ms, {arguments.seconds:g} s a row", flush=True)
        results = run(arguments)
        print(json.dumps([asdict(result) for result in results]))


if __name__ == "__main__":
    main()
