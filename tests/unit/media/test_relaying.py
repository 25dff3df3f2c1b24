import asyncio
import dataclasses
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, cast

import pytest

from entries import ORIGIN
from rivulet_media.closing import Closing
from rivulet_media.node_table import NodeTable
from rivulet_media.relaying import Relaying
from rivulet_media.route import Parent
from rivulet_media.sessions import Session, Sessions
from rivulet_media.table import StreamEntry, Track
from rivulet_media.upstream import NoTcpError, StreamOverError, UpstreamError

if TYPE_CHECKING:
    from rivulet_media._engine import Engine

EDGE = dataclasses.replace(ORIGIN, node="edge-eu-0", incarnation="77aa00000002", role="edge")
STREAM = StreamEntry(
    stream="s",
    incarnation="aaaaaaaaaaaa",
    version=1,
    origin=ORIGIN.ref,
    region="eu",
    state="live",
    tracks=(Track(kind="video", codec="h264", clock_rate=90000),),
)


class StandInEngine:
    """Notes what it was told."""

    def __init__(self) -> None:
        self.closed: list[str] = []
        self.dropped: list[str] = []

    def close(self, session: str) -> None:
        self.closed.append(session)

    def drop_stream(self, stream: str) -> None:
        self.dropped.append(stream)


class StandInSubscription:
    """A parent that answers when the test says so."""

    def __init__(self, session: str, parent: Parent) -> None:
        self.session = session
        self.parent = parent
        self.transport = parent.entry.transport
        self.answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.left = False

    async def answered(self) -> None:
        await self.answer

    async def leave(self) -> None:
        self.left = True


class StandInUpstream:
    def __init__(self) -> None:
        self.made: list[StandInSubscription] = []
        self._parent: Parent | None = None

    def open(self, parent: Parent) -> "StandInUpstream":
        self._parent = parent
        return self

    def subscribe(self) -> StandInSubscription:
        assert self._parent is not None
        self.made.append(StandInSubscription(f"relay-{len(self.made)}", self._parent))
        return self.made[-1]


class Scene:
    """An edge that knows one live stream."""

    def __init__(self) -> None:
        self.engine, self.sessions, self.upstream = StandInEngine(), Sessions(), StandInUpstream()
        clock = asyncio.get_running_loop().time
        self.table = NodeTable(clock)
        self.table.enter(EDGE)
        self.table.hear(nodes=[ORIGIN], streams=[STREAM])
        engine = cast("Engine", self.engine)
        closing = Closing(engine, self.sessions, clock)
        self.relaying = Relaying(engine, self.sessions, self.table, closing, self.upstream)

    def viewer(self, number: int) -> None:
        self.sessions.add(Session(f"viewer-{number}", "viewer", "s"))
        self.relaying.watch("s")

    def reason(self, number: int) -> str | None:
        ended = self.sessions.ended(f"viewer-{number}", 0)
        return None if ended is None else ended.reason

    @property
    def state(self) -> list[tuple[str, str]]:
        return [(relay.parent, relay.state) for relay in self.relaying.relays_in]


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    made = Scene()
    yield made
    await made.relaying.leave_all()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_the_first_viewer_opens_the_one_relay(scene: Scene) -> None:
    """D6 D7 R6."""
    assert scene.state == []
    for number in range(10):
        scene.viewer(number)
    assert len(scene.upstream.made) == 1
    scene.upstream.made[0].answer.set_result(None)
    scene.relaying.connected("relay-0")
    scene.relaying.active("relay-0")
    assert scene.state == [(ORIGIN.ref, "live")]


async def test_a_refused_relay_is_waited_for_and_viewers_stay(scene: Scene) -> None:
    scene.viewer(0)
    scene.upstream.made[0].answer.set_exception(UpstreamError("503"))
    await settle()
    assert (scene.state, scene.reason(0)) == ([], None)
    assert scene.upstream.made[0].left
    assert scene.relaying.carries("s")


async def test_what_is_said_of_a_publication_that_was_replaced_meanwhile_ends_nobody(scene: Scene) -> None:
    """The parent's 410 is for the publication that was asked for; the viewers wait for the next one by then."""
    scene.viewer(0)
    again = dataclasses.replace(STREAM, incarnation="bbbbbbbbbbbb", since=STREAM.since + 1, transport="tcp")
    scene.table.hear(streams=[again])
    await settle()
    first, _ = scene.upstream.made
    first.answer.set_exception(StreamOverError("superseded"))
    await settle()
    assert (first.left, scene.state, scene.reason(0)) == (True, [(ORIGIN.ref, "connecting")], None)


