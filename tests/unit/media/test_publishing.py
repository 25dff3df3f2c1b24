import asyncio
import dataclasses
from typing import TYPE_CHECKING, cast

import pytest

from entries import ORIGIN
from rivulet_media._engine import OfferError
from rivulet_media.closing import Closing
from rivulet_media.errors import NotYetError, RefusedError
from rivulet_media.node_table import NodeTable
from rivulet_media.publishing import Publishing, WhipOffer
from rivulet_media.sessions import Session, Sessions
from rivulet_media.wire import StreamPolicy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rivulet_media._engine import Engine

ME = ORIGIN
OTHER = dataclasses.replace(ME, node="origin-eu-1", incarnation="77aa00000002")


class StandInEngine:
    """Answers every offer but a broken one; notes what it was told."""

    def __init__(self) -> None:
        self.closed: list[str] = []
        self.dropped: list[str] = []
        self.codecs: tuple[str, ...] = ()
        self._sessions = 0

    def publish(self, _stream: str, _incarnation: str, offer: str, codecs: "Sequence[str]") -> tuple[str, str]:
        if offer == "broken":
            raise OfferError("no SDP")
        self._sessions += 1
        self.codecs = tuple(codecs)
        return f"session-{self._sessions}", "answer"

    def close(self, session: str) -> None:
        self.closed.append(session)

    def drop_stream(self, stream: str) -> None:
        self.dropped.append(stream)


class Scene:
    """An origin that has joined."""

    def __init__(self) -> None:
        self.engine, self.sessions = StandInEngine(), Sessions()
        clock = asyncio.get_running_loop().time
        self.table = NodeTable(clock)
        self.table.enter(ME)
        engine = cast("Engine", self.engine)
        closing = Closing(engine, self.sessions, clock)
        self.publishing = Publishing(engine, self.sessions, self.table, closing, clock)

    def publish(self, subject: str = "camera-1", sdp: str = "offer") -> Session:
        session, _ = self.publishing.publish(WhipOffer("s", subject, StreamPolicy(stream="s"), sdp))
        return session

    def live(self) -> Session:
        session = self.publish()
        self.publishing.active(session)
        return session

    @property
    def entries(self) -> list[tuple[str, str | None]]:
        return [(entry.state, entry.reason) for entry in self.table.own_streams]

    def reason(self, session: str) -> str | None:
        ended = self.sessions.ended(session, 0)
        return None if ended is None else ended.reason


async def test_opus_is_always_taken() -> None:
    scene = Scene()
    scene.publish()
    assert scene.engine.codecs == ("h264", "vp8", "vp9", "av1", "h265", "opus")


async def test_an_offer_that_fails_leaves_the_present_publisher_alone() -> None:
    scene = Scene()
    session = scene.live()
    with pytest.raises(OfferError):
        scene.publish(sdp="broken")
    assert (scene.sessions.get(session.id), scene.entries) == (session, [("live", None)])


async def test_delete_closes_publisher_viewers_and_relays_with_their_reasons() -> None:
    """D19."""
    scene = Scene()
    session = scene.live()
    scene.sessions.add(Session("viewer", "viewer", "s"))
    scene.sessions.add(Session("relay", "relay_out", "s"))
    scene.sessions.add(Session("other", "viewer", "other"))
    assert scene.publishing.deleted(session)
    assert [scene.reason(item) for item in (session.id, "viewer", "relay", "other")] == [
        "deleted",
        "stream-ended",
        "stream-ended",
        None,
    ]
    assert scene.entries == [("ended", "stream-ended")]
    assert scene.engine.dropped == ["s"]
    assert not scene.publishing.deleted(session)


async def test_a_take_over_keeps_viewers_and_tells_the_old_publisher() -> None:
    """D23."""
    scene = Scene()
    first = scene.live()
    scene.sessions.add(Session("viewer", "viewer", "s"))
    second = scene.publish()
    scene.publishing.active(second)
    assert (scene.reason(first.id), scene.reason("viewer")) == ("superseded", None)
    assert scene.entries == [("ended", "superseded"), ("live", None)]


async def test_a_session_that_breaks_is_lost_and_its_delete_still_ends_the_stream() -> None:
    scene = Scene()
    session = scene.live()
    scene.sessions.end(session.id, "peer-closed", 0)
    assert scene.entries == [("lost", None)]
    assert scene.publishing.deleted(session)
    assert scene.entries == [("ended", "stream-ended")]


async def test_a_publisher_that_was_too_fast_pauses_and_another_may_take_over() -> None:
    """S5."""
    scene = Scene()
    session = scene.live()
    scene.sessions.end(session.id, "too-fast", 0)
    assert scene.entries == [("lost", None)]
    with pytest.raises(NotYetError, match="more on s than this node takes"):
        scene.publish("camera-1")
    with pytest.raises(RefusedError, match="being published by camera-1"):
        scene.publish("camera-2")
    other = scene.publishing.publish(WhipOffer("t", "camera-1", StreamPolicy(stream="t"), "offer"))[0]
    scene.publishing.active(other)
    scene.sessions.end(other.id, "peer-closed", 0)
    scene.publishing.publish(WhipOffer("t", "camera-1", StreamPolicy(stream="t"), "offer"))


async def test_a_name_that_is_live_on_another_origin_is_refused_to_strangers() -> None:
    scene = Scene()
    scene.live()
    standing = scene.table.own_streams[0]
    elsewhere = Scene()
    elsewhere.table.hear(nodes=[OTHER], streams=[dataclasses.replace(standing, origin=OTHER.ref)])
    with pytest.raises(RefusedError, match="camera-1 on origin-eu-1"):
        elsewhere.publish("camera-2")
    elsewhere.publish("camera-1")


async def test_a_later_publication_on_another_origin_supersedes_this_one() -> None:
    scene = Scene()
    session = scene.live()
    own = scene.table.own_streams[0]
    later = dataclasses.replace(own, incarnation="bbbbbbbbbbbb", origin=OTHER.ref, since=own.since + 1)
    scene.table.hear(nodes=[OTHER], streams=[later])
    assert (scene.reason(session.id), scene.entries) == ("superseded", [("ended", "superseded")])


async def test_a_deleted_stream_ends_the_publication_that_is_meant() -> None:
    scene = Scene()
    scene.live()
    incarnation = scene.table.own_streams[0].incarnation
    scene.publishing.end("s", "000000000000", "stream-ended")
    assert scene.entries == [("live", None)]
    scene.publishing.end("s", incarnation, "stream-ended")
    assert scene.entries == [("ended", "stream-ended")]
