"""Directors and nodes of one region: settling, tables that never shrink, nodes that die, peers that misbehave."""

import asyncio
import contextlib
import json
import time
from functools import partial
from typing import Any

import pytest
from aiohttp import ClientSession, WSMsgType

from director.played_node import PlayedNode
from director.scene import PlayedDirector, PlayedRegions, until
from rivulet_media.director.deletions import UNHEARD_SECONDS
from rivulet_media.table import NodeState, StreamEntry
from rivulet_media.wire import Counts, EndStream, Policies, Settled, render

pytestmark = pytest.mark.timeout(150)
JOIN = "Bearer join"
HELLO = {"incarnation": "0123456789ab", "httpPort": 8080, "mediaPort": 7003, "version": 1, "kubeNode": "Some.Host"}


def digests(*nodes: PlayedNode) -> set[str]:
    return {node.table.digest() for node in nodes}


async def same_everywhere(directors: list[PlayedDirector], *nodes: PlayedNode) -> bool:
    tables = [await director.table() for director in directors]
    return len({table["digest"] for table in tables} | digests(*nodes)) == 1


async def test_a_fresh_director_settles_before_it_serves(regions: PlayedRegions) -> None:
    """It takes joins, but no publish and no play; then it is ready and says to nodes what is whole."""
    (one,) = regions.add("eu", 1)
    regions.start()
    async with PlayedNode("edge-eu-0", "edge") as edge:
        await edge.link(one.url)
        session = f"/session/edge-eu-9/000000000000/{1:016x}"
        requests = (("POST", "/whep/test_eu"), ("GET", session), ("GET", f"{session}/events"))
        for number, (method, path) in enumerate(requests):
            hello = json.dumps(HELLO | {"slot": f"edge-eu-{number + 1}"})  # the 3 s of quiet begin anew
            assert (await one.ask_inside("POST", "/v1/join", data=hello, Authorization=JOIN)).status == 200
            early = await one.ask(method, path, data="v=0")
            assert (path, early.status, early.problem) == (path, 503, "settling"), "what nobody knows yet may live"
            assert int(early.headers["Retry-After"]) >= 1
            assert not any(isinstance(frame, Settled) for frame in edge.frames)
        assert (await one.ask("GET", "/healthz")).status == 200
        await one.ready()
        await until(lambda: Settled(regions=("eu",)) in edge.frames)
        assert (await one.ask("GET", session)).problem == "not-found"


async def test_one_setting_joins_a_node(regions: PlayedRegions) -> None:
    """D12 D13 S2: slot, role, address and table are answered; a wrong token or field is refused with its name."""
    (one,) = regions.add("eu", 1)
    regions.start()
    await one.ready()
    async with PlayedNode("origin-eu-0", "origin") as origin:
        await origin.link(one.url)
        await origin.publish("test_eu")
        await until(lambda: origin.table.stream("test_eu") is not None)  # the director's own word
        welcome = (await one.ask_inside("POST", "/v1/join", data=json.dumps(HELLO), Authorization=JOIN)).json
        assert (welcome["slot"], welcome["role"], welcome["address"]) == ("some-host-7003", "edge", "127.0.0.1")
        assert [entry["stream"] for entry in welcome["table"]["streams"]] == ["test_eu"]
        assert welcome["directors"] == [one.url]
    for token in ("", "Bearer wrong", "join"):
        assert (await one.ask_inside("POST", "/v1/join", data="{}", Authorization=token)).status == 401
        for path in ("link", "sibling", "mesh", "operator", "table", "turn-peers"):
            assert (await one.ask_inside("GET", f"/v1/{path}", Authorization=token)).status == 401
    bad = await one.ask_inside("POST", "/v1/join", data=json.dumps(HELLO | {"mediaPort": "x"}), Authorization=JOIN)
    assert (bad.status, "mediaPort" in bad.json["detail"]) == (400, True)


async def test_a_contradiction_with_the_cdnnode_is_a_conflict(regions: PlayedRegions) -> None:
    (one,) = regions.add("eu", 1)
    regions.more = [
        {"kind": "CDNNode", "metadata": {"name": "edge-eu"}, "spec": {"role": "edge", "region": "eu"}},
    ]
    regions.start()
    await one.ready()
    hello = json.dumps(HELLO | {"slot": "edge-eu-0", "role": "origin"})
    refused = await one.ask_inside("POST", "/v1/join", data=hello, Authorization=JOIN)
    assert refused.status == 409
    assert "CDNNode edge-eu" in refused.json["detail"]


async def test_every_table_is_the_same_within_two_seconds(regions: PlayedRegions) -> None:
    """D10 D16: publish, full, a new node, an end."""
    one, two = regions.add("eu", 2)
    await regions.start().ready()
    async with PlayedNode("origin-eu-0", "origin") as origin, PlayedNode("edge-eu-0", "edge") as edge:
        await origin.link(one.url)  # each knows only one director: the siblings tell each other
        await edge.link(two.url)

        async def shown(entry: StreamEntry) -> bool:
            known = all(node.table.stream("test_eu") == entry for node in (origin, edge))
            return known and await same_everywhere([one, two], origin, edge)

        async def slowest_change(state: NodeState) -> float:
            entry = await origin.publish("test_eu")
            published = await until(partial(shown, entry))
            await edge.change(state)
            changed = await until(lambda: _state(origin, "edge-eu-0") == state)
            entry = await origin.end(entry)
            return max(published, changed, await until(partial(shown, entry)))

        assert min([await slowest_change(state) for state in ("full", "up", "full")]) <= 2


