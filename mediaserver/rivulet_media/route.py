"""Whom a relay pulls from. Pure: the table as it is now in, one parent or a reason out.

Invariant: an edge is never a parent, and no node is its own.
"""

from dataclasses import dataclass
from typing import Literal

from rivulet_media.table import NodeEntry, StreamEntry, Table

Way = Literal["direct", "directors"]
Reason = Literal["unknown", "ended", "origin-down", "not-here"]


@dataclass(frozen=True)
class RoutePolicy:
    """What routes may do in this region."""

    origin_relays: bool = False


@dataclass(frozen=True)
class Parent:
    """Pull `entry` from `node`; `way`: straight to its signalling, or through the directors of the two regions."""

    node: NodeEntry
    entry: StreamEntry
    way: Way

    @property
    def live(self) -> bool:
        """Whether its owner says that packets flow."""
        return self.entry.state == "live"

    def same_source(self, other: "Parent") -> bool:
        """Whether an open relay of the one also is the other's: the parent hands a new publication on by itself."""
        same_way = self.entry.transport == other.entry.transport
        return self.node.ref == other.node.ref and same_way and _tracks(self.entry) == _tracks(other.entry)


@dataclass(frozen=True)
class NoParent:
    """There is nobody to pull from now."""

    reason: Reason


def route(stream: str, node: NodeEntry, table: Table, policy: RoutePolicy) -> Parent | NoParent:
    """The parent from which `node` pulls `stream`: its origin, as long as that is not down."""
    entry = table.stream(stream)
    if entry is None:
        return NoParent("unknown")
    if entry.state == "ended":
        return NoParent("ended")
    if entry.origin == node.ref or (node.role == "origin" and not policy.origin_relays):
        return NoParent("not-here")
    origin = table.node(entry.origin)
    if origin is None or origin.state == "down" or origin.role == "edge":
        return NoParent("origin-down")
    return Parent(origin, entry, "direct" if origin.region == node.region else "directors")


def _tracks(entry: StreamEntry) -> frozenset[tuple[str, str, frozenset[str]]]:
    """What a relay is negotiated for: kinds, codecs and the names of layers."""
    return frozenset(
        (track.kind, track.codec, frozenset(layer.rid for layer in track.layers or ())) for track in entry.tracks
    )
