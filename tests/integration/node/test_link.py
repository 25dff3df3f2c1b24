"""A node's links, at a real node; the test plays its directors."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import pytest
from aiohttp import WSMsgType, web

from rivulet_scene.bare import free_port
from rivulet_scene.command import MEDIA
from rivulet_scene.http import get

Frame = dict[str, Any]
TOKEN = "join-token"


class PlayedDirector:
    """Answers hellos; the test reads and writes the frames of the latest link."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.directors = [self.url]
        self.heard: asyncio.Queue[Frame] = asyncio.Queue()
        self.joins = 0
        self._port = port
        self._runner: web.AppRunner | None = None
        self._link: web.WebSocketResponse | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/v1/join", self._join)
        app.router.add_get("/v1/link", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._link is not None:
            await self._link.close()
        assert self._runner is not None
        await self._runner.cleanup()

    def welcome(self) -> Frame:
        table: Frame = {"nodes": [], "streams": []}
        me = {"region": "eu", "slot": "edge-eu-0", "role": "edge", "address": "127.0.0.1", "cluster": "c"}
        return {**me, "podCandidate": False, "directors": self.directors, "balancerName": "", "table": table}

    async def say(self, kind: str, **frame: Any) -> None:
        assert self._link is not None
        await self._link.send_json({"type": kind, **frame})

    async def hear(self, kind: str) -> Frame:
        """The next frame of this kind; others are skipped."""
        async with asyncio.timeout(5):
            while (frame := await self.heard.get())["type"] != kind:
                pass
        return frame

    async def _join(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        self.joins += 1
        return web.json_response(self.welcome())

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        link = web.WebSocketResponse()
        await link.prepare(request)
        self._link = link
        async for message in link:
            if message.type is WSMsgType.TEXT:
                frame = json.loads(message.data)
                await self.heard.put(frame)
                if frame["type"] == "hello":
                    await link.send_json({"type": "welcome", **self.welcome()})
                if frame["type"] == "goodbye":
                    break
        return link


class Node:
    """One real node process."""

    def __init__(self, entry: str, log: Path) -> None:
        self.entry = entry
        self.http = f"http://127.0.0.1:{free_port()}"
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        port = self.http.rpartition(":")[2]
        flags = ["--entry", self.entry, "--join-token", TOKEN, "--bind", "127.0.0.1", "--http-port", port]
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                MEDIA, "node", *flags, "--media-port", "0", stderr=log, stdout=log
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def end(self) -> int:
        assert self._process is not None
        self._process.terminate()
        async with asyncio.timeout(5):
            return await self._process.wait()

    async def table(self) -> dict[str, Any]:
        return dict((await asyncio.to_thread(get, f"{self.http}/v1/table")).json)

    async def nodes(self) -> set[tuple[str, str]]:
        return {(entry["node"], entry["state"]) for entry in (await self.table())["nodes"]}


@pytest.fixture
async def first() -> AsyncIterator[PlayedDirector]:
    async with PlayedDirector(free_port()) as director:
        yield director


def other(version: int = 1, state: str = "up", **more: Any) -> Frame:
    entry = {
        "node": "edge-eu-9",
        "incarnation": "99aa00000001",
        "version": version,
        "role": "edge",
        "region": "eu",
        "state": state,
        "address": "192.0.2.9",
        "mediaPort": 7009,
        "http": "192.0.2.9:8080",
        "pod": {"ip": "192.0.2.9", "uid": "", "cluster": "c"},
        "kubeNode": "",
        "capacity": {"viewers": 1},
        "since": 1.0,
    }
    return entry | more


async def until_nodes(node: Node, wanted: set[tuple[str, str]]) -> None:
    deadline = time.monotonic() + 5
    while (seen := await node.nodes()) != wanted:
        assert time.monotonic() < deadline, seen
        await asyncio.sleep(0.1)


async def test_a_node_joins_says_hello_beats_and_says_goodbye(first: PlayedDirector, tmp_path: Path) -> None:
    """D12 D17."""
    async with Node(first.url, tmp_path / "log") as node:
        hello = await first.hear("hello")
        assert (hello["version"], hello["node"]["state"], hello["streams"]) == (1, "up", [])
        assert hello["node"]["incarnation"] == hello["incarnation"]
        assert {"viewers", "relaysIn", "egressBps", "cpu"} <= (await first.hear("counts")).keys()
        assert (await node.table())["directors"] == [{"url": first.url, "state": "linked"}]
        assert await node.end() == 0
        await first.hear("goodbye")


async def test_every_director_that_is_named_is_linked(first: PlayedDirector, tmp_path: Path) -> None:
    async with PlayedDirector(free_port()) as second, Node(first.url, tmp_path / "log"):
        await first.hear("hello")
        await first.say("directors", urls=[first.url, second.url])
        assert (await second.hear("hello"))["version"] == 1
        assert (first.joins, second.joins) == (1, 0)


async def test_two_directors_may_tell_in_any_order(first: PlayedDirector, tmp_path: Path) -> None:
    async with PlayedDirector(free_port()) as second:
        first.directors = second.directors = [first.url, second.url]
        async with Node(first.url, tmp_path / "log") as node:
            await first.hear("hello")
            await second.hear("hello")
            await first.say("entries", nodes=[other(version=3, state="draining")])
            await until_nodes(node, {("edge-eu-0", "up"), ("edge-eu-9", "draining")})
            await second.say("entries", nodes=[other(version=2)])
            await second.say("entries", nodes=[other(version=3, state="down")])
            await until_nodes(node, {("edge-eu-0", "up"), ("edge-eu-9", "down")})
            await first.say("entries", nodes=[other(version=3, state="draining")])
            await second.say(
                "entries", gone=[{"node": "edge-eu-9", "incarnation": "99aa00000001", "version": 3, "region": "eu"}]
            )
            await until_nodes(node, {("edge-eu-0", "up")})


async def test_a_lost_director_shrinks_nothing_and_is_told_a_later_version(tmp_path: Path) -> None:
    """D15."""
    port = free_port()
    async with PlayedDirector(port) as before, Node(before.url, tmp_path / "log") as node:
        await before.hear("hello")
        await before.say("entries", nodes=[other()])
        await until_nodes(node, {("edge-eu-0", "up"), ("edge-eu-9", "up")})
        await before.__aexit__()
        await asyncio.sleep(1)
        assert await node.nodes() == {("edge-eu-0", "up"), ("edge-eu-9", "up")}
        async with PlayedDirector(port) as after:
            hello = await after.hear("hello")
            assert hello["node"]["version"] == 2
            await asyncio.sleep(0.5)
            assert await node.nodes() == {("edge-eu-0", "up"), ("edge-eu-9", "up")}


async def test_a_node_called_down_objects(first: PlayedDirector, tmp_path: Path) -> None:
    async with Node(first.url, tmp_path / "log"):
        hello = await first.hear("hello")
        await first.say("entries", nodes=[{**hello["node"], "state": "down"}])
        (said,) = (await first.hear("entries"))["nodes"]
        assert (said["version"], said["state"]) == (2, "up")
        gone = {"node": "edge-eu-0", "incarnation": said["incarnation"], "version": 7, "region": "eu"}
        await first.say("entries", gone=[gone])
        assert (await first.hear("entries"))["nodes"][0]["version"] == 8


async def test_a_drain_is_announced_and_taken_back(first: PlayedDirector, tmp_path: Path) -> None:
    """O2."""
    async with Node(first.url, tmp_path / "log") as node:
        await first.hear("hello")
        for deadline, state in ((time.time() + 60, "draining"), (None, "up")):
            await first.say("drain", deadline=deadline)
            assert (await first.hear("entries"))["nodes"][0]["state"] == state
            assert (await node.table())["state"] == state


async def test_a_new_address_is_a_change_of_the_table(first: PlayedDirector, tmp_path: Path) -> None:
    async with Node(first.url, tmp_path / "log"):
        await first.hear("hello")
        await first.say("address", address="203.0.113.77")
        assert (await first.hear("entries"))["nodes"][0]["address"] == "203.0.113.77"


async def test_a_frame_that_does_not_parse_ends_the_link_and_it_is_dialled_again(
    first: PlayedDirector, tmp_path: Path
) -> None:
    async with Node(first.url, tmp_path / "log"):
        await first.hear("hello")
        await first.say("nonsense")
        assert (await first.hear("hello"))["node"]["version"] == 2
