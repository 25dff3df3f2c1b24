import asyncio
import dataclasses
from typing import Any

import pytest

from entries import ORIGIN
from rivulet_media.node_table import NodeTable
from rivulet_media.sessions import Session, Sessions
from rivulet_media.table import Layer, NodeEntry, StreamEntry, StreamState, Track
from rivulet_media.viewer_events import (
    ACTIVE,
    EVENT_NAMES,
    INACTIVE,
    MOST_STREAMS,
    MOST_UNREAD,
    RECONNECT,
    Event,
    EventStream,
    ViewerEvents,
)


class Scene:
    """A node that knows one stream and has any number of viewers."""

    def __init__(self) -> None:
        self.sessions = Sessions()
        self.table = NodeTable(lambda: 0.0)
        self.events = ViewerEvents(self.sessions, self.table)
        self._version = 0
        self.table.hear(nodes=[ORIGIN])
        self.stream_is("live")

    def stream_is(self, state: StreamState, *layers: Layer, tracks: bool = True) -> None:
        self._version += 1
        track = Track(kind="video", codec="vp8", clock_rate=90_000, layers=layers)
        entry = StreamEntry(
            stream="s",
            incarnation="aaaaaaaaaaaa",
            version=self._version,
            origin=ORIGIN.ref,
            region="eu",
            state=state,
            tracks=(track,) if tracks else (),
        )
        self.table.hear(streams=[entry])

    def viewer(self, name: str = "a", stream: str = "s") -> Session:
        session = Session(name, "viewer", stream)
        self.sessions.add(session)
        return session


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def read(stream: EventStream) -> tuple[Event, ...] | None:
    return await stream.read(0.01)


async def test_the_present_state_comes_first_then_every_change(scene: Scene) -> None:
    stream = scene.events.open(scene.viewer(), EVENT_NAMES)
    assert await read(stream) == (ACTIVE,)
    assert await read(stream) == ()
    scene.stream_is("lost")
    scene.stream_is("live")
    assert await read(stream) == (INACTIVE, ACTIVE)


async def test_a_stream_whose_origin_is_down_is_inactive(scene: Scene) -> None:
    stream = scene.events.open(scene.viewer(), EVENT_NAMES)
    await read(stream)
    down = NodeEntry(**{name: getattr(ORIGIN, name) for name in NodeEntry.__dataclass_fields__} | {"state": "down"})
    scene.table.hear(nodes=[down])
    assert await read(stream) == (INACTIVE,)


async def test_what_changes_nothing_for_the_viewer_is_not_said(scene: Scene) -> None:
    stream = scene.events.open(scene.viewer(), EVENT_NAMES)
    await read(stream)
    scene.stream_is("live")
    assert await read(stream) == ()


async def test_layers_are_said_with_what_is_known_of_them_and_when_something_changes(scene: Scene) -> None:
    viewer = scene.viewer()
    high, low = Layer(rid="h", width=1280, height=720, bitrate=900_000, live=True), Layer(rid="l")
    scene.stream_is("live", high, low)
    stream = scene.events.open(viewer, EVENT_NAMES)
    described = {"id": "h", "width": 1280, "height": 720, "bitrate": 900_000}
    layers = {"active": [described], "inactive": [{"id": "l"}], "current": None, "chosen": None}
    assert await read(stream) == (ACTIVE, Event("layers", {"video": layers}))
    scene.stream_is("live", high, low)
    assert await read(stream) == ()
    viewer.layer, viewer.chosen_layer = "h", "l"
    scene.events.layers_changed(viewer)
    assert await read(stream) == (Event("layers", {"video": {**layers, "current": "h", "chosen": "l"}}),)
    scene.stream_is("live", high, dataclasses.replace(low, live=True))
    (event,) = await read(stream) or ()
    assert (event.data["video"]["active"], event.data["video"]["inactive"]) == ([described, {"id": "l"}], [])


