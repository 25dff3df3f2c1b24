"""Relays over TCP between two engines, with a way between them that breaks, refuses or goes nowhere (N8)."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from engine.peers import AUDIO, LOOPBACK, VIDEO, MakeNode, Node, Picture, Publisher, Tone, Viewer, closing, eventually
from rivulet_media._engine import NoTcpError

pytestmark = pytest.mark.timeout(60)

Address = tuple[str, int]


class Way:
    """A TCP port that leads to another one; `connections` that were taken so far."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._server: asyncio.Server | None = None
        self._open: list[asyncio.StreamWriter] = []
        self._carrying: set[asyncio.Task[None]] = set()
        self.connections = 0

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._take, LOOPBACK, 0)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        there, back = await asyncio.open_connection(LOOPBACK, self._to)
        self._open += [writer, back]
        for come, go in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._carry(come, go))
            self._carrying.add(task)
            task.add_done_callback(self._carrying.discard)

    @staticmethod
    async def _carry(come: asyncio.StreamReader, go: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await come.read(1 << 14):
                go.write(data)
                await go.drain()
        go.close()

    def reset(self) -> None:
        """Both halves, as a middlebox does that has forgotten them."""
        for writer in self._open:
            one = writer.get_extra_info("socket")
            if writer.transport.is_closing():
                continue
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            writer.transport.abort()
        self._open.clear()

    def close(self) -> None:
        self.reset()
        assert self._server is not None
        self._server.close()


@asynccontextmanager
async def way(to: int) -> AsyncIterator[Way]:
    made = Way(to)
    await made.open()
    try:
        yield made
    finally:
        made.close()


def pull(origin: Node, edge: Node, *where: Address) -> tuple[str, str]:
    """A relay over TCP that is told those addresses: the sessions at the edge and at the origin."""
    pulled, offer = edge.engine.pull("s", "i1", [VIDEO, AUDIO], tcp=True)
    served, answer = origin.engine.play("s", [VIDEO, AUDIO], offer, relay=True, candidates=where)
    edge.engine.pull_answer(pulled, answer)
    return pulled, served


async def reason(node: Node, session: str) -> str | None:
    """Why it has ended, before a handshake or consent would have run out."""
    return (await node.event(session, "closed", within=14)).get("reason")


async def test_a_relay_over_tcp_plays_by_one_connection_with_bbr_on_both_sides(make_node: MakeNode) -> None:
    """N8. Where the kernel has no bbr for us, that is counted."""
    origin, edge = make_node(), make_node()
    publisher, viewer = Publisher(Picture(), Tone()), Viewer("video", "audio")
    async with way(origin.engine.port) as path, closing(publisher, viewer):
        await publisher.publish(origin.engine, "s", "i1")
        pulled, served = pull(origin, edge, (LOOPBACK, path.port))
        await edge.event(pulled, "connected")
        await viewer.play(edge.engine, "s", [VIDEO, AUDIO])
        await viewer.frames_after(video=20, audio=50)
        assert path.connections == 1
        for node, session in ((edge, pulled), (origin, served)):
            (stats,) = (each for each in node.engine.stats()["sessions"] if each["session"] == session)
            assert stats["transport"] == "tcp"
            assert node.engine.stats()["tcp_congestion_refused"] == (0 if may_have_bbr() else 1)
        edge.engine.close(pulled)
        assert await reason(origin, served) == "peer-closed"
        await eventually(lambda: edge.engine.stats()["tcp_connections"] == 0, "hung up")
        await eventually(lambda: origin.engine.stats()["tcp_connections"] == 0, "hung up there")


def may_have_bbr() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one, suppress(OSError):
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"bbr")
        return True
    return False


async def test_without_that_congestion_control_the_relay_goes_on_and_it_is_counted(make_node: MakeNode) -> None:
    """N8: its absence is reported."""
    origin, edge = make_node(relay_congestion="nosuch"), make_node(relay_congestion="nosuch")
    publisher, viewer = Publisher(Picture(), Tone()), Viewer("video", "audio")
    async with closing(publisher, viewer):
        await publisher.publish(origin.engine, "s", "i1")
        pulled, _ = pull(origin, edge, (LOOPBACK, origin.engine.port))
        await edge.event(pulled, "connected")
        await viewer.play(edge.engine, "s", [VIDEO, AUDIO])
        await viewer.frames_after(video=10, audio=20)
        refused = [node.engine.stats()["tcp_congestion_refused"] for node in (origin, edge)]
    assert refused == [1, 1]


async def test_a_reset_in_the_middle_ends_the_relay_on_both_sides_at_once_and_the_next_one_plays_on(
    make_node: MakeNode,
) -> None:
    """N8: the viewer at the edge stays and sees the next key frame."""
    origin, edge = make_node(), make_node()
    publisher, viewer = Publisher(Picture(), Tone()), Viewer("video", "audio")
    async with way(origin.engine.port) as path, closing(publisher, viewer):
        await publisher.publish(origin.engine, "s", "i1")
        pulled, served = pull(origin, edge, (LOOPBACK, path.port))
        await edge.event(pulled, "connected")
        await viewer.play(edge.engine, "s", [VIDEO, AUDIO])
        await viewer.frames_after(video=10, audio=20)
        path.reset()
        assert (await reason(edge, pulled), await reason(origin, served)) == ("connection-lost", "connection-lost")
        pulled, _ = pull(origin, edge, (LOOPBACK, path.port))
        await edge.event(pulled, "connected")
        await viewer.frames_after(video=20, audio=30)
        assert path.connections == 2


async def test_an_address_that_does_not_answer_is_left_for_the_next_and_none_of_them_ends_it(
    make_node: MakeNode,
) -> None:
    origin, edge = make_node(), make_node()
    with socket.socket() as silent, socket.socket() as gone:
        silent.bind((LOOPBACK, 0))
        silent.listen(0)
        fill = [socket.socket() for _ in range(3)]
        for one in fill:  # a queue that is full: the next connection is not answered
            one.settimeout(0)
            one.connect_ex(silent.getsockname())
        gone.bind((LOOPBACK, 0))
        full, refusing = silent.getsockname(), gone.getsockname()
        pulled, _ = pull(origin, edge, refusing, full, (LOOPBACK, origin.engine.port))
        await edge.event(pulled, "connected")
        lost, _ = pull(origin, edge, refusing, full)
        assert await reason(edge, lost) == "unreachable"
        nowhere, _ = pull(origin, edge, refusing)
        assert await reason(edge, nowhere) == "unreachable"
        for one in fill:
            one.close()


async def test_a_parent_that_takes_no_media_over_tcp_says_so(make_node: MakeNode) -> None:
    """N8: never by UDP instead."""
    origin, edge = make_node(tcp=False), make_node()
    _, offer = edge.engine.pull("s", "i1", [VIDEO], tcp=True)
    with pytest.raises(NoTcpError, match="takes no media over TCP"):
        origin.engine.play("s", [VIDEO], offer, relay=True)


async def test_what_else_speaks_at_the_parents_address_ends_in_time(make_node: MakeNode) -> None:
    """Frames that are none, a close at once: the relay has ended long before its handshake would."""
    edge, origin = make_node(), make_node()
    for words in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b""):

        async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter, words: bytes = words) -> None:
            writer.write(words)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(speak, LOOPBACK, 0)
        pulled, _ = pull(origin, edge, server.sockets[0].getsockname())
        assert await reason(edge, pulled) == "connection-lost"
        server.close()
    await eventually(lambda: edge.engine.stats()["tcp_connections"] == 0, "nothing left")
