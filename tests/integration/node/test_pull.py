"""An edge that pulls, at a real node with a real engine on the other side; the test plays director and parent."""

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import pytest
from aiohttp import web

from attempts import one_of_three
from node.clients import SDP, Peer, session_url, viewer
from node.played_director import TOKEN, Frame, Node, PlayedDirector, other
from rivulet_media._engine import Engine
from rivulet_scene.bare import metric
from rivulet_scene.http import Answer, request
from rivulet_scene.ports import free_port

pytestmark = pytest.mark.timeout(120)

INCARNATION = "99aa00000001"
VIDEO = {"kind": "video", "codec": "h264", "clockRate": 90000, "fmtp": "packetization-mode=1"}


class PlayedOrigin:
    """An origin's `/relay` over a real engine. `status`: what it answers; nothing is ever published on it."""

    def __init__(self) -> None:
        self.port = free_port()
        self.status = 201
        self.reason = ""
        self.asked: list[tuple[float, dict[str, str]]] = []
        self.deleted = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self._engine = Engine("127.0.0.1", 0)
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/relay/{stream}", self._relay)
        app.router.add_delete("/session/{slot}/{incarnation}/{session}", self._delete)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()
        self._engine.shutdown()

    def entry(self, **more: Any) -> Frame:
        return other(node="origin-eu-0", role="origin", http=f"127.0.0.1:{self.port}", **more)

    async def _relay(self, request: web.Request) -> web.Response:
        self.asked.append((time.monotonic(), dict(request.headers)))
        await self.may_answer.wait()
        if self.status != 201:
            return web.json_response({"reason": self.reason}, status=self.status)
        where = [("127.0.0.1", self._engine.port)]
        tracks = [{"kind": "video", "codec": "h264", "clock_rate": 90000, "fmtp": VIDEO["fmtp"]}]
        offer = await request.text()
        session, answer = self._engine.play("s", tracks, offer, relay=True, candidates=where)  # type: ignore[arg-type]
        location = f"/session/origin-eu-0/{INCARNATION}/{session}"
        return web.Response(status=201, body=answer.encode(), headers={"Location": location, **SDP})

    async def _delete(self, _: web.Request) -> web.Response:
        self.deleted.set()
        return web.Response(status=200)


def stream(**more: Any) -> Frame:
    entry = {
        "stream": "s",
        "incarnation": "a01ba01ba01b",
        "version": 1,
        "origin": f"origin-eu-0/{INCARNATION}",
        "region": "eu",
        "state": "live",
        "tracks": [VIDEO],
        "since": 2.0,
        "subject": "camera-1",
        "play": "public",
        "gopMs": 2000,
        "reason": None,
    }
    return entry | more


@pytest.fixture
async def origin() -> AsyncIterator[PlayedOrigin]:
    async with PlayedOrigin() as played:
        yield played


@pytest.fixture
async def director(origin: PlayedOrigin) -> AsyncIterator[PlayedDirector]:
    async with PlayedDirector(free_port()) as played:
        played.table = {"nodes": [origin.entry()], "streams": [stream()]}
        yield played


@pytest.fixture
async def edge(director: PlayedDirector, tmp_path: Path) -> AsyncIterator[Node]:
    """Without links: each stream is asked for by itself."""
    async with Node(director.url, tmp_path / "log", "--link-seconds", "0") as node:
        await director.hear("hello")
        yield node


async def post(node: Node, player: Peer) -> Answer:
    return await player.post(f"{node.http}/whep/s")


async def until_told(node: Node, wanted: Frame) -> None:
    """The node has what its director says of a stream."""
    async with asyncio.timeout(15):
        while (wanted["stream"], wanted["version"]) not in await node.streams():  # noqa: ASYNC110 - a test looks
            await asyncio.sleep(0.05)


async def until_asked(origin: PlayedOrigin, times: int) -> None:
    async with asyncio.timeout(30):
        while len(origin.asked) < times:  # noqa: ASYNC110 - a test looks
            await asyncio.sleep(0.05)


async def until_relays(node: Node, count: int) -> None:
    async with asyncio.timeout(15):
        while await asyncio.to_thread(relays, node) != count:  # noqa: ASYNC110 - a test looks
            await asyncio.sleep(0.05)


def relays(node: Node) -> float:
    return metric(node.http, "rivulet_relays", direction="in")


