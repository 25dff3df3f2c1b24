"""Media over TCP (RFC 6544, RFC 4571), on real sockets: sessions, slow and broken peers, and strangers at the port."""

import asyncio
import re
import socket
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from engine.peers import (
    AUDIO,
    LOOPBACK,
    VIDEO,
    MakeNode,
    Node,
    Picture,
    Publisher,
    Tone,
    Viewer,
    closing,
    eventually,
)
from engine.tcp_bridge import Bridge, bridge

pytestmark = pytest.mark.timeout(90)

QUEUE_SECONDS = 0.3
UNPROVED = 256
"""Connections without a valid check that the engine keeps."""
OF_IPV6 = ("2001:db8::1", 7)
"""Where nobody is, advertised: whoever comes by IPv6 comes to an address that the node goes by."""


async def publish(node: Node, by: Bridge, publisher: Publisher, *also: tuple[str, int]) -> str:
    node.engine.set_candidates([(LOOPBACK, by.inside), *also])
    return await publisher.publish(node.engine, "s", "i1")


async def play(node: Node, by: Bridge, viewer: Viewer, *also: tuple[str, int]) -> str:
    node.engine.set_candidates([(LOOPBACK, by.inside), *also])
    return await viewer.play(node.engine, "s", [VIDEO, AUDIO])


def transport(node: Node, session: str) -> str | None:
    (stats,) = (each for each in node.engine.stats()["sessions"] if each["session"] == session)
    return stats["transport"]


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("threads", [1, 2, 3])
async def test_publishing_and_playing_over_tcp_alone(make_node: MakeNode, threads: int) -> None:
    """Whoever closes, session or connection: the other ends too, and no descriptor is left, whichever thread had it."""
    node = make_node(threads=threads)
    before = descriptors()
    publisher, viewer = Publisher(Picture(), Tone()), Viewer("video", "audio")
    async with bridge(node.engine.port) as up, bridge(node.engine.port) as down, closing(publisher, viewer):
        source, played = await publish(node, up, publisher), await play(node, down, viewer)
        await viewer.frames_after(video=20, audio=50)
        assert {transport(node, source), transport(node, played)} == {"tcp"}
        assert node.engine.stats()["tcp_connections"] == 2
        node.engine.close(played)
        await eventually(lambda: node.engine.stats()["tcp_connections"] == 1, "the viewer's connection closed")
        node.engine.close(source)
        await eventually(lambda: node.engine.stats()["tcp_connections"] == 0, "both closed")
    await eventually(lambda: descriptors() <= before, f"no descriptor left of {before}")


@pytest.mark.parametrize("threads", [2, 3])
async def test_connections_of_many_sessions_are_all_served_and_closed(make_node: MakeNode, threads: int) -> None:
    """More sessions than threads: most connections come to a thread that does not have theirs."""
    node = make_node(threads=threads)
    publisher, viewers = Publisher(Tone()), [Viewer("audio") for _ in range(6)]
    before = descriptors()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(closing(publisher, *viewers))
        await publish(node, await stack.enter_async_context(bridge(node.engine.port)), publisher)
        for viewer in viewers:
            way = await stack.enter_async_context(bridge(node.engine.port))
            node.engine.set_candidates([(LOOPBACK, way.inside)])
            await viewer.play(node.engine, "s", [AUDIO])
        for viewer in viewers:
            await viewer.frames_after(video=0, audio=30)
        stats = node.engine.stats()
        assert [session["transport"] for session in stats["sessions"]] == ["tcp"] * 7
        assert (stats["tcp_accepted"], stats["tcp_connections"], stats["tcp_refused"]) == (7, 7, 0)
    await eventually(lambda: node.engine.stats()["tcp_connections"] == 0, "all closed")
    await eventually(lambda: descriptors() <= before, f"no descriptor left of {before}")


