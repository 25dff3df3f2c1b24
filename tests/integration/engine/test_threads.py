"""One port, several data threads, real sockets: the kernel decides by address to which thread a peer comes."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from engine.peers import AUDIO, LOOPBACK, VIDEO, MakeNode, Picture, Publisher, Tone, Viewer, closing, eventually, relay
from rivulet_media._engine import Engine, LimitError, UnknownSessionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rivulet_media._engine import SessionStats

pytestmark = pytest.mark.timeout(90)

# Each has a socket of its own: that all come to one thread of two happens once in 2 ** 23 times.
MANY = 24
THREADS = [2, 3]


@contextmanager
def crowd() -> Iterator[Engine]:
    """An engine whose pulled sessions are viewers of another: they do everything but decode."""
    engine = Engine(LOOPBACK, 0)
    try:
        yield engine
    finally:
        engine.shutdown()


def of_kind(engine: Engine, kind: str) -> list[SessionStats]:
    return [session for session in engine.stats()["sessions"] if session["kind"] == kind]


async def all_get_packets(viewers: Engine, count: int, more: int = 60) -> None:
    """Wait until each of `count` sessions has received `more` packets more, and nobody has lost any for good."""
    before = {session["session"]: session["packets"] for session in of_kind(viewers, "relay_in")}
    assert len(before) == count

    def arrived() -> bool:
        now = of_kind(viewers, "relay_in")
        return len(now) == count and all(each["packets"] >= before[each["session"]] + more for each in now)

    await eventually(arrived, "packets for all", within=30)
    assert [each for each in of_kind(viewers, "relay_in") if each["given_up"]] == []


@pytest.mark.parametrize("threads", THREADS)
async def test_viewers_on_all_threads_get_the_stream_and_come_and_go(make_node: MakeNode, threads: int) -> None:
    node = make_node(threads=threads)
    publisher, viewer = Publisher(Picture(), Tone()), Viewer("video", "audio")
    with crowd() as viewers:
        async with closing(publisher, viewer):
            source = await publisher.publish(node.engine, "s", "i1")
            await node.event(source, "active")
            pairs = [await relay(node.engine, viewers, "s", "i1", [VIDEO, AUDIO]) for _ in range(MANY)]
            await viewer.play(node.engine, "s", [VIDEO, AUDIO])
            await viewer.frames_after(video=15, audio=30)
            await all_get_packets(viewers, MANY)
            served = of_kind(node.engine, "relay_out")
            assert {each["state"] for each in served} == {"connected"}
            assert sum(stream["viewers"] for stream in node.engine.stats()["streams"]) == 1, "relays are none"
            for _, served_as in pairs[::2]:
                node.engine.close(served_as)
                with pytest.raises(UnknownSessionError):
                    node.engine.close(served_as)
            await eventually(lambda: len(of_kind(viewers, "relay_in")) == MANY // 2, "they have heard")
            await all_get_packets(viewers, MANY // 2)
            assert node.engine.stats()["dropped_bursts"] == 0
            node.engine.drop_stream("s")
            await eventually(lambda: node.engine.stats()["sessions"] == [], "all are closed")
            assert node.engine.stats()["streams"] == []


@pytest.mark.parametrize("threads", THREADS)
async def test_a_publisher_that_comes_back_is_seen_on_all_threads(make_node: MakeNode, threads: int) -> None:
    node = make_node(threads=threads)
    with crowd() as viewers:
        for _ in range(MANY):
            await relay(node.engine, viewers, "s", "i", [VIDEO, AUDIO])
        # Its address, and so its thread, is another each time.
        for again in range(6):
            publisher = Publisher(Picture(), Tone())
            async with closing(publisher):
                source = await publisher.publish(node.engine, "s", f"i{again}")
                await node.event(source, "active")
                await all_get_packets(viewers, MANY, more=30)
                (stream,) = node.engine.stats()["streams"]
                assert stream["incarnation"] == f"i{again}"
                node.engine.close(source)


@pytest.mark.parametrize("threads", THREADS)
async def test_sessions_are_found_wherever_they_are(make_node: MakeNode, threads: int) -> None:
    node = make_node(threads=threads)
    publisher = Publisher(Picture(), Tone())
    with crowd() as viewers:
        async with closing(publisher):
            await publisher.publish(node.engine, "s", "i")
            for at in range(MANY):
                pulled, offer = viewers.pull("s", "i", [VIDEO, AUDIO])
                served, answer = node.engine.play("s", [VIDEO, AUDIO], offer, relay=True)
                traced = at % 6 == 0
                if traced:
                    node.engine.trace(served, 30, 100_000)
                viewers.pull_answer(pulled, answer)
                await node.event(served, "connected")
                restart = f"a=ice-ufrag:abcdefg{at % 10}\r\na=ice-pwd:abcdefghabcdefghabcdefgh\r\n"
                assert "a=ice-ufrag" in (node.engine.patch(served, restart) or "")
                if traced:
                    lines, over = node.engine.read_trace(served)
                    assert "connected" in lines, "begun on one thread, it goes on where the session goes"
                    assert not over
                    node.engine.close(served)
                    lines, over = node.engine.read_trace(served)
                    assert "session-ended" in lines
                    assert over


@pytest.mark.parametrize("threads", THREADS)
async def test_a_limit_holds_for_all_threads_together(make_node: MakeNode, threads: int) -> None:
    engine = make_node(threads=threads, max_sessions=5).engine
    viewer = Viewer("video")
    async with closing(viewer):
        offer = await viewer.offer()

        def play() -> bool:
            try:
                engine.play("s", [VIDEO], offer)
            except LimitError:
                return False
            return True

        taken = await asyncio.gather(*(asyncio.to_thread(play) for _ in range(20)))
        assert sum(taken) == 5
        assert engine.stats()["pending_handshakes"] == 5


@pytest.mark.parametrize("threads", THREADS)
async def test_a_shutdown_is_told_to_peers_of_all_threads(make_node: MakeNode, threads: int) -> None:
    node = make_node(threads=threads)
    with crowd() as viewers:
        served = [(await relay(node.engine, viewers, "s", "i", [VIDEO]))[1] for _ in range(MANY)]
        for session in served:
            await node.event(session, "connected")
        node.engine.shutdown()
        closed = [await node.event(session, "closed") for session in served]
        assert {event.get("reason") for event in closed} == {"shutdown"}
        await eventually(lambda: viewers.stats()["sessions"] == [], "all peers have heard")


@pytest.mark.parametrize("others", THREADS)
def test_a_port_of_several_threads_is_taken_for_everybody_else(others: int) -> None:
    engine = Engine(LOOPBACK, 0, threads=2)
    try:
        with pytest.raises(OSError, match="in use"):
            Engine(LOOPBACK, engine.port, threads=others)
        with pytest.raises(OSError, match="in use"):
            Engine(LOOPBACK, engine.port)
    finally:
        engine.shutdown()
