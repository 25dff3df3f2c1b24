"""The operator's links (docs/contract.md §7.5): facts out, intent in."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from rivulet_media.director.directory import Directory, Source, of_region
from rivulet_media.frame_link import Link, LinkClosedError, Socket
from rivulet_media.table import Delta, NodeEntry, StreamEntry
from rivulet_media.wire import Beat, Frame
from rivulet_media.wire_operator import (
    FROM_OPERATOR,
    Change,
    DrainOrder,
    DrainOrders,
    Expected,
    ExpectedSlot,
    NodeFacts,
    PeerState,
    Snapshot,
    UndeclaredStream,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Intent:
    """What to do with the operator's words."""

    drain: Callable[[dict[str, DrainOrder]], None]
    expect: Callable[[dict[str, ExpectedSlot]], None]


@dataclass(frozen=True)
class Facts:
    """What the operator is told apart from the table."""

    settling: bool
    undeclared: tuple[UndeclaredStream, ...]
    peers: tuple[PeerState, ...]


class OperatorLinks:
    """Every operator that is linked gets a snapshot, then changes with growing versions."""

    def __init__(self, directory: Directory, me: str, facts: Callable[[], Facts], intent: Intent) -> None:
        self._directory = directory
        self._me = me
        self._facts = facts
        self._intent = intent
        self._links: set[Link] = set()
        self._version = 0
        self._told = facts()
        directory.listen(self._tell)

    @property
    def linked(self) -> int:
        """How many operators are linked."""
        return len(self._links)

    async def serve(self, socket: Socket) -> None:
        """One operator's link, from its snapshot to its end."""
        async with Link(socket, FROM_OPERATOR, peer="operator") as link:
            try:
                link.send(self._snapshot())
                self._links.add(link)
                log.info("operator linked")
                async for frame in link.frames():
                    self._obey(frame)
            except LinkClosedError as closed:
                log.info("operator link ended: %s", closed)
            finally:
                self._links.discard(link)

    def beat(self) -> None:
        """Every 2 s: the counts of all own nodes."""
        self.refresh()
        nodes = self._with_counts(self._directory.own_nodes())
        if nodes:
            self._change(Change(version=self._next(), nodes=nodes))
        for link in self._links:
            link.send(Beat())

    def refresh(self) -> None:
        """Tell what has changed apart from the table."""
        facts = self._facts()
        if facts == self._told:
            return
        told, self._told = self._told, facts
        self._change(
            Change(
                version=self._next(),
                settling=facts.settling if facts.settling != told.settling else None,
                undeclared=facts.undeclared if facts.undeclared != told.undeclared else None,
                peers=facts.peers if facts.peers != told.peers else None,
            )
        )

    def _obey(self, frame: Frame) -> None:
        match frame:
            case DrainOrders():
                self._intent.drain(dict(frame.slots))
            case Expected():
                self._intent.expect(dict(frame.slots))
            case _:
                pass

    def _tell(self, delta: Delta, _: Source) -> None:
        own = of_region(delta, self._directory.region)
        if not own:
            return
        streams = {entry.publication: entry for entry in own.streams}
        streams |= {entry.publication: entry for entry in self._streams_of(own.nodes)}
        shown = tuple(entry for entry in self._directory.own_streams() if entry.publication in streams)
        nodes = self._with_counts(own.nodes)
        self._change(
            Change(version=self._next(), nodes=nodes or None, streams=shown or None, gone=own.gone or None),
        )

    def _streams_of(self, nodes: tuple[NodeEntry, ...]) -> tuple[StreamEntry, ...]:
        """An origin that goes down or comes back changes how its streams are shown."""
        origins = {entry.ref for entry in nodes if entry.role == "origin"}
        return tuple(entry for entry in self._directory.own_streams() if entry.origin in origins)

    def _snapshot(self) -> Snapshot:
        facts = self._facts()
        return Snapshot(
            director=self._me,
            version=self._version,
            settling=facts.settling,
            nodes=self._with_counts(self._directory.own_nodes()),
            streams=self._directory.own_streams(),
            undeclared=facts.undeclared,
            peers=facts.peers,
        )

    def _with_counts(self, nodes: tuple[NodeEntry, ...]) -> tuple[NodeFacts, ...]:
        return tuple(self._facts_of(entry) for entry in nodes)

    def _facts_of(self, entry: NodeEntry) -> NodeFacts:
        fields = {name: getattr(entry, name) for name in NodeEntry.__dataclass_fields__}
        return NodeFacts(**fields, counts=self._directory.counts_of(entry))

    def _next(self) -> int:
        self._version += 1
        return self._version

    def _change(self, change: Change) -> None:
        for link in self._links:
            link.send(change)