async def test_a_peer_that_stops_reading_is_cut_and_nobody_else_notices(make_node: MakeNode) -> None:
    """Its queue is cut; it is late by no more than the queue when it reads again."""
    node = make_node()
    publisher, slow, other, udp = Publisher(Picture(), Tone()), *(Viewer("video", "audio") for _ in range(3))
    async with (
        bridge(node.engine.port) as way,
        bridge(node.engine.port) as beside,
        closing(publisher, slow, other, udp),
    ):
        await publisher.publish(node.engine, "s", "i1")
        session = await play(node, way, slow)
        await play(node, beside, other)
        node.engine.set_candidates([(LOOPBACK, node.engine.port)])
        await udp.play(node.engine, "s", [VIDEO, AUDIO])
        for viewer in (slow, other, udp):
            await viewer.frames_after(video=15, audio=30)

        def cuts() -> int:
            (stats,) = (each for each in node.engine.stats()["sessions"] if each["session"] == session)
            return stats["cut"]

        way.stop_reading()
        await eventually(lambda: cuts() > 0, "the queue cut", within=30)
        for viewer in (other, udp):
            del viewer.shown[:-1]
            await viewer.frames_after(video=30, audio=80)
            assert viewer.longest_step() < 1.0
        way.read_again()
        again = time.monotonic()
        sdp = slow.connection.remoteDescription.sdp
        clocks = {int(kind): int(rate) for kind, rate in re.findall(r"(?i)a=rtpmap:(\d+) (?:VP8|opus)/(\d+)", sdp)}
        assert len(clocks) == 2

        def late() -> float:
            return max(way.lateness(kind, rate, again) for kind, rate in clocks.items())

        # What its kernel had taken comes first, and video goes on with a key frame.
        await eventually(lambda: late() < QUEUE_SECONDS, "the live edge reached")
        for _ in range(5):
            await slow.frames_after(video=3, audio=10)
            await eventually(lambda: late() < QUEUE_SECONDS, "at the live edge")
        assert not node.of(session, "closed")


async def test_a_peer_that_breaks_off_in_the_midst_of_a_frame_comes_back_by_another_connection(
    make_node: MakeNode,
) -> None:
    node = make_node()
    publisher, viewer, other = Publisher(Picture(), Tone()), Viewer("video", "audio"), Viewer("video", "audio")
    async with bridge(node.engine.port) as up, bridge(node.engine.port) as down, closing(publisher, viewer, other):
        source, played = await publish(node, up, publisher), await play(node, down, viewer)
        node.engine.set_candidates([(LOOPBACK, node.engine.port)])
        await other.play(node.engine, "s", [VIDEO, AUDIO])
        await viewer.frames_after(video=10, audio=30)
        await down.break_off()
        await eventually(lambda: node.engine.stats()["tcp_connections"] == 1, "the broken connection forgotten")
        await other.frames_after(video=15, audio=30)
        await down.connect()
        await viewer.frames_after(video=15, audio=30, within=30)
        await up.break_off()
        await up.connect()
        # aiortc knows of nothing until its next check; then it is asked for a key frame.
        await viewer.frames_after(video=15, audio=30, within=30)
        assert not node.of(source, "closed")
        assert not node.of(played, "closed")


