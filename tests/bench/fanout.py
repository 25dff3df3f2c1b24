"""`make bench-fanout`: what a delivered packet costs the media server, beside the least that it could cost.

Four processes on loopback: the server (this file with `--server`: an Engine, no HTTP), a publisher and viewers (the
Rust crate rivulet-bench: real ICE, DTLS and SRTP), and the bare loop, which seals and sends the same packets to the
same viewers' sockets. Engine and bare loop take turns within one run. The last line is JSON (docs/benchmarks/).
"""

import argparse
import contextlib
import itertools
import json
import os
import platform
import resource
import select
import signal
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Self

REPOSITORY = Path(__file__).resolve().parents[2]
PATTERNS = {"paced": "paced as libwebrtc does", "rich": "the same, 3 Mbit/s", "burst": "synthetic burst"}
STREAM = "bench"
VERIFYING = 3  # viewers that decrypt and check every byte
ROUNDS = 3
SETTLE_SECONDS = 1.5
ANSWER_SECONDS = 60.0
STOP_SECONDS = 5.0


class Part:
    """One process of the benchmark, led by messages behind a 32-bit length on stdin and stdout. Stopped at the end."""

    def __init__(self, *command: str) -> None:
        argv = ["setpriv", "--pdeathsig", "KILL", *command]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        self.name = " ".join(Path(word).name for word in command)[:40]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Closing stdin asks every part to end; who does not is killed."""
        with contextlib.suppress(BrokenPipeError):
            self._pipe(self._process.stdin).close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_SECONDS)

    def say(self, text: str) -> None:
        write_message(self._pipe(self._process.stdin), text)

    def hear(self) -> str:
        stdout = self._pipe(self._process.stdout)
        if not select.select([stdout], [], [], ANSWER_SECONDS)[0]:
            raise SystemExit(f"{self.name}: no answer within {ANSWER_SECONDS:.0f} s")
        message = read_message(stdout)
        if message is None:
            raise SystemExit(f"{self.name}: ended with status {self._process.wait(STOP_SECONDS)}")
        return message

    def ask(self, text: str) -> str:
        self.say(text)
        return self.hear()

    def figures(self, question: str) -> dict[str, int]:
        """The answer's `name=value` words."""
        return {name: int(value) for name, _, value in (word.partition("=") for word in self.ask(question).split())}

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None
        return pipe


def write_message(pipe: IO[bytes], text: str) -> None:
    data = text.encode()
    pipe.write(struct.pack(">I", len(data)) + data)
    pipe.flush()


def read_message(pipe: IO[bytes]) -> str | None:
    head = pipe.read(4)
    return pipe.read(struct.unpack(">I", head)[0]).decode() if len(head) == 4 else None


def serve(gather_ms: float, threads: int) -> None:
    """The server: `publish SDP` and `play SDP` get answers; `tracks`, `cpu` and `stats` say how it is."""
    from rivulet_media._engine import Engine  # noqa: PLC0415 - only this process needs it

    engine = Engine("127.0.0.1", 0, gather_ms=gather_ms, threads=threads)
    engine.set_candidates([("127.0.0.1", engine.port)])
    tracks: list[Any] = []
    while (message := read_message(sys.stdin.buffer)) is not None:
        verb, _, sdp = message.partition(" ")
        for event in engine.drain_events():
            tracks = event.get("tracks", tracks)
        match verb:
            case "publish":
                answer = engine.publish(STREAM, "incarnation-1", sdp, ["h264", "opus"])[1]
            case "tracks":
                answer = str(len(tracks))
            case "play":
                answer = engine.play(STREAM, tracks, sdp)[1]
            case "stats":
                stats = {name: value for name, value in engine.stats().items() if isinstance(value, int)}
                answer = " ".join(f"{name}={value}" for name, value in stats.items())
            case _:
                answer = f"cpu={cpu_micros()} memory={memory_bytes()}"
        write_message(sys.stdout.buffer, answer)
    engine.shutdown()


