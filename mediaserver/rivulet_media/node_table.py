"""What this node knows of the CDN, and its own word in it.

Invariant: what is said here of this node and of its publications is this node's own word. Whatever else is heard of
them is answered by a later version, never taken in.
"""

import asyncio
import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from rivulet_media.table import Delta, Gone, NodeEntry, Publication, StreamEntry, Table, plain

ChangeListener = Callable[[Delta], None]


class NodeTable:
    """The node's table. `clock` gives steadily growing seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.table = Table()
        self.entry: NodeEntry | None = None
        self._clock = clock
        self._own_streams: dict[Publication, StreamEntry] = {}
        self._on_change: list[ChangeListener] = []
        self._on_own_word: list[ChangeListener] = []
        self._waiters: set[asyncio.Future[None]] = set()

    @property
    def ref(self) -> str:
        """This node's `slot/incarnation`; "" before the first join."""
        return "" if self.entry is None else self.entry.ref

    @property
    def own_streams(self) -> tuple[StreamEntry, ...]:
        """This node's publications, as they were said last."""
        return tuple(self._own_streams.values())

    def listen(self, listener: ChangeListener) -> None:
        """Be called with everything that changes."""
        self._on_change.append(listener)

    def listen_to_own_word(self, listener: ChangeListener) -> None:
        """Be called with what directors have to be told."""
        self._on_own_word.append(listener)

    async def change(self, seconds: float) -> bool:
        """Wait for the next change, at most so long; False when none came."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            async with asyncio.timeout(seconds):
                await waiter
        except TimeoutError:
            return False
        finally:
            self._waiters.discard(waiter)
        return True

    # Own word

    def enter(self, entry: NodeEntry) -> None:
        """The node has joined: this is its entry."""
        self.entry = entry
        self._say(nodes=[entry])

    def restate(self, **changes: Any) -> None:
        """The node's own entry has these fields now; the same as before is not said again."""
        if self.entry is None:
            return
        changed = dataclasses.replace(self.entry, **changes)
        if changed != self.entry:
            self._say_version(changed, self.entry.version + 1)

    def come_back(self) -> None:
        """A link that was lost stands again: its director may have called us down at this version."""
        if self.entry is not None:
            self._say_version(self.entry, self.entry.version + 1)

    def publish(self, entries: Iterable[StreamEntry]) -> None:
        """This node's publications, changed."""
        told = [self._newer(entry) for entry in entries]
        self._own_streams |= {entry.publication: entry for entry in told}
        self._say(streams=told)

    # Hearing

    def hear(
        self,
        *,
        nodes: Iterable[NodeEntry] = (),
        streams: Iterable[StreamEntry] = (),
        gone: Iterable[Gone] = (),
    ) -> None:
        """A director says this."""
        nodes, streams, gone = list(nodes), list(streams), list(gone)
        others = [entry for entry in nodes if entry.ref != self.ref]
        foreign = [entry for entry in streams if entry.publication not in self._own_streams]
        left = [item for item in gone if item.ref != self.ref]
        self._changed(self.table.merge(self._clock(), nodes=others, streams=foreign, gone=left))
        self._object_to_node([entry for entry in nodes if entry.ref == self.ref])
        self._object_to_gone([item for item in gone if item.ref == self.ref])
        for entry in streams:
            self._object_to_stream(entry)

    def absent(self, region: str, refs: Iterable[str], publications: Iterable[Publication]) -> None:
        """A settled director has named all that it knows of a region."""
        named, published = {*refs, self.ref}, {*publications, *self._own_streams}
        self._changed(self.table.absent(region, named, published, self._clock()))

    def expire(self) -> None:
        """What time takes away: ended publications."""
        self._changed(self.table.expire(self._clock()))
        standing = {entry.publication for entry in self.table.streams}
        for publication in [item for item in self._own_streams if item not in standing]:
            del self._own_streams[publication]

    # Inside

    def _newer(self, entry: StreamEntry) -> StreamEntry:
        """After an objection the version is ahead of the publication's own count."""
        known = self._own_streams.get(entry.publication)
        if known is None or entry.version > known.version:
            return entry
        return dataclasses.replace(entry, version=known.version + 1)

    def _object_to_node(self, said: list[NodeEntry]) -> None:
        own = self.entry
        if own is None:
            return
        wrong = [item.version for item in said if item.version >= own.version and plain(item) != own]
        if wrong:
            self._say_version(own, max(wrong) + 1)

    def _object_to_gone(self, said: list[Gone]) -> None:
        own = self.entry
        if own is not None and said and max(item.version for item in said) >= own.version:
            self._say_version(own, max(item.version for item in said) + 1)

    def _object_to_stream(self, said: StreamEntry) -> None:
        own = self._own_streams.get(said.publication)
        if own is not None and said.version >= own.version and said != own:
            self.publish([dataclasses.replace(own, version=said.version + 1)])

    def _say_version(self, entry: NodeEntry, version: int) -> None:
        self.entry = dataclasses.replace(entry, version=version)
        self._say(nodes=[self.entry])

    def _say(self, *, nodes: Iterable[NodeEntry] = (), streams: Iterable[StreamEntry] = ()) -> None:
        delta = self.table.merge(self._clock(), nodes=nodes, streams=streams)
        if delta:
            for listener in self._on_own_word:
                listener(delta)
        self._changed(delta)

    def _changed(self, delta: Delta) -> None:
        if not delta:
            return
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        for listener in self._on_change:
            listener(delta)