async def ended(port: int, *sent: bytes) -> float:
    """Seconds until the engine closes a connection on which that was sent."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    began = time.monotonic()
    try:
        for piece in sent:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.05)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await asyncio.wait_for(reader.readexactly(1), 20)
    finally:
        writer.close()
    return time.monotonic() - began


FOREIGN_CHECK = bytes.fromhex("000100002112a442") + b"012345678901"


@pytest.mark.parametrize(
    ("sent", "counter"),
    [
        ((b"GET / HTTP/1.1\r\n\r\n",), "tcp_garbage"),
        ((b"\x16", b"\x03\x01\x02\x00"), "tcp_garbage"),
        ((b"\0\x05", b"hello"), "tcp_garbage"),
        ((len(FOREIGN_CHECK).to_bytes(2), FOREIGN_CHECK), "tcp_silent"),
        ((b"\0\x14", FOREIGN_CHECK[:9]), "tcp_silent"),
        ((), "tcp_silent"),
    ],
    ids=["http", "tls", "no protocol", "a check for nobody", "half a frame", "nothing"],
)
async def test_strangers_are_shown_out(make_node: MakeNode, sent: tuple[bytes, ...], counter: str) -> None:
    node = make_node()
    await ended(node.engine.port, *sent)
    stats = node.engine.stats()
    assert (stats[counter], stats["tcp_accepted"], stats["tcp_connections"]) == (1, 1, 0)  # type: ignore[literal-required]


async def test_who_opens_many_connections_keeps_nobody_out(make_node: MakeNode) -> None:
    node = make_node()
    publisher, viewer = Publisher(Tone()), Viewer("audio")
    strangers = [socket.create_connection((LOOPBACK, node.engine.port)) for _ in range(UNPROVED + 100)]
    try:
        await eventually(lambda: node.engine.stats()["tcp_displaced"] >= 100, "the oldest displaced")
        assert node.engine.stats()["tcp_connections"] <= UNPROVED
        async with bridge(node.engine.port) as up, bridge(node.engine.port) as down, closing(publisher, viewer):
            await publish(node, up, publisher)
            node.engine.set_candidates([(LOOPBACK, down.inside)])
            await viewer.play(node.engine, "s", [AUDIO])
            await viewer.frames_after(video=0, audio=30)
            await eventually(lambda: node.engine.stats()["tcp_connections"] == 2, "the strangers gone")
    finally:
        for stranger in strangers:
            stranger.close()


async def test_no_more_connections_than_twice_the_sessions(make_node: MakeNode) -> None:
    node = make_node(max_sessions=2)
    strangers = [socket.create_connection((LOOPBACK, node.engine.port)) for _ in range(10)]
    try:
        await eventually(lambda: node.engine.stats()["tcp_refused"] == 6, "six refused")
        assert node.engine.stats()["tcp_connections"] == 4
    finally:
        for stranger in strangers:
            stranger.close()


async def test_tcp_can_be_switched_off(make_node: MakeNode) -> None:
    node, viewer = make_node(tcp=False), Viewer("audio")
    async with closing(viewer):
        _, answer = node.engine.play("s", [AUDIO], await viewer.offer())
    assert " tcp " not in answer
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((LOOPBACK, node.engine.port))


async def test_answers_name_the_same_addresses_for_tcp_after_those_for_udp(make_node: MakeNode) -> None:
    node, viewer = make_node("::"), Viewer("audio")
    port = node.engine.port
    node.engine.set_candidates([("192.0.2.1", port), ("2001:db8::1", port)])
    async with closing(viewer):
        _, answer = node.engine.play("s", [AUDIO], await viewer.offer())
    lines = [line.split() for line in answer.splitlines() if line.startswith("a=candidate:")]
    assert [(line[2], line[4], line[5]) for line in lines] == [
        (protocol, ip, str(port)) for protocol in ("udp", "tcp") for ip in ("192.0.2.1", "2001:db8::1")
    ]
    assert [line[-2:] for line in lines if line[2] == "tcp"] == [["tcptype", "passive"]] * 2
    priorities = [int(line[3]) for line in lines]
    assert priorities == sorted(priorities, reverse=True)
    for address in (LOOPBACK, "::1"):
        socket.create_connection((address, port)).close()
    await eventually(lambda: node.engine.stats()["tcp_accepted"] == 2, "IPv4 and IPv6 taken")


@pytest.mark.parametrize("bind", ["::1", "::"])
async def test_whole_sessions_over_ipv6_and_beside_them_ipv4_on_one_port(make_node: MakeNode, bind: str) -> None:
    """Publishing and playing over TCP to [::1]; where the node is bound to both families, over 127.0.0.1 too."""
    node = make_node(bind)
    ways = ["::1", "::1"] if bind == "::1" else ["::1", "::1", LOOPBACK]
    publisher, viewers = Publisher(Picture(), Tone()), [Viewer("video", "audio") for _ in ways[1:]]
    async with AsyncExitStack() as stack:
        bridges = [await stack.enter_async_context(bridge(node.engine.port, way)) for way in ways]
        await stack.enter_async_context(closing(publisher, *viewers))
        source = await publish(node, bridges[0], publisher, OF_IPV6)
        played = [await play(node, by, viewer, OF_IPV6) for by, viewer in zip(bridges[1:], viewers, strict=True)]
        for viewer in viewers:
            await viewer.frames_after(video=20, audio=50)
        assert {transport(node, session) for session in (source, *played)} == {"tcp"}
        remotes = [each["remote"] or "" for each in node.engine.stats()["sessions"]]
        assert sum(remote.startswith("[::1]:") for remote in remotes) == 2
        assert sum(remote.startswith("127.0.0.1:") for remote in remotes) == len(ways) - 2, "as people write it"
        # The same session, by the next connection.
        await bridges[1].break_off()
        await bridges[1].connect()
        await viewers[0].frames_after(video=20, audio=50, within=30)
        assert not node.of(played[0], "closed")
