"""The operator's link: facts out, intent in, played by the test (docs/contract.md §7.5)."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse

from attempts import one_of_three
from director.played_node import PlayedNode
from director.scene import PlayedDirector, PlayedRegions, resource, token, until
from rivulet_media.wire import Beat, Drain, Frame, parse
from rivulet_media.wire_operator import TO_OPERATOR, Change, Snapshot, UndeclaredStream

pytestmark = pytest.mark.timeout(180)


class PlayedOperator:
    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.socket = socket
        self.frames: list[Frame] = []

    async def listen(self) -> None:
        async for message in self.socket:
            self.frames.append(parse(message.data, TO_OPERATOR))

    async def say(self, kind: str, **keys: Any) -> None:
        await self.socket.send_str(json.dumps({"type": kind, **keys}))

    def changes(self) -> list[Change]:
        return [frame for frame in self.frames if isinstance(frame, Change)]


@asynccontextmanager
async def operator_of(director: PlayedDirector) -> AsyncIterator[PlayedOperator]:
    headers = {"Authorization": "Bearer operator"}
    async with ClientSession() as http, http.ws_connect(f"{director.url}/v1/operator", headers=headers) as socket:
        operator = PlayedOperator(socket)
        listening = asyncio.create_task(operator.listen())

        async def beat() -> None:
            while True:
                await operator.say("beat")
                await asyncio.sleep(1)

        beating = asyncio.create_task(beat())
        try:
            yield operator
        finally:
            for task in (listening, beating):
                task.cancel()


async def test_the_operator_hears_facts_as_they_change(regions: PlayedRegions) -> None:
    """O6's ground: a snapshot, then changes with growing versions; a dead origin's stream is shown lost."""
    (one,) = regions.add("eu", 1)
    await regions.start().ready()
    async with PlayedNode("origin-eu-0", "origin") as origin:
        origin.viewers = 7
        await origin.link(one.url)
        async with operator_of(one) as operator:
            await until(lambda: bool(operator.frames))
            snapshot = operator.frames[0]
            assert isinstance(snapshot, Snapshot)
            assert ([node.node for node in snapshot.nodes], snapshot.settling) == (["origin-eu-0"], False)
            await origin.publish("test_eu")

            def live() -> bool:
                return any(c.streams and c.streams[0].state == "live" for c in operator.changes())

            await until(live)

            def counted() -> bool:
                facts = [node for change in operator.changes() for node in change.nodes or ()]
                return any(node.counts is not None and node.counts.viewers == 7 for node in facts)

            await until(counted)
            await origin.vanish()

            def lost() -> bool:
                return any(c.streams and c.streams[0].state == "lost" for c in operator.changes())

            await until(lost, 20)
            versions = [change.version for change in operator.changes()]
            assert versions == sorted(set(versions))
            assert any(isinstance(frame, Beat) for frame in operator.frames)


async def test_a_drain_is_handed_on_and_taken_back(regions: PlayedRegions) -> None:
    """O2's way: by the operator's whole set; an operator that is silent takes nothing back."""
    (one,) = regions.add("eu", 1)
    await regions.start().ready()
    async with PlayedNode("edge-eu-0", "edge") as edge:
        await edge.link(one.url)
        async with operator_of(one) as operator:
            await operator.say("drain", slots={"edge-eu-0": {"deadline": 2e9}})
            await until(lambda: Drain(deadline=2e9) in edge.frames)
        async with operator_of(one) as operator:
            await asyncio.sleep(1.5)
            assert Drain() not in edge.frames
            await operator.say("drain", slots={})
            await until(lambda: Drain() in edge.frames)


async def test_an_undeclared_name_waits_for_its_stream(regions: PlayedRegions) -> None:
    """openPublishing: the operator hears who asks; the Stream appears within 3 s or the answer is 404."""
    (one,) = regions.add("eu", 1)
    regions.region_fields = {"openPublishing": {}}
    await regions.start().ready()
    async with PlayedNode("origin-eu-0", "origin") as origin, operator_of(one) as operator:
        await origin.link(one.url)
        assert (await one.ask("POST", "/whip/new", data="v=0")).status == 401
        names = iter(("new", "newer", "newest"))

        async def taken() -> bool:
            name = next(names)
            right = token(name, "sub-1")
            sending = asyncio.create_task(one.ask("POST", f"/whip/{name}", data="v=0", Authorization=right))
            wanted = UndeclaredStream(stream=name, subject="sub-1")
            await until(lambda: any(wanted in (change.undeclared or ()) for change in operator.changes()))
            regions.more = [resource("Stream", f"auto-{name}", {"name": name, "region": "eu"})]
            regions.write()
            return (await sending).status == 201

        assert await one_of_three(taken)
        started = time.monotonic()
        assert (await one.ask("POST", "/whip/other", data="v=0", Authorization=token())).status == 404
        assert 2.5 < time.monotonic() - started < 8


async def test_expected_slots_end_the_settling(regions: PlayedRegions) -> None:
    """Before 3 s have passed without a hello, which end it too."""
    (one,) = regions.add("eu", 1)

    async def at_once() -> bool:
        regions.start()
        async with PlayedNode("edge-eu-0", "edge") as edge:
            await edge.link(one.url)
            linked = time.monotonic()
            async with operator_of(one) as operator:
                await operator.say("expected", slots={"edge-eu-0": {"role": "edge", "node": "edge-eu"}})
                await one.ready()
        one.kill()
        return time.monotonic() - linked < 2.5

    assert await one_of_three(at_once)
