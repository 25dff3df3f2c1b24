"""What can be measured: our engine without HTTP, or any WHIP and WHEP server by its URLs and process ids."""

import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self
from urllib.parse import urljoin

from networks import Network
from rivulet_media.listening import everywhere
from rivulet_scene.http import Answer, request
from rivulet_scene.load import Part
from rivulet_scene.waiting import until

LIVE_SECONDS = 10
NOT_YET = (404, 409, 503)
CPUCLOCK_SCHED = 2


@dataclass(frozen=True)
class Spent:
    """What processes have used so far, and have in memory now."""

    cpu_us: int
    memory: int  # bytes

    @classmethod
    def of(cls, pid: int) -> Self:
        """User and system time of all threads, the ended ones too: the process's own clock (clock_getcpuclockid(3))."""
        seconds = time.clock_gettime((~pid << 3) | CPUCLOCK_SCHED)
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return cls(round(seconds * 1e6), pages * resource.getpagesize())

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.cpu_us + other.cpu_us, self.memory + other.memory)

    def __sub__(self, other: "Spent") -> "Spent":
        return Spent(self.cpu_us - other.cpu_us, self.memory - other.memory)


class Server(Protocol):
    """Takes one publisher and many viewers of what it publishes."""

    @property
    def pids(self) -> Mapping[str, int]:
        """The processes that are measured, by name."""

    def publish(self, offer: str) -> str:
        """The answer to a publisher."""

    def play(self, offer: str) -> str:
        """The answer to a viewer."""

    def leave(self, viewer: int) -> None:
        """The viewer who came as number `viewer`, from 0, goes."""

    def wait_until_live(self) -> None:
        """Return when viewers can come."""

    def counters(self) -> Mapping[str, int]:
        """What it says of itself."""


def spent(server: Server) -> Spent:
    """All its processes together."""
    return sum((Spent.of(pid) for pid in server.pids.values()), Spent(0, 0))


class BareEngine:
    """Our engine, in a process of its own, bound to `bind`: where nodes are, if it is not said."""

    def __init__(self, network: Network, gather_ms: float, threads: int, bind: str | None = None) -> None:
        where = (bind or everywhere(), str(network.port), network.advertised)
        settings = ("--gather-ms", str(gather_ms), "--threads", str(threads))
        program = str(Path(__file__).with_name("engine_process.py"))
        self._part = Part(*network.server_side, sys.executable, program, *where, *settings)

    def __enter__(self) -> Self:
        self._part.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._part.__exit__(*error)

    @property
    def pids(self) -> Mapping[str, int]:
        return {"engine": self._part.pid}

    def publish(self, offer: str) -> str:
        return self._part.ask(f"publish {offer}")

    def play(self, offer: str) -> str:
        return self._part.ask(f"play {offer}")

    def leave(self, viewer: int) -> None:
        self._part.ask(f"leave {viewer}")

    def wait_until_live(self) -> None:
        until(lambda: self._part.ask("tracks") == "2", "both tracks are known", seconds=LIVE_SECONDS, pause=0.05)

    def counters(self) -> Mapping[str, int]:
        return self._part.figures("stats")


@dataclass(frozen=True)
class WebServer:
    """Any server that speaks WHIP and WHEP. Its sessions are ended with the `with` block."""

    whip: str
    whep: str
    pids: Mapping[str, int]
    token: str = ""
    _publishers: list[str] = field(default_factory=list)
    _viewers: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for session in (*self._viewers, *self._publishers):
            self._end(session)

    def publish(self, offer: str) -> str:
        session, answer = self._created(self.whip, self._post(self.whip, offer))
        self._publishers.append(session)
        return answer

    def play(self, offer: str) -> str:
        """A server that does not know the stream yet is asked again for a while."""
        answered: list[Answer] = []

        def is_ready() -> bool:
            answered.append(self._post(self.whep, offer))
            return answered[-1].status not in NOT_YET

        until(is_ready, f"{self.whep} takes a viewer", seconds=LIVE_SECONDS)
        session, answer = self._created(self.whep, answered[-1])
        self._viewers.append(session)
        return answer

    def leave(self, viewer: int) -> None:
        self._end(self._viewers[viewer])

    def wait_until_live(self) -> None:
        """The first viewer waits."""

    def counters(self) -> Mapping[str, int]:
        return {}

    def _post(self, url: str, offer: str) -> Answer:
        return request("POST", url, body=offer, headers={"Content-Type": "application/sdp", **self._headers()})

    def _created(self, url: str, answer: Answer) -> tuple[str, str]:
        """The session's URL, and the SDP."""
        location = answer.headers["Location"]
        if answer.status != 201 or not location:
            raise SystemExit(f"{url}: {answer.status}, Location {location}, {answer.body[:500]}")
        return urljoin(url, location), answer.body

    def _end(self, session: str) -> None:
        request("DELETE", session, headers=self._headers())

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}