async def test_another_transport_opens_the_relay_anew_and_counts_say_which(scene: Scene) -> None:
    """N8: `transport` is a live setting; viewers stay."""
    scene.viewer(1)
    await settle()
    assert [relay.transport for relay in scene.relaying.relays_in] == ["udp"]
    scene.table.hear(streams=[dataclasses.replace(STREAM, version=2, transport="tcp")])
    await settle()
    first, second = scene.upstream.made
    assert (first.left, second.left, second.parent.entry.transport) == (True, False, "tcp")
    assert [(relay.parent, relay.transport) for relay in scene.relaying.relays_in] == [(ORIGIN.ref, "tcp")]
    assert scene.reason(1) is None


async def test_a_parent_that_takes_no_tcp_is_counted_and_asked_again(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """N8: never by UDP instead."""
    scene.table.hear(streams=[dataclasses.replace(STREAM, version=2, transport="tcp")])
    scene.viewer(1)
    await settle()
    scene.upstream.made[0].answer.set_exception(NoTcpError("it takes no media over TCP"))
    await settle()
    assert (scene.relaying.without_tcp, scene.relaying.relays_in, scene.reason(1)) == (1, (), None)
    assert "it takes no media over TCP" in caplog.text
    await asyncio.sleep(0.6)
    assert [made.parent.entry.transport for made in scene.upstream.made] == ["tcp", "tcp"]


async def test_a_parent_that_knows_of_the_end_ends_the_viewers(scene: Scene) -> None:
    scene.viewer(0)
    scene.upstream.made[0].answer.set_exception(StreamOverError("publisher-lost"))
    await settle()
    assert (scene.reason(0), scene.engine.closed) == ("publisher-lost", ["viewer-0"])
    assert not scene.relaying.carries("s")


async def test_a_stream_that_ends_while_connecting_leaves_nothing(scene: Scene) -> None:
    """D19."""
    scene.viewer(0)
    scene.table.hear(streams=[dataclasses.replace(STREAM, version=2, state="ended", reason="stream-ended")])
    await settle()
    assert (scene.reason(0), scene.state, scene.engine.dropped) == ("stream-ended", [], ["s"])
    assert scene.upstream.made[0].left
    scene.upstream.made[0].answer.set_result(None)
    scene.relaying.connected("relay-0")
    assert scene.state == []


async def test_a_relay_closed_by_the_parent_before_the_table_says_why_ends_the_same(scene: Scene) -> None:
    scene.viewer(0)
    scene.relaying.connected("relay-0")
    assert scene.relaying.closed("relay-0", "peer-closed")
    assert scene.reason(0) is None
    scene.table.hear(streams=[dataclasses.replace(STREAM, version=2, state="ended", reason="stream-ended")])
    assert (scene.reason(0), len(scene.upstream.made)) == ("stream-ended", 1)


async def test_an_origin_replaced_while_connecting_is_left_for_the_new_one(scene: Scene) -> None:
    scene.viewer(0)
    successor = dataclasses.replace(ORIGIN, incarnation="77aa00000009")
    again = dataclasses.replace(STREAM, incarnation="bbbbbbbbbbbb", origin=successor.ref, since=5.0)
    scene.table.hear(nodes=[successor], streams=[again])
    await settle()
    assert [item.parent.node.ref for item in scene.upstream.made] == [ORIGIN.ref, successor.ref]
    assert [item.left for item in scene.upstream.made] == [True, False]
    scene.relaying.closed("relay-0", "failed")
    assert scene.state == [(successor.ref, "connecting")]


async def test_an_origin_that_is_down_drops_the_relay_and_keeps_the_viewers(scene: Scene) -> None:
    """D21."""
    scene.viewer(0)
    scene.relaying.connected("relay-0")
    scene.table.hear(nodes=[dataclasses.replace(ORIGIN, state="down")])
    await settle()
    assert (scene.state, scene.upstream.made[0].left, scene.reason(0)) == ([], True, None)


async def test_the_viewer_that_leaves_while_connecting_leaves_a_linger(scene: Scene) -> None:
    scene.viewer(0)
    scene.sessions.end("viewer-0", "deleted", 0)
    assert scene.state == [(ORIGIN.ref, "connecting")]
    assert not scene.upstream.made[0].left


async def test_events_of_unknown_sessions_are_nobodys(scene: Scene) -> None:
    assert not scene.relaying.connected("other")
    assert not scene.relaying.closed("other", "failed")
