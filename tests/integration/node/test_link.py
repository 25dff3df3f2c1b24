"""A node's links, at a real node; the test plays its directors."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.played_director import Node, PlayedDirector, other
from rivulet_scene.ports import free_port

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def first() -> AsyncIterator[PlayedDirector]:
    async with PlayedDirector(free_port()) as director:
        yield director


async def until_nodes(node: Node, wanted: set[tuple[str, str]]) -> None:
    deadline = time.monotonic() + 15
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
        assert first.joins
        assert not second.joins


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
            assert hello["node"]["version"] > 1
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


async def test_whoever_reads_draining_has_counts_from_after_the_node_closed(
    first: PlayedDirector, tmp_path: Path
) -> None:
    """O2 O3: between the order and the entry stand counts."""
    async with Node(first.url, tmp_path / "log"):
        await first.hear("hello")
        await first.hear("counts")
        while not first.heard.empty():
            first.heard.get_nowait()
        await first.say("drain", deadline=time.time() + 60)
        said = [await first.heard.get()]
        while said[-1]["type"] == "counts":
            said.append(await first.heard.get())
        assert [frame["type"] for frame in said[-2:]] == ["counts", "entries"]
        assert said[-1]["nodes"][0]["state"] == "draining"


async def test_a_new_address_is_a_change_of_the_table(first: PlayedDirector, tmp_path: Path) -> None:
    async with Node(first.url, tmp_path / "log"):
        await first.hear("hello")
        await first.say("address", address="203.0.113.77")
        assert (await first.hear("entries"))["nodes"][0]["address"] == "203.0.113.77"


async def test_further_addresses_come_and_go_and_one_that_is_not_listened_on_is_told_of(
    first: PlayedDirector, tmp_path: Path
) -> None:
    """A director that knows no further ones says `address` alone."""
    async with Node(first.url, tmp_path / "log"):
        assert "also" not in (await first.hear("hello"))["node"]
        both = {"address": "203.0.113.77", "also": ["2001:db8::77"]}
        await first.say("address", **both, podCandidate=True)
        entry = (await first.hear("entries"))["nodes"][0]
        assert {key: entry[key] for key in both} == both
        assert "clients are told 2001:db8::77, but nothing listens on IPv6" in (tmp_path / "log").read_text()
        await first.say("address", address="203.0.113.77", podCandidate=True)
        assert "also" not in (await first.hear("entries"))["nodes"][0]


async def test_a_frame_that_does_not_parse_ends_the_link_and_it_is_dialled_again(
    first: PlayedDirector, tmp_path: Path
) -> None:
    async with Node(first.url, tmp_path / "log"):
        await first.hear("hello")
        await first.say("nonsense")
        assert (await first.hear("hello"))["node"]["version"] == 2
