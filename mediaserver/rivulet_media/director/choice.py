"""Which origin takes a publisher, which edge a viewer. Pure.

Invariant: with equal tables two directors choose the same origin, so that origin alone decides who has a name.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rivulet_media.director.directory import Reported
from rivulet_media.table import NodeEntry, Table


def newest(nodes: Iterable[NodeEntry]) -> list[NodeEntry]:
    """Of each slot the newest incarnation that is not down: only that takes new sessions."""
    by_slot: dict[str, NodeEntry] = {}
    for entry in sorted(nodes, key=lambda entry: (entry.since, entry.incarnation)):
        if entry.state != "down":
            by_slot[entry.node] = entry
    return [by_slot[slot] for slot in sorted(by_slot)]


def origins(table: Table, region: str, stream: str) -> list[NodeEntry]:
    """Origins to ask in turn: the one at which the stream stands, then by rendezvous hash over those that are up."""
    ready = [entry for entry in newest(table.nodes) if _is(entry, "origin", region)]
    ranked = sorted(ready, key=lambda entry: _score(stream, entry.node), reverse=True)
    holder = holder_of(table, stream)
    if holder is None or holder.region != region:
        return ranked
    return [holder, *(entry for entry in ranked if entry != holder)]


def holder_of(table: Table, stream: str) -> NodeEntry | None:
    """The origin that has this name now and still takes sessions."""
    entry = table.stream(stream)
    if entry is None or entry.state == "ended":
        return None
    node = table.node(entry.origin)
    return node if node is not None and node.state in ("up", "full") else None


def edges(table: Table, region: str) -> list[NodeEntry]:
    """Edges of a region that take viewers, by slot."""
    return [entry for entry in newest(table.nodes) if _is(entry, "edge", region)]


def regions_with_edges(table: Table, own: str) -> list[str]:
    """Other regions that could serve a viewer when this one cannot."""
    return sorted({entry.region for entry in table.nodes if entry.region != own and _is(entry, "edge", entry.region)})


def carriers(candidates: Iterable[NodeEntry], stream: str, counts: Mapping[str, Reported]) -> list[NodeEntry]:
    """Those that pull this stream already, by their latest counts."""
    return [entry for entry in candidates if _carries(counts.get(entry.ref), stream)]


@dataclass
class Placements:
    """Viewers that this director has sent to nodes which have not reported since."""

    _open: dict[str, int] = field(default_factory=dict)
    _answered: dict[str, list[float]] = field(default_factory=dict)
    _turn: dict[str, int] = field(default_factory=dict)
    _turns: int = 0

    def begin(self, ref: str) -> None:
        """A viewer is on its way to this node."""
        self._open[ref] = self._open.get(ref, 0) + 1
        self._turns += 1
        self._turn[ref] = self._turns

    def end(self, ref: str, now: float, *, placed: bool) -> None:
        """The node has answered; `placed`: it has taken the viewer."""
        self._open[ref] = self._open.get(ref, 1) - 1
        if placed:
            self._answered.setdefault(ref, []).append(now)

    def order(self, candidates: Iterable[NodeEntry], counts: Mapping[str, Reported]) -> list[NodeEntry]:
        """Least loaded by seats first; of equals the one whose turn was longest ago."""
        return sorted(candidates, key=lambda entry: self._rank(entry, counts.get(entry.ref)))

    def _rank(self, entry: NodeEntry, reported: Reported | None) -> tuple[float, int, str]:
        seats = max(1, entry.capacity.viewers)
        return (self._viewers(entry.ref, reported) / seats, self._turn.get(entry.ref, 0), entry.node)

    def _viewers(self, ref: str, reported: Reported | None) -> int:
        since = float("-inf") if reported is None else reported.when
        unreported = [when for when in self._answered.get(ref, ()) if when >= since]
        self._answered[ref] = unreported
        known = 0 if reported is None else reported.counts.viewers
        return known + len(unreported) + self._open.get(ref, 0)


def _is(entry: NodeEntry, role: str, region: str) -> bool:
    return (entry.role, entry.region, entry.state) == (role, region, "up")


def _score(stream: str, slot: str) -> bytes:
    """Rendezvous (highest random weight) hashing: a node that leaves moves only its own streams."""
    return hashlib.sha256(f"{stream}\0{slot}".encode()).digest()


def _carries(reported: Reported | None, stream: str) -> bool:
    return reported is not None and any(
        relay.stream == stream and relay.state == "live" for relay in reported.counts.relays_in
    )
