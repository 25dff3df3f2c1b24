import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from rivulet_media.director.event_streams import MOST_OF_CLIENT, MOST_OF_SESSION, MOST_STREAMS, EventStreams, Reader
from rivulet_media.director.passing import Source
from rivulet_media.errors import NotYetError

NOTHING: Any = None  # a stream that is refused needs neither request nor connection
SOURCE = Source("http://192.0.2.1/", {}, 7, "node a/1", "no-node")


async def refusal(streams: EventStreams, reader: Reader) -> tuple[str, int]:
    with pytest.raises(NotYetError) as refused:
        await streams.pass_on(NOTHING, SOURCE, reader)
    assert int(refused.value.headers["Retry-After"]) >= 1
    return refused.value.slug, refused.value.status


async def test_more_streams_than_a_director_can_bear_are_refused_for_now() -> None:
    """S5."""
    streams = EventStreams(NOTHING)
    streams.count = MOST_STREAMS
    assert await refusal(streams, Reader("a")) == ("full", 503)
    assert streams.count == MOST_STREAMS


async def test_a_session_and_a_client_have_so_many_and_others_find_room() -> None:
    """S5: a /64 of IPv6 is one client; where addresses do not count, sessions do."""
    streams = EventStreams(NOTHING)
    for number in range(MOST_OF_CLIENT):
        streams._enter(Reader(f"{number}", f"2001:db8::{number:x}"))
    assert await refusal(streams, Reader("new", "2001:db8::ffff:1")) == ("too-many-requests", 429)
    for _ in range(MOST_OF_SESSION):
        streams._enter(Reader("b", "192.0.2.1"))
    assert await refusal(streams, Reader("b", "192.0.2.2")) == ("too-many-requests", 429)
    assert await refusal(streams, Reader("b")) == ("too-many-requests", 429)
    streams._leave(Reader("0", "2001:db8::0"))
    streams._enter(Reader("new", "2001:db8::ffff:1"))
    streams._enter(Reader("c"))


async def test_a_stream_that_ends_makes_room_however_it_ends() -> None:
    """S5."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=404 if request.path == "/gone" else 200, text="data: {}\n\n")

    async with passing(answer, seconds=7) as (http, door, streams):
        for path, status in [("/live", 200), ("/gone", 404)] * (MOST_OF_SESSION + 1):
            async with http.get(door.make_url(path)) as got:
                assert got.status == status
                await got.read()
        assert (streams.count, len(streams._of)) == (0, 0)


async def test_it_has_to_begin_in_time_and_may_then_be_silent_for_longer() -> None:
    """A node, or the director of its region, that has frozen keeps nobody waiting."""
    waiting = 1.5

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/frozen":
            await asyncio.sleep(60)
        begun = web.StreamResponse()
        await begun.prepare(request)
        await asyncio.sleep(waiting + 0.5)
        await begun.write(b"data: {}\n\n")
        return begun

    async with passing(answer, seconds=waiting) as (http, door, streams):
        async with http.get(door.make_url("/frozen")) as got:
            assert (got.status, await got.text()) == (503, "node a/1 does not answer: time-out")
        async with http.get(door.make_url("/silent")) as got:
            assert (got.status, await got.read()) == (200, b"data: {}\n\n")
        assert (streams.count, len(streams._of)) == (0, 0)


@asynccontextmanager
async def passing(
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]], seconds: float
) -> AsyncIterator[tuple[ClientSession, TestServer, EventStreams]]:
    """A client, and a door that passes on what `answer` says when it begins within so many seconds."""
    node, door = web.Application(), web.Application()
    node.router.add_get("/{tail:.*}", answer)
    async with TestServer(node) as server, ClientSession() as http:
        streams = EventStreams(http)

        async def listen(request: web.Request) -> web.StreamResponse:
            source = Source(str(server.make_url(request.path)), {}, seconds, "node a/1", "no-node")
            try:
                return await streams.pass_on(request, source, Reader("a", "192.0.2.1"))
            except NotYetError as error:
                return web.Response(status=error.status, text=str(error))

        door.router.add_get("/{tail:.*}", listen)
        front = TestServer(door)
        async with front:
            yield http, front, streams