async def test_a_stream_that_comes_back_without_layers_has_none_once_that_is_known(scene: Scene) -> None:
    """A player would offer a choice that nobody can take."""
    scene.stream_is("live", Layer(rid="h", live=True), Layer(rid="l", live=True))
    stream = scene.events.open(scene.viewer(), EVENT_NAMES)
    await read(stream)
    scene.stream_is("lost", Layer(rid="h"), Layer(rid="l"))
    await read(stream)
    scene.stream_is("live", tracks=False)
    assert await read(stream) == (ACTIVE,), "its tracks are not known yet"
    scene.stream_is("live")
    scene.stream_is("live")
    none: dict[str, Any] = {"active": [], "inactive": [], "current": None, "chosen": None}
    assert await read(stream) == (Event("layers", {"video": none}),)


async def test_the_end_is_said_with_its_reason_and_is_the_last(scene: Scene) -> None:
    stream = scene.events.open(scene.viewer(), EVENT_NAMES)
    scene.sessions.end("a", "stream-ended", 0)
    assert await read(stream) == (ACTIVE, Event("ended", {"reason": "stream-ended"}))
    assert await read(stream) is None
    assert scene.events.count == 0


async def test_a_stream_that_ends_is_not_called_lost_first(scene: Scene) -> None:
    stream = scene.events.open(scene.viewer(), EVENT_NAMES)
    await read(stream)
    scene.stream_is("ended")
    scene.sessions.end("a", "stream-ended", 0)
    assert await read(stream) == (Event("ended", {"reason": "stream-ended"}),)


async def test_only_the_chosen_events_come(scene: Scene) -> None:
    stream = scene.events.open(scene.viewer(), ("ended",))
    scene.stream_is("lost")
    scene.sessions.end("a", "deleted", 0)
    assert await read(stream) == (Event("ended", {"reason": "deleted"}),)


async def test_a_third_stream_of_a_session_ends_its_oldest(scene: Scene) -> None:
    viewer = scene.viewer()
    streams = [scene.events.open(viewer, EVENT_NAMES) for _ in range(MOST_STREAMS + 1)]
    assert scene.events.count == MOST_STREAMS
    assert [await read(streams[0]), await read(streams[0])] == [(ACTIVE,), None]
    scene.events.close(viewer, streams[0])
    assert scene.events.count == MOST_STREAMS


async def test_a_reader_that_stalls_is_let_go(scene: Scene) -> None:
    stream = scene.events.open(scene.viewer(), EVENT_NAMES)
    states: tuple[StreamState, StreamState] = ("lost", "live")
    for number in range(MOST_UNREAD + 5):
        scene.stream_is(states[number % 2])
    assert len(await read(stream) or ()) == MOST_UNREAD + 1
    assert await read(stream) is None


async def test_viewers_are_asked_to_move_a_few_at_a_time_and_once(scene: Scene) -> None:
    streams = [scene.events.open(scene.viewer(str(number)), EVENT_NAMES) for number in range(5)]
    for stream in streams:
        await read(stream)
    scene.events.ask_to_move(2)
    assert scene.events.unasked == 3
    assert [await read(stream) for stream in streams] == [(RECONNECT,), (RECONNECT,), (), (), ()]
    scene.events.ask_to_move(9)
    assert [await read(stream) for stream in streams] == [(), (), (RECONNECT,), (RECONNECT,), (RECONNECT,)]


async def test_whoever_was_asked_hears_it_again_when_it_connects_again(scene: Scene) -> None:
    viewer = scene.viewer()
    scene.events.open(viewer, EVENT_NAMES)
    scene.events.ask_to_move(1)
    assert await read(scene.events.open(viewer, EVENT_NAMES)) == (ACTIVE, RECONNECT)
    scene.events.take_back()
    assert await read(scene.events.open(viewer, EVENT_NAMES)) == (ACTIVE,)


async def test_nothing_is_kept_of_those_who_have_gone(scene: Scene) -> None:
    viewer = scene.viewer()
    stream = scene.events.open(viewer, EVENT_NAMES)
    scene.events.ask_to_move(1)
    scene.events.close(viewer, stream)
    assert (scene.events.count, scene.events.unasked) == (0, 0)
    kept = vars(scene.events)
    assert [kept[name] for name in ("_open", "_sessions", "_asked")] == [{}, {}, set()]


async def test_reading_waits_for_news(scene: Scene) -> None:
    stream = scene.events.open(scene.viewer(), EVENT_NAMES)
    await read(stream)
    waiting = asyncio.create_task(stream.read(60))
    await asyncio.sleep(0)
    scene.stream_is("lost")
    assert await waiting == (INACTIVE,)