def cpu_micros() -> int:
    """User and system time of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return round((usage.ru_utime + usage.ru_stime) * 1e6)


def memory_bytes() -> int:
    """What this process has in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


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
class Result:
    """One number of viewers and one pattern."""

    latency_us: dict[str, int]  # from the source to one viewer: a frame's first packet, and its last
    us_per_packet: float
    floor_us: float
    ratio: float
    lowest_us: float  # of the rounds
    highest_us: float
    packets_per_second: float  # to each viewer
    bytes_per_packet: float
    floor_bytes_per_packet: float
    core_percent: float

    @classmethod
    def of(cls, viewers: int, engine: list[Turn], floor: list[Turn], latency: dict[str, int]) -> Self:
        packets, floor_packets = sum(t.packets for t in engine), sum(t.packets for t in floor)
        cpu, seconds = sum(t.cpu for t in engine), sum(t.seconds for t in engine)
        each, least = cpu / packets, sum(t.cpu for t in floor) / floor_packets
        rounds = [turn.us_per_packet for turn in engine]
        figures = (each, least, each / least, min(rounds), max(rounds), packets / seconds / viewers)
        sizes = (sum(t.bytes for t in engine) / packets, sum(t.bytes for t in floor) / floor_packets)
        rounded = (round(figure, 2) for figure in (*figures, *sizes, cpu / seconds / 1e4))
        return cls(latency, *rounded)


@dataclass(frozen=True)
class Case:
    """What one line of the table is about."""

    pattern: str
    viewers: int
    gather_ms: float
    threads: int


@dataclass(frozen=True)
class Scene:
    """The parts of one run, connected."""

    server: Part
    source: Part
    viewers: Part
    floor: Part
    count: int

    def begin(self) -> None:
        """Every viewer has had its key frame: count from here."""
        self.source.ask("paced")
        time.sleep(SETTLE_SECONDS)
        self.viewers.ask("reset")

    def measure(self, pattern: str, seconds: float) -> Result:
        """Engine and bare loop by turns."""
        engine, floor, latencies = [], [], []
        for _ in range(ROUNDS):
            self.source.ask(pattern)
            time.sleep(SETTLE_SECONDS)
            self.viewers.ask("latency")
            engine.append(self._engine_turn(seconds))
            latencies.append(self.viewers.figures("latency"))
            self.source.ask("pause")
            time.sleep(0.3)
            floor.append(self._floor_turn(pattern, seconds))
        latency = {name: round(statistics.median(each[name] for each in latencies)) for name in latencies[0]}
        return Result.of(self.count, engine, floor, latency)

    def _engine_turn(self, seconds: float) -> Turn:
        began = time.monotonic()
        cpu, seen = self.server.figures("cpu")["cpu"], self.viewers.figures("count")
        time.sleep(seconds)
        cpu_after, seen_after = self.server.figures("cpu")["cpu"], self.viewers.figures("count")
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
        print(f"  engine: {json.dumps(self.server.figures('stats'))}")


@contextlib.contextmanager
def connected(binary: str, count: int, gather_ms: float, threads: int = 1) -> Iterator[Scene]:
    """Server, publisher and viewers, all connected."""
    with contextlib.ExitStack() as parts:
        settings = ("--gather-ms", str(gather_ms), "--threads", str(threads))
        server = parts.enter_context(Part(sys.executable, __file__, "--server", *settings))
        source = parts.enter_context(Part(binary, "source"))
        serve_offers(source, server, "publish")
        source.ask("paced")
        wait_for_tracks(server)
        began, before = time.monotonic(), server.figures("cpu")
        viewers = parts.enter_context(Part(binary, "viewers", str(count), str(min(VERIFYING, count))))
        addresses = serve_offers(viewers, server, "play")
        joined = {name: (value - before[name]) / count for name, value in server.figures("cpu").items()}
        cost = f"{joined['cpu']:.0f} µs of CPU and {joined['memory'] / 1024:.0f} KiB of memory each"
        print(f"{count} viewers joined in {time.monotonic() - began:.1f} s, {cost}", flush=True)
        floor = parts.enter_context(Part(binary, "floor", addresses))
        yield Scene(server, source, viewers, floor, count)


