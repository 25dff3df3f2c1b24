"""The messages of operator and director (docs/contract.md §7.5), as frozen dataclasses; see `wire`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from rivulet_media.table import Gone, NodeEntry, Region, Role, Slot, StreamEntry, StreamName
from rivulet_media.wire import Beat, Counts, Frame, by_type


@dataclass(frozen=True, kw_only=True)
class NodeFacts(NodeEntry):
    """A node's entry and its latest counts."""

    counts: Counts | None = None


@dataclass(frozen=True, kw_only=True)
class UndeclaredStream:
    """Somebody with the right to publish asked for a name that no Stream has."""

    stream: StreamName
    subject: str


@dataclass(frozen=True, kw_only=True)
class PeerState:
    """The mesh link to another region; `reason` says why there is none."""

    region: Region
    connected: bool
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Snapshot(Frame):
    """All facts of a director; first frame to the operator."""

    TYPE: ClassVar[str] = "snapshot"
    director: str
    version: int
    settling: bool
    nodes: tuple[NodeFacts, ...]
    streams: tuple[StreamEntry, ...]
    undeclared: tuple[UndeclaredStream, ...]
    peers: tuple[PeerState, ...]


@dataclass(frozen=True, kw_only=True)
class Change(Frame):
    """Facts that have changed; a key that is absent has not. `undeclared` and `peers` are whole lists."""

    TYPE: ClassVar[str] = "change"
    version: int
    settling: bool | None = None
    nodes: tuple[NodeFacts, ...] | None = None
    streams: tuple[StreamEntry, ...] | None = None
    undeclared: tuple[UndeclaredStream, ...] | None = None
    peers: tuple[PeerState, ...] | None = None
    gone: tuple[Gone, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class DrainOrder:
    """Until when a slot has to be empty."""

    deadline: float


@dataclass(frozen=True, kw_only=True)
class DrainOrders(Frame):
    """All slots that are to be drained: who is not here is not."""

    TYPE: ClassVar[str] = "drain"
    slots: Mapping[Slot, DrainOrder]


@dataclass(frozen=True, kw_only=True)
class ExpectedSlot:
    """A slot that the operator runs."""

    role: Role
    node: str


@dataclass(frozen=True, kw_only=True)
class Expected(Frame):
    """All slots that ought to join."""

    TYPE: ClassVar[str] = "expected"
    slots: Mapping[Slot, ExpectedSlot]


FROM_OPERATOR = by_type(DrainOrders, Expected, Beat)
TO_OPERATOR = by_type(Snapshot, Change, Beat)