async def test_a_node_that_dies_is_down_everywhere_and_gone_after_a_goodbye(regions: PlayedRegions) -> None:
    """D11: ≤ 10 s; while one director still hears it, it is not down."""
    one, two = regions.add("eu", 2)
    await regions.start().ready()
    async with (
        PlayedNode("origin-eu-0", "origin") as origin,
        PlayedNode("edge-eu-0", "edge") as dying,
        PlayedNode("edge-eu-1", "edge") as half,
        PlayedNode("edge-eu-2", "edge") as leaving,
    ):
        await origin.link(one.url, two.url)
        await dying.link(one.url, two.url)
        await half.link(two.url)
        await leaving.link(one.url, two.url)
        died = time.monotonic()
        await dying.vanish()
        await leaving.goodbye()
        await until(lambda: _state(origin, "edge-eu-2") is None)
        await until(lambda: _state(origin, "edge-eu-0") == "down", 10)
        assert time.monotonic() - died > 4
        for director in (one, two):
            await until(partial(director.shows, "edge-eu-0", "down"))
            assert await director.shows("edge-eu-1", "up")
        again = await PlayedNode("edge-eu-0", "edge").__aenter__()
        try:
            await again.link(one.url, two.url)
            # The newer incarnation of its slot takes the dead one out of the table at once.
            await until(lambda: origin.table.node(dying.ref) is None and _state(origin, "edge-eu-0") == "up")
        finally:
            await again.__aexit__()


@pytest.mark.timeout(240)
async def test_directors_restarted_in_turn_and_at_once_shrink_no_table(regions: PlayedRegions) -> None:
    """D15 D10: the tables of nodes and of fresh directors."""
    one, two = regions.add("eu", 2)
    await regions.start().ready()
    async with PlayedNode("origin-eu-0", "origin") as origin, PlayedNode("edge-eu-0", "edge") as edge:
        for node in (origin, edge):
            await node.link(one.url, two.url)
        await origin.publish("test_eu")
        await until(lambda: edge.table.stream("test_eu") is not None)
        for victims in ([one], [two], [one, two]):
            for victim in victims:
                victim.kill()
            await _keeps(edge, 3)
            for victim in victims:
                victim.start()
            await _keeps(edge, 5)
            for victim in victims:
                await victim.ready()

            async def equal() -> bool:
                return await same_everywhere([one, two], origin, edge)

            await until(equal)
            await _keeps(edge, 1)


async def test_a_node_that_was_cut_off_for_long_comes_back(regions: PlayedRegions) -> None:
    """A stale farewell does not outlive the node's own word."""
    one, two = regions.add("eu", 2)
    await regions.start().ready()
    async with PlayedNode("edge-eu-0", "edge") as edge, PlayedNode("edge-eu-1", "edge") as other:
        await other.link(one.url, two.url)
        await edge.link(one.url, two.url)
        await edge.goodbye()
        await until(lambda: other.table.node(edge.ref) is None)
        await edge.link(one.url)

        def back() -> bool:
            return _state(other, "edge-eu-0") == "up"

        await until(back)
        await until(partial(two.shows, "edge-eu-0", "up"))


async def test_live_settings_and_deleted_streams_reach_the_nodes(regions: PlayedRegions) -> None:
    """The file is read again: a new policy is told, a deleted Stream ends its publication."""
    (one,) = regions.add("eu", 1)
    await regions.start().ready()
    async with PlayedNode("origin-eu-0", "origin") as origin:
        await origin.link(one.url)
        entry = await origin.publish("test_eu")
        await until(lambda: any(isinstance(frame, Policies) for frame in origin.frames))
        regions.streams["eu"].remove("test_eu")
        regions.write()
        ended = EndStream(stream="test_eu", incarnation=entry.incarnation, reason="stream-ended")
        await until(lambda: ended in origin.frames)


async def test_a_stream_that_a_director_has_not_heard_of_yet_goes_on_and_one_that_nobody_declares_ends(
    regions: PlayedRegions,
) -> None:
    """Another director has let its publisher in; this one's resources come later, or never say so."""
    (one,) = regions.add("eu", 1)
    await regions.start().ready()
    async with PlayedNode("origin-eu-0", "origin") as origin:
        await origin.link(one.url)
        for name in ("new", "nobodys"):
            await origin.publish(name)
        await asyncio.sleep(1)
        regions.streams["eu"].append("new")
        regions.write()

        def ended() -> list[str]:
            return [frame.stream for frame in origin.frames if isinstance(frame, EndStream)]

        assert not ended()
        await until(lambda: bool(ended()), UNHEARD_SECONDS + 15)
        await asyncio.sleep(UNHEARD_SECONDS / 2)
        assert ended() == ["nobodys"]


