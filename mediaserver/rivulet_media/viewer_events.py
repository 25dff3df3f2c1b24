"""What viewers are told while they watch: is the stream live, should they move, why is it over (docs/contract.md §4.1).

Invariant: an event stream ends when its session does, after `ended`; a session has `MOST_STREAMS` at most, the newest.
"""

import asyncio
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from rivulet_media.node_table import NodeTable
from rivulet_media.sessions import Session, Sessions
from rivulet_media.table import Delta, Layer, StreamEntry

EVENT_NAMES = ("active", "inactive", "layers", "reconnect", "ended")
# A player that connects again has a new one before its old one is known to be broken.
MOST_STREAMS = 2
# What a reader that has stalled may be behind; it can come again and is told how things are then.
MOST_UNREAD = 16


@dataclass(frozen=True)
class Event:
    """One event with its JSON members."""

    name: str
    data: Mapping[str, Any] = field(default_factory=dict)


ACTIVE, INACTIVE, RECONNECT = Event("active"), Event("inactive"), Event("reconnect")
_EVENT_OF = {"live": ACTIVE, "lost": INACTIVE}
# What is said of a stream that had layers and has come back without.
NO_LAYERS: Mapping[str, Any] = {"video": {"active": [], "inactive": [], "current": None, "chosen": None}}


class EventStream:
    """The events of one session on their way to one reader, who has asked for those of `names`."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names
        self._unread: deque[Event] = deque()
        self._news = asyncio.Event()
        self._over = False
        self._state: Event | None = None
        self._layers = NO_LAYERS

    def put(self, event: Event) -> None:
        """For the reader, when it is one of those it wants. Never waits."""
        if event.name in self._names and not self._over:
            self._unread.append(event)
            self._over = len(self._unread) > MOST_UNREAD
            self._news.set()

    def state_is(self, state: Event | None) -> None:
        """Active or inactive is said when it has changed; of a stream that is over the session's end tells."""
        if state is not None and state != self._state:
            self._state = state
            self.put(state)

    def layers_are(self, layers: Mapping[str, Any] | None) -> None:
        """The stream's layers and the viewer's are said when they have changed; None: they are not known now."""
        if layers is not None and layers != self._layers:
            self._layers = layers
            self.put(Event("layers", layers))

    def end(self) -> None:
        """What is unread is the last."""
        self._over = True
        self._news.set()

    async def read(self, seconds: float) -> tuple[Event, ...] | None:
        """What is unread, () when nothing came for so long, None at the end."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return ()
        read = tuple(self._unread)
        self._unread.clear()
        if self._over:
            return read or None
        self._news.clear()
        return read


class ViewerEvents:
    """The event streams of all viewers of this node."""

    def __init__(self, sessions: Sessions, table: NodeTable) -> None:
        self._table = table
        self._open: dict[str, list[EventStream]] = {}
        self._sessions: dict[str, Session] = {}
        self._asked: set[str] = set()
        sessions.listen(self._session_ended)
        table.listen(self._table_changed)

    @property
    def count(self) -> int:
        """How many are open."""
        return sum(map(len, self._open.values()))

    @property
    def unasked(self) -> int:
        """How many viewers would hear that they should move and have not been told."""
        return len(self._open.keys() - self._asked)

    def open(self, session: Session, names: Collection[str]) -> EventStream:
        """Events of a living session, from how things are now on."""
        mine = self._open.setdefault(session.id, [])
        self._sessions[session.id] = session
        if len(mine) == MOST_STREAMS:
            mine.pop(0).end()
        opened = EventStream(names)
        mine.append(opened)
        opened.state_is(self._state(session.stream))
        opened.layers_are(self._layers(session))
        if session.id in self._asked:
            opened.put(RECONNECT)
        return opened

    def close(self, session: Session, stream: EventStream) -> None:
        """Its reader has gone."""
        mine = self._open.get(session.id, [])
        if stream in mine:
            mine.remove(stream)
        if not mine:
            self._forget(session.id)

    def ask_to_move(self, count: int) -> None:
        """Tell so many more viewers to open a session elsewhere."""
        unasked = (session for session in self._open if session not in self._asked)
        for session in list(islice(unasked, count)):
            self._asked.add(session)
            for stream in self._open[session]:
                stream.put(RECONNECT)

    def take_back(self) -> None:
        """Whoever has not moved may stay."""
        self._asked.clear()

    def layers_changed(self, session: Session) -> None:
        """The stream's layers, or the one that the viewer gets, may have changed."""
        for stream in self._open.get(session.id, ()):
            stream.layers_are(self._layers(session))

    # Inside

    def _layers(self, session: Session) -> Mapping[str, Any] | None:
        entry = self._table.table.stream(session.stream)
        known = entry is not None and entry.tracks
        return layers_of(session, entry) or (NO_LAYERS if known else None)

    def _state(self, stream: str) -> Event | None:
        entry = self._table.table.stream(stream)
        return None if entry is None else _EVENT_OF.get(entry.state)

    def _table_changed(self, _: Delta) -> None:
        """Also a node that is down changes what its streams are."""
        states = {stream: self._state(stream) for stream in {session.stream for session in self._sessions.values()}}
        for session in self._sessions.values():
            for each in self._open[session.id]:
                each.state_is(states[session.stream])
            self.layers_changed(session)

    def _session_ended(self, session: Session, reason: str) -> None:
        for stream in self._open.get(session.id, ()):
            stream.put(Event("ended", {"reason": reason}))
            stream.end()
        self._forget(session.id)

    def _forget(self, session: str) -> None:
        self._open.pop(session, None)
        self._sessions.pop(session, None)
        self._asked.discard(session)


def layers_of(session: Session, entry: StreamEntry | None) -> dict[str, Any] | None:
    """What a viewer is told of its stream's layers (docs/contract.md §4.1); None: it has none."""
    layers = [layer for track in (entry.tracks if entry else ()) for layer in track.layers or ()]
    if not layers:
        return None
    video = {
        "active": [_described(layer) for layer in layers if layer.live],
        "inactive": [{"id": layer.rid} for layer in layers if not layer.live],
        "current": session.layer,
        "chosen": session.chosen_layer,
    }
    return {"video": video}


def _described(layer: Layer) -> dict[str, Any]:
    facts = {"width": layer.width, "height": layer.height, "bitrate": layer.bitrate}
    return {"id": layer.rid, **{name: fact for name, fact in facts.items() if fact is not None}}
