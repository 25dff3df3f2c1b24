"""What directors order a node to pull from foreign servers, at a real node; the test plays directors and servers."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from foreign_server import Said, ScriptedServer
from node.played_director import Node, PlayedDirector, other
from rivulet_scene.ports import free_port

pytestmark = pytest.mark.timeout(120)


async def until_asked(server: ScriptedServer, path: str) -> None:
    """The server is asked once more; between two times there are 10 s at most."""
    before, deadline = len(asked(server, path)), time.monotonic() + 30
    while len(asked(server, path)) == before:
        assert time.monotonic() < deadline, "it is not asked any more"
        await asyncio.sleep(0.05)


async def until_pulled(director: PlayedDirector, streams: set[str]) -> None:
    """The node tells this director that it pulls these streams and no others."""
    async with asyncio.timeout(30):
        while (await director.hear("counts")).get("pulls", {}).keys() != streams:
            pass


def asked(server: ScriptedServer, path: str) -> list[str]:
    return [request.path for request in list(server.asked) if request.path == path]


def order(server: ScriptedServer, path: str, **more: Any) -> dict[str, Any]:
    stream = path.strip("/")
    return {stream: {"url": f"{server.url}{path}", "policy": {"stream": stream}, **more}}


def server() -> ScriptedServer:
    """It has nothing."""
    return ScriptedServer(free_port(), lambda _: Said(503))


@contextlib.asynccontextmanager
async def of_two_directors(folder: Path) -> AsyncIterator[tuple[ScriptedServer, PlayedDirector, PlayedDirector]]:
    """A node that the first of two directors has told to pull `one`."""
    with server() as source:
        async with PlayedDirector(free_port()) as first, PlayedDirector(free_port()) as second:
            first.directors = second.directors = [first.url, second.url]
            async with Node(first.url, folder / "log"):
                await first.hear("hello")
                await second.hear("hello")
                await first.say("pulls", streams=order(source, "/one"))
                await until_asked(source, "/one")
                yield source, first, second


async def test_what_any_linked_director_says_is_pulled(tmp_path: Path) -> None:
    async with of_two_directors(tmp_path) as (source, first, second):
        await second.say("pulls", streams=order(source, "/two"))
        await until_asked(source, "/two")
        await until_pulled(first, {"one", "two"})
        await first.say("pulls", streams={})
        await until_pulled(first, {"two"})


async def test_a_director_that_is_gone_orders_nothing_unless_nobody_else_has_spoken(tmp_path: Path) -> None:
    async with of_two_directors(tmp_path) as (source, first, second):
        await first.__aexit__()
        await until_asked(source, "/one")
        await until_pulled(second, {"one"})
        await second.say("pulls", streams=order(source, "/two"))
        await until_pulled(second, {"two"})
        await second.__aexit__()
        await until_asked(source, "/two")


async def test_directors_hear_what_is_wrong(tmp_path: Path) -> None:
    with server() as source:
        async with PlayedDirector(free_port()) as director, Node(director.url, tmp_path / "log"):
            await director.hear("hello")
            problem = "there is no Secret pull-x"
            orders = {**order(source, "/one"), **order(source, "/two", problem=problem)}
            await director.say("pulls", streams=orders)
            wanted = {"one": {"error": f"{source.url}/one answers 503"}, "two": {"error": problem}}
            async with asyncio.timeout(30):
                while (await director.hear("counts")).get("pulls") != wanted:
                    pass
            assert not asked(source, "/two"), "what cannot be tried is not"
            await director.say("pulls", streams={})
            await until_pulled(director, set())


async def test_what_is_live_at_another_origin_is_pulled_when_that_one_leaves(tmp_path: Path) -> None:
    """Directors that differ for a moment do not make two origins take a stream from each other for ever."""
    with server() as source:
        async with PlayedDirector(free_port()) as director, Node(director.url, tmp_path / "log"):
            await director.hear("hello")
            origin = other(role="origin", node="origin-eu-9")
            entry = {
                "stream": "one",
                "incarnation": "a" * 12,
                "version": 1,
                "origin": f"origin-eu-9/{origin['incarnation']}",
                "region": "eu",
                "state": "live",
                "since": 1.0,
            }
            await director.say("entries", nodes=[origin], streams=[entry])
            await director.say("pulls", streams=order(source, "/one"))
            wanted = {"one": {"error": "one is live at origin-eu-9"}}
            async with asyncio.timeout(30):
                while (await director.hear("counts")).get("pulls") != wanted:
                    pass
            assert not source.asked
            await director.say("entries", nodes=[{**origin, "version": 2, "state": "draining"}])
            await until_asked(source, "/one")