def serve_offers(client: Part, server: Part, verb: str) -> str:
    """Carry offers and answers until the client says that it is connected; the rest of that word."""
    while True:
        word, _, rest = client.hear().partition(" ")
        if word == "connected":
            return rest
        client.say(server.ask(f"{verb} {rest}"))


def wait_for_tracks(server: Part) -> None:
    deadline = time.monotonic() + 10
    while server.ask("tracks") != "2":
        if time.monotonic() > deadline:
            raise SystemExit("the engine has not said which tracks are published")
        time.sleep(0.05)


def build() -> str:
    """The load generator in release mode; its path."""
    cache = Path(os.environ.get("RIVULET_CACHE", Path.home() / ".cache" / "rivulet"))
    environment = {**os.environ, "CARGO_TARGET_DIR": str(cache / "cargo")}
    command = ["cargo", "build", "--quiet", "--release", "--locked", "-p", "rivulet-bench"]
    subprocess.run(command, cwd=REPOSITORY / "mediaserver" / "engine", env=environment, check=True, timeout=1200)
    return str(cache / "cargo" / "release" / "rivulet-bench")


def table(results: dict[Case, Result]) -> str:
    head = f"{'loopback, server CPU per delivered packet':<42} {'viewers':>7} {'gather':>6} {'threads':>7} {'µs':>6}"
    head = f"{head} {'rounds':>13} {'floor':>6} {'ratio':>6} {'core':>6} {'pps':>6} {'last p50, p95 ms':>17}"
    lines = [f"{head} {'first p50':>9}"]
    for case, r in results.items():
        rounds = f"{r.lowest_us:.2f}…{r.highest_us:.2f}"
        first, last, late = (r.latency_us[name] / 1000 for name in ("first_p50", "last_p50", "last_p95"))
        line = f"{PATTERNS[case.pattern]:<42} {case.viewers:>7} {case.gather_ms:>6g} {case.threads:>7}"
        line = f"{line} {r.us_per_packet:>6.2f} {rounds:>13} {r.floor_us:>6.2f} {r.ratio:>6.2f} {r.core_percent:>5.1f}%"
        lines.append(f"{line} {r.packets_per_second:>6.1f} {last:>10.1f} {late:>6.1f} {first:>9.1f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="server CPU per delivered packet")
    parser.add_argument("--server", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--viewers", default="10,100,500", help="numbers of viewers (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=4.0, help=f"of each of {ROUNDS} rounds (default: %(default)s)")
    parser.add_argument("--patterns", default=",".join(PATTERNS), help="of the source (default: %(default)s)")
    parser.add_argument("--gather-ms", default="10", help="the engine's setting, one or several (default: %(default)s)")
    parser.add_argument(
        "--threads", default="1", help="the engine's data threads, one or several (default: %(default)s)"
    )
    arguments = parser.parse_args()
    if arguments.server:
        serve(float(arguments.gather_ms), int(arguments.threads))
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    binary = build()
    results: dict[Case, Result] = {}
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    print(f"{os.cpu_count()} CPUs, Linux {platform.release()}, load before: {load}; all on loopback", flush=True)
    lists = (arguments.viewers, arguments.gather_ms, arguments.threads)
    for viewers, gather_ms, threads in itertools.product(*(each.split(",") for each in lists)):
        count, gather, crew = int(viewers), float(gather_ms), int(threads)
        with connected(binary, count, gather, crew) as scene:
            scene.begin()
            for pattern in arguments.patterns.split(","):
                results[Case(pattern, count, gather, crew)] = scene.measure(pattern, arguments.seconds)
            scene.check()
    print(table(results))
    print(json.dumps([asdict(case) | asdict(result) for case, result in results.items()]))


if __name__ == "__main__":
    main()
