"""A node that pulls by links from a parent that is played, with an engine that notes what it is told."""

import asyncio
import dataclasses
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from entries import ORIGIN
from rivulet_media._engine import UnknownSessionError
from rivulet_media.link_pull import Leg, LinkPull
from rivulet_media.links_in import LinksIn
from rivulet_media.node_table import NodeTable
from rivulet_media.route import Parent
from rivulet_media.table import StreamEntry, Track
from rivulet_media.upstream import ParentLink
from rivulet_media.whep_pull import WhepPull

if TYPE_CHECKING:
    import aiohttp

    from rivulet_media._engine import Engine

BASE = "http://192.0.2.1:8080/links"
END = {"ufrag": "abcd", "password": "p", "fingerprint": "AB", "candidates": [{"ip": "192.0.2.1", "port": 7000}]}
LINK = "00000000000000aa"


def parent(stream: str = "s", way: Any = "direct") -> Parent:
    entry = StreamEntry(
        stream=stream,
        incarnation="aaaaaaaaaaaa",
        version=1,
        origin=ORIGIN.ref,
        region="eu",
        state="live",
        tracks=(Track(kind="video", codec="h264", clock_rate=90000),),
    )
    return Parent(ORIGIN, entry, way)


class StandInEngine:
    """Makes links and legs, and notes what it was told."""

    def __init__(self) -> None:
        self.numbers = itertools.count(1)
        self.links: list[str] = []
        self.legs: dict[str, str] = {}
        self.answered: list[str] = []
        self.closed: list[str] = []
        self.silence: dict[str, float] = {}

    def stats(self) -> dict[str, Any]:
        links = [link for link in self.links if link not in self.closed]
        row = {"kind": "link_in", "link": None, "bytes": 0}
        ages = [(link, round(1000 * self.silence.get(link, 0.0))) for link in links]
        return {"sessions": [{**row, "session": link, "media_age_ms": age} for link, age in ages]}

    def open_link(self) -> tuple[str, dict[str, Any]]:
        self.links.append(f"link-{len(self.links)}")
        return self.links[-1], {"ufrag": "u", "password": "p", "fingerprint": "F", "candidates": []}

    def answer_link(self, link: str, _: object) -> None:
        self.answered.append(link)

    def pull_leg(self, link: str, *_: object) -> tuple[str, dict[str, Any]]:
        if link in self.closed:
            raise UnknownSessionError
        leg = f"leg-{len(self.legs)}"
        self.legs[leg] = link
        tracks = [{"kind": "video", "rid": None, "ssrc": next(self.numbers), "rtx_ssrc": next(self.numbers)}]
        return leg, {"feedback": next(self.numbers), "tracks": tracks}

    def answer_leg(self, leg: str) -> None:
        self.answered.append(leg)

    def pull(self, *_: object, tcp: bool) -> tuple[str, str]:
        return "whep-0", f"an offer, tcp={tcp}"

    def close(self, session: str) -> None:
        if session in self.closed:
            raise UnknownSessionError
        self.closed.append(session)


class StandInAnswer:
    """An answer whose body comes in two parts."""

    def __init__(self, url: str, status: int, body: str | bytes) -> None:
        self.url = url
        self.status = status
        self.headers: dict[str, str] = {}
        self.content = self
        self._body = body.encode() if isinstance(body, str) else body

    async def iter_any(self) -> AsyncIterator[bytes]:
        for part in (self._body[:100], self._body[100:]):
            yield part


def problem(slug: str, **members: Any) -> str:
    return json.dumps({"type": f"https://rivulet.dev/problems/{slug}", **members})


class StandInParent:
    """Answers requests as the test says. `held`: answers wait for it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.bodies: list[Any] = []
        self.statuses: dict[str, tuple[int, str | bytes]] = {}
        self.refused_streams: dict[str, tuple[int, str]] = {}
        self.held: asyncio.Future[None] | None = None
        self.failing: dict[str, Exception] = {}
        self._legs = itertools.count(1)

    def delete(self, url: str, **more: Any) -> Any:
        return self.request("DELETE", url, **more)

    def post(self, url: str, **more: Any) -> Any:
        return self.request("POST", url, **{**more, "data": json.dumps(more["data"])})

    @asynccontextmanager
    async def request(
        self, method: str, url: str, *, data: str | None = None, **_: object
    ) -> AsyncIterator[StandInAnswer]:
        self.asked.append((method, url))
        self.bodies.append(None if data is None else json.loads(data))
        for each, error in self.failing.items():
            if url.startswith(each):
                raise error
        if self.held is not None:
            await self.held
        yield self._answer(method, url, data)

    def _answer(self, method: str, url: str, data: str | None) -> StandInAnswer:
        if url in self.statuses:
            return StandInAnswer(url, *self.statuses[url])
        if method != "POST" or data is None:
            return StandInAnswer(url, 200, "{}")
        asked = json.loads(data)
        wish = asked.get("leg", asked)
        if wish["stream"] in self.refused_streams:
            return StandInAnswer(url, *self.refused_streams[wish["stream"]])
        entry = {
            "stream": wish["stream"],
            "incarnation": wish["incarnation"],
            "version": 1,
            "origin": ORIGIN.ref,
            "region": "eu",
            "state": "live",
        }
        leg = {"session": f"{next(self._legs):016x}", "stream": entry}
        answer = leg if "end" not in asked else {"link": LINK, "end": END, "leg": leg}
        return StandInAnswer(url, 201, json.dumps(answer))


class StandInClock:
    """The loop's own, which does not wait: `pass_on` lets time pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Scene:
    def __init__(self, directors: tuple[str, ...] = ()) -> None:
        self.engine, self.parent, self.clock = StandInEngine(), StandInParent(), StandInClock()
        engine, http = cast("Engine", self.engine), cast("aiohttp.ClientSession", self.parent)
        table = NodeTable(self.clock)
        table.enter(dataclasses.replace(ORIGIN, node="edge-eu-0", role="edge"))
        whep = WhepPull(http, engine, table, "join", lambda: directors)
        self.pull = LinkPull(whep, LinksIn(60.0, split_bps=400e6), self.clock)

    def subscribe(self, stream: str = "s", way: Any = "direct") -> Leg:
        return cast("Leg", self.pull.open(parent(stream, way)).subscribe())

    def way(self) -> ParentLink:
        return self.pull.open(parent())

    def close(self) -> None:
        for link in self.engine.links:
            self.pull.drop(link)


async def settle(until: Callable[[], bool]) -> None:
    for _ in range(100):
        if until():
            return
        await asyncio.sleep(0)
    raise AssertionError("it has not come about")


async def passes(condition: Callable[[], bool]) -> None:
    loop = asyncio.get_running_loop()
    while not condition():
        turn = loop.create_future()
        loop.call_soon(turn.set_result, None)
        await turn