async def test_the_join_answer_is_enough_to_play(edge: Node, origin: PlayedOrigin) -> None:
    """D13 R6: the edge asks the origin, with the join token and its own name, as soon as there is a viewer."""
    assert origin.asked == []
    async with viewer() as player:
        assert (await post(edge, player)).status == 201
        await until_asked(origin, 1)
        headers = origin.asked[0][1]
        assert headers["Authorization"] == f"Bearer {TOKEN}"
        assert headers["Rivulet-Node"].startswith("edge-eu-0/")
        assert headers["Rivulet-Cluster"] == "c"


async def test_a_parent_that_refuses_is_asked_again_with_pauses_and_viewers_stay(
    edge: Node, origin: PlayedOrigin
) -> None:
    origin.status = 503
    async with viewer() as player:
        session = session_url(edge.http, await post(edge, player))
        await until_asked(origin, 4)
        times = [when for when, _ in origin.asked[:4]]
        pauses = [later - earlier for earlier, later in pairwise(times)]
        assert all(pause >= 0.95 * least for pause, least in zip(pauses, (0.5, 1, 2), strict=True)), pauses
        assert (await asyncio.to_thread(request, "GET", session)).status == 200


async def test_a_live_parent_that_sends_nothing_is_asked_again(edge: Node, origin: PlayedOrigin) -> None:
    async with viewer() as player:
        await post(edge, player)
        await until_asked(origin, 2)
        assert origin.asked[1][0] - origin.asked[0][0] > 5
        async with asyncio.timeout(15):
            await origin.deleted.wait()


async def test_a_parent_that_says_ended_ends_the_viewers(edge: Node, origin: PlayedOrigin) -> None:
    """D19, when the table has not said so yet."""
    origin.status, origin.reason = 410, "publisher-lost"
    async with viewer() as player:
        session = session_url(edge.http, await post(edge, player))
        await until_asked(origin, 1)
        async with asyncio.timeout(15):
            while (gone := await asyncio.to_thread(request, "GET", session)).status == 200:  # noqa: ASYNC110 - a test looks
                await asyncio.sleep(0.05)
        assert (gone.status, gone.json["reason"]) == (410, "publisher-lost")


async def test_an_answer_that_comes_after_the_end_is_taken_back(
    director: PlayedDirector, edge: Node, origin: PlayedOrigin
) -> None:
    origin.may_answer.clear()
    async with viewer() as player:
        await post(edge, player)
        await until_asked(origin, 1)
        await director.say("entries", streams=[stream(version=2, state="ended", reason="stream-ended")])
        await until_relays(edge, 0)
        origin.may_answer.set()
        async with asyncio.timeout(15):
            await origin.deleted.wait()


async def test_codecs_that_follow_are_waited_for_but_not_for_long(director: PlayedDirector, edge: Node) -> None:
    young = (stream(stream=f"young-{number}", tracks=[], incarnation=f"b01bb01bb01{number}") for number in range(3))

    async def played() -> bool:
        """Refused before the codecs are told of, let in while they are."""
        entry = next(young)
        url = f"{edge.http}/whep/{entry['stream']}"
        await director.say("entries", streams=[entry])
        await until_told(edge, entry)
        async with viewer() as early, viewer() as patient:
            refused = await early.post(url)
            assert (refused.status, int(refused.headers["Retry-After"])) == (409, 1)
            asked = asyncio.create_task(patient.post(url))
            await asyncio.sleep(0.5)
            await director.say("entries", streams=[entry | {"version": 2, "tracks": [VIDEO]}])
            return (await asked).status == 201

    assert await one_of_three(played)


@pytest.mark.parametrize(
    ("node", "state", "status"),
    [("up", "lost", 409), ("up", "ended", 409), ("down", "live", 409), ("draining", "live", 503)],
)
async def test_what_cannot_be_pulled_now_is_refused_at_once(
    director: PlayedDirector, edge: Node, origin: PlayedOrigin, node: str, state: str, status: int
) -> None:
    """D20: with Retry-After, and no relay is opened."""
    entry = stream(version=2, state=state)
    await director.say("entries", nodes=[origin.entry(version=2, state=node)], streams=[entry])
    await until_told(edge, entry)
    async with viewer() as player:
        refused = await post(edge, player)
    assert refused.status == status
    assert int(refused.headers["Retry-After"]) > 0
    assert origin.asked == []


async def test_a_parent_without_links_is_pulled_from_by_whep(
    director: PlayedDirector, origin: PlayedOrigin, tmp_path: Path
) -> None:
    async with Node(director.url, tmp_path / "log") as edge, viewer() as player:
        await director.hear("hello")
        assert (await post(edge, player)).status == 201
        await until_asked(origin, 1)
        await until_relays(edge, 1)
        assert metric(edge.http, "rivulet_links", direction="in") == 0
