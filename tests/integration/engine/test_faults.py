"""Bad input, peers that vanish, full sockets: the engine goes on."""

import asyncio
import hashlib
import hmac
import os
import random
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from engine.peers import AUDIO, LOOPBACK, VIDEO, MakeNode, Picture, Publisher, Tone, Viewer, closing, eventually, relay
from rivulet_media._engine import (
    EngineError,
    LimitError,
    OfferError,
    UnknownSessionError,
    UnsupportedError,
    playable,
)

pytestmark = pytest.mark.timeout(90)


@contextmanager
def udp() -> Iterator[socket.socket]:
    """A socket of ours on loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind((LOOPBACK, 0))
        made.setblocking(False)  # noqa: FBT003 - the standard library's signature
        yield made


def value(sdp: str, name: str) -> str:
    return next(line.split(":", 1)[1] for line in sdp.splitlines() if line.startswith(f"a={name}:"))


def nomination(offer: str, answer: str) -> bytes:
    """A valid binding request with USE-CANDIDATE (RFC 8445), as the client of `offer` would send it."""
    username = f"{value(answer, 'ice-ufrag')}:{value(offer, 'ice-ufrag')}".encode()
    attributes = b"".join(
        struct.pack("!HH", kind, len(body)) + body + bytes(-len(body) % 4)
        for kind, body in ((0x0006, username), (0x0024, bytes([110, 0, 0, 1])), (0x802A, bytes(8)), (0x0025, b""))
    )
    transaction = os.urandom(12)

    def head(length: int) -> bytes:
        return struct.pack("!HHI", 1, length, 0x2112A442) + transaction

    signed = head(len(attributes) + 24) + attributes
    key = value(answer, "ice-pwd").encode()
    attributes += struct.pack("!HH", 0x0008, 20) + hmac.new(key, signed, hashlib.sha1).digest()
    checked = head(len(attributes) + 8) + attributes
    return checked + struct.pack("!HHI", 0x8028, 4, zlib.crc32(checked) ^ 0x5354554E)


async def received(sock: socket.socket, seconds: float) -> list[bytes]:
    """All that arrives within `seconds`."""
    datagrams: list[bytes] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            datagrams.append(sock.recv(2048))
        except BlockingIOError:
            await asyncio.sleep(0.01)
    return datagrams


async def test_offers_that_are_none_are_refused_by_name(make_node: MakeNode) -> None:
    engine = make_node().engine
    viewer = Viewer("video", "audio")
    async with closing(viewer):
        offer = await viewer.offer()
        cases: list[tuple[str, type[EngineError]]] = [
            ("", OfferError),
            ("v=0\r\nrubbish\r\n", OfferError),
            (offer + "a=x:" + "x" * 65536, OfferError),
            (offer.replace("a=ice-pwd", "a=x"), OfferError),
            (offer.replace("VP8", "NV8"), UnsupportedError),
        ]
        for bad, error in cases:
            with pytest.raises(error):
                engine.play("s", [VIDEO, AUDIO], bad)
            with pytest.raises(error):
                playable([VIDEO, AUDIO], bad)
        with pytest.raises(UnsupportedError, match="published is vp8, offered was nv8"):
            playable([VIDEO], offer.replace("VP8", "NV8").replace("H264", "NV8"))
        playable([VIDEO, AUDIO], offer)
        with pytest.raises(OfferError, match="sendonly"):
            engine.publish("s", "i1", offer, ["vp8", "opus"])
        assert engine.stats()["sessions"] == []


async def test_a_session_that_is_none_is_unknown(make_node: MakeNode) -> None:
    engine = make_node().engine
    calls: list[Callable[[], object]] = [
        lambda: engine.close("0123456789abcdef"),
        lambda: engine.close("no name"),
        lambda: engine.pull_answer("0123456789abcdef", ""),
        lambda: engine.patch("0123456789abcdef", "a=end-of-candidates\r\n"),
    ]
    for call in calls:
        with pytest.raises(UnknownSessionError):
            call()


async def test_a_trickle_fragment_is_taken_and_a_restart_answered(make_node: MakeNode) -> None:
    engine = make_node().engine
    viewer = Viewer("video")
    async with closing(viewer):
        session = await viewer.play(engine, "s", [VIDEO])
        assert engine.patch(session, "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n") is None
        with pytest.raises(OfferError):
            engine.patch(session, '{"candidate": ""}')
        with pytest.raises(OfferError, match="ice-pwd"):
            engine.patch(session, "a=ice-ufrag:abcdefgh\r\n")
        restart = "a=ice-ufrag:abcdefgh\r\na=ice-pwd:abcdefghabcdefghabcdefgh\r\n"
        first, again = engine.patch(session, restart), engine.patch(session, restart.replace("abcd", "efgh"))
        assert first is not None
        assert again is not None
        assert value(first, "ice-ufrag") != value(again, "ice-ufrag")
        assert engine.patch(session, restart.replace("abcd", "efgh")) is None, "candidates of the newest ICE session"


@pytest.mark.parametrize("limit", ["max_sessions", "max_handshakes"])
async def test_over_a_limit_a_session_is_refused_and_fits_again_later(make_node: MakeNode, limit: str) -> None:
    engine = make_node(**{limit: 1}).engine
    viewer = Viewer("video")
    async with closing(viewer):
        offer = await viewer.offer()
        session, _ = engine.play("s", [VIDEO], offer)
        with pytest.raises(LimitError):
            engine.play("s", [VIDEO], offer)
        with pytest.raises(LimitError):
            engine.pull("s", "i1", [VIDEO])
        engine.close(session)
        engine.play("s", [VIDEO], offer)


async def test_garbage_on_the_media_port_is_counted_and_harms_nobody(make_node: MakeNode) -> None:
    node = make_node()
    publisher, viewer = Publisher(Picture(), Tone()), Viewer("video", "audio")
    dice = random.Random(1)  # noqa: S311 - a seeded test
    async with closing(publisher, viewer):
        await publisher.publish(node.engine, "s", "i1")
        await viewer.play(node.engine, "s", [VIDEO, AUDIO])
        await viewer.frames_after(video=5, audio=5)
        before = node.engine.stats()
        with udp() as stranger:
            for length in range(500):
                datagram = dice.randbytes(length)
                stranger.sendto(datagram, (LOOPBACK, node.engine.port))
                stun = bytes([0, 1]) + struct.pack("!H", length % 80) + b"\x21\x12\xa4\x42" + datagram
                stranger.sendto(stun, (LOOPBACK, node.engine.port))
        await viewer.frames_after(video=15, audio=15)
        after = node.engine.stats()
        assert after["unknown_datagrams"] - before["unknown_datagrams"] >= 990
        assert after["ticks"] > before["ticks"]


async def test_a_publisher_that_never_completes_ice_is_closed(make_node: MakeNode) -> None:
    node = make_node()
    publisher = Publisher(Picture())
    async with closing(publisher):
        offer = await publisher.offer()
        begin = time.monotonic()
        session, _ = node.engine.publish("s", "i1", offer, ["vp8"])
        assert node.engine.stats()["pending_handshakes"] == 1
        closed = await node.event(session, "closed", within=30)
        assert (closed.get("reason"), node.of(session, "connected")) == ("handshake-timeout", [])
        assert time.monotonic() - begin > 14
        assert node.engine.stats()["sessions"] == []


async def test_a_parent_that_never_answers_ends_the_pull(make_node: MakeNode) -> None:
    node = make_node()
    session, _ = node.engine.pull("s", "i1", [VIDEO])
    closed = await node.event(session, "closed", within=30)
    assert closed.get("reason") == "handshake-timeout"
    with pytest.raises(UnknownSessionError):
        node.engine.pull_answer(session, "")


async def test_a_viewer_that_vanishes_is_gone_within_35_seconds(make_node: MakeNode) -> None:
    node = make_node()
    publisher, viewer = Publisher(Picture()), Viewer("video")
    async with closing(publisher, viewer):
        await publisher.publish(node.engine, "s", "i1")
        session = await viewer.play(node.engine, "s", [VIDEO])
        await viewer.frames_after(video=5, audio=0)
        for transport in list(vars(viewer.connection)["_RTCPeerConnection__iceTransports"]):
            for protocol in transport._connection._protocols:
                protocol.transport.abort()
        closed = await node.event(session, "closed", within=35)
        assert closed.get("reason") == "consent-expired"
        assert [s["kind"] for s in node.engine.stats()["sessions"]] == ["publisher"]


async def test_a_nomination_from_a_spoofed_address_gets_no_media(make_node: MakeNode) -> None:
    """S6: not a cannon."""
    node = make_node()
    publisher, viewer = Publisher(Picture(), Tone()), Viewer("video", "audio")
    async with closing(publisher, viewer):
        await publisher.publish(node.engine, "s", "i1")
        offer = await viewer.offer()
        session, answer = node.engine.play("s", [VIDEO, AUDIO], offer)
        with udp() as victim:
            here = (LOOPBACK, node.engine.port)
            victim.sendto(nomination(offer, answer), here)
            early = await received(victim, 1.0)
            await viewer.take(answer)
            await node.event(session, "connected")
            for _ in range(5):
                victim.sendto(nomination(offer, answer), here)
                early += await received(victim, 0.2)
            late = await received(victim, 2.0)
            await viewer.frames_after(video=1, audio=0)
            assert early, "the checks were valid: they are answered"
            assert [datagram for datagram in early + late if datagram[0] >= 2] == []


async def test_addresses_in_an_sdp_are_not_probed(make_node: MakeNode) -> None:
    """S6: not a scanner."""
    node = make_node()
    viewer = Viewer("video")
    async with closing(viewer):
        offer = await viewer.offer()
        with udp() as victim:
            port = victim.getsockname()[1]
            candidate = f"a=candidate:9 1 udp 2130706431 {LOOPBACK} {port} typ host\r\n"
            session, _ = node.engine.play("s", [VIDEO], offer + candidate)
            assert node.engine.patch(session, candidate) is None
            assert await received(victim, 2.0) == []


async def test_close_tells_the_viewer_and_the_relay(make_node: MakeNode) -> None:
    origin, edge = make_node(), make_node()
    publisher, viewer = Publisher(Picture()), Viewer("video")
    async with closing(publisher, viewer):
        source = await publisher.publish(origin.engine, "s", "i1")
        pulled, served = await relay(origin.engine, edge.engine, "s", "i1", [VIDEO])
        session = await viewer.play(edge.engine, "s", [VIDEO])
        await viewer.frames_after(video=5, audio=0)
        origin.engine.close(served)
        assert (await edge.event(pulled, "closed")).get("reason") == "peer-closed"
        edge.engine.close(session)
        await eventually(lambda: viewer.connection.connectionState == "closed", "the viewer is told")
        origin.engine.drop_stream("s")
        await eventually(lambda: publisher.connection.connectionState == "closed", "the publisher is told")
        assert (origin.of(source, "closed"), edge.of(session, "closed")) == ([], [])


async def test_a_source_that_pauses_is_silent_then_active_again(make_node: MakeNode) -> None:
    node = make_node()
    picture = Picture()
    publisher = Publisher(picture)
    async with closing(publisher):
        session = await publisher.publish(node.engine, "s", "i1")
        await node.event(session, "active")

        def latest() -> str:
            told = [event["type"] for event in node.events if event["session"] == session]
            return [kind for kind in told if kind in ("active", "silent")][-1]

        picture.going.clear()
        await eventually(lambda: latest() == "silent", "silent")
        picture.going.set()
        await eventually(lambda: latest() == "active", "active again")


async def test_shutdown_tells_all_and_can_be_repeated(make_node: MakeNode) -> None:
    node = make_node()
    publisher = Publisher(Picture())
    async with closing(publisher):
        session = await publisher.publish(node.engine, "s", "i1")
        await node.event(session, "active")
        node.engine.shutdown()
        node.engine.shutdown()
        assert (await node.event(session, "closed")).get("reason") == "shutdown"
        await eventually(lambda: publisher.connection.connectionState == "closed", "the publisher is told")
        with pytest.raises(EngineError):
            node.engine.stats()