async def test_links_that_misbehave_are_closed(regions: PlayedRegions) -> None:
    """Garbage, oversize, another's entries, a second hello, silence: 4400 or an end, never a loss for others."""
    (one,) = regions.add("eu", 1)
    await regions.start().ready()
    async with PlayedNode("edge-eu-0", "edge") as good, PlayedNode("edge-eu-1", "edge") as bad:
        await good.link(one.url)
        hello = render(bad.hello)
        other = render(good.hello)
        foreign = json.dumps({"type": "entries", "nodes": [json.loads(other)["node"]]})
        cases = [
            ["no json"],
            ['{"type": "counts"}'],
            [hello, "{}"],
            [hello, '{"type": "entries", "nodes": [{"node": 3}]}'],
            [hello, hello],
            [hello, foreign],
            [hello, json.dumps({"type": "counts", "pad": "x" * 5_000_000})],
        ]
        for texts in cases:
            assert await _close_code(one, texts) == 4400, texts[-1][:80]
        with contextlib.suppress(ConnectionError):  # closed before all of it was sent
            assert await _close_code(one, [hello, "x" * 9_000_000]) == 1009
        started = time.monotonic()
        assert await _close_code(one, [hello]) == 4000  # silent
        assert time.monotonic() - started < 10
        assert await one.shows("edge-eu-0", "up")


async def test_a_peer_that_does_not_read_loses_its_link(regions: PlayedRegions) -> None:
    """The outbox is bounded and nobody waits for it."""
    (one,) = regions.add("eu", 1)
    await regions.start().ready()
    async with PlayedNode("origin-eu-0", "origin") as busy, PlayedNode("edge-eu-1", "edge") as slow:
        await busy.link(one.url)
        reader, writer = await _raw_link(one)
        await _raw_send(writer, render(slow.hello))
        assert reader is not None
        beats = asyncio.create_task(_raw_beats(writer))

        async def linked() -> float:
            metrics = (await one.ask_inside("GET", "/metrics")).text
            return float(metrics.split('links{peer="node"} ')[1].split()[0])

        async def two_links() -> bool:
            return await linked() == 2

        await until(two_links)
        entry = await busy.publish("test_eu")
        heavy = "x" * 400_000
        for version in range(2, 200):
            await busy.say(_heavier(entry, version, heavy))
            if version % 10 == 0:
                await asyncio.sleep(0.05)

        async def one_link() -> bool:
            return await linked() == 1

        await until(one_link, 60)
        assert await one.shows("origin-eu-0", "up")
        beats.cancel()
        writer.close()


async def test_a_director_ends_cleanly_with_links_open(regions: PlayedRegions) -> None:
    (one,) = regions.add("eu", 1)
    await regions.start().ready()
    async with PlayedNode("edge-eu-0", "edge") as edge:
        await edge.link(one.url)
        assert one.stop() == 0


def _state(node: PlayedNode, slot: str) -> str | None:
    """In this node's own table: the newest incarnation's, or `down`."""
    states = [entry.state for entry in sorted(node.table.nodes, key=lambda entry: entry.since) if entry.node == slot]
    return states[-1] if states else None


def _heavier(entry: Any, version: int, subject: str) -> Any:
    return type(entry)(**{**vars(entry), "version": version, "subject": subject})


async def _keeps(edge: PlayedNode, seconds: float) -> None:
    """For so long nothing leaves this node's table."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        live = edge.table.stream("test_eu")
        assert live is not None
        assert live.state == "live"
        assert [entry.state for entry in edge.table.nodes] == ["up", "up"]
        await asyncio.sleep(0.05)


async def _close_code(director: PlayedDirector, texts: list[str]) -> int | None:
    async with (
        ClientSession() as http,
        http.ws_connect(f"{director.url}/v1/link", headers={"Authorization": JOIN}) as socket,
    ):
        for text in texts:
            await socket.send_str(text)
        async with asyncio.timeout(30):
            while (await socket.receive()).type is WSMsgType.TEXT:
                pass
        return socket.close_code


async def _raw_link(director: PlayedDirector) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A WebSocket without a library, so that nobody reads in the background."""
    reader, writer = await asyncio.open_connection("127.0.0.1", director.internal_port, limit=1024)
    lines = [
        "GET /v1/link HTTP/1.1",
        "Host: x",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Authorization: {JOIN}",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    assert b"101" in await reader.readline()
    return reader, writer


async def _raw_send(writer: asyncio.StreamWriter, text: str) -> None:
    data = text.encode()
    writer.write(bytes([0x81, 0x80 | 126]) + len(data).to_bytes(2, "big") + bytes(4) + data)
    await writer.drain()


async def _raw_beats(writer: asyncio.StreamWriter) -> None:
    while True:
        await _raw_send(writer, render(Counts()) + " " * 200)
        await asyncio.sleep(1)
