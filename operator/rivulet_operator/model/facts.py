"""What the directors of the region say is: nodes, streams, load.

The invariant: what a director does not say is not said. No answer, a settling director, a node that is down or has
told no counts: the answer is "unknown" (None), never "none".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ENDED = "ended"
DOWN = "down"
DRAINING = "draining"


@dataclass(frozen=True, kw_only=True)
class Counts:
    """A node's load; `streams`: viewers by stream, `pulls`: what is wrong with each that it pulls ("": nothing)."""

    viewers: int = 0
    publishers: int = 0
    relays_out: int = 0
    streams: Mapping[str, int] = field(default_factory=dict)
    pulls: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class NodeFact:
    """One incarnation of a slot."""

    slot: str
    incarnation: str
    version: int
    role: str
    region: str
    state: str
    since: float = 0.0
    counts: Counts | None = None

    @property
    def ref(self) -> str:
        """`slot/incarnation`."""
        return f"{self.slot}/{self.incarnation}"


@dataclass(frozen=True, kw_only=True)
class Track:
    """A track as published; `fmtp` is the SDP's."""

    kind: str
    codec: str
    fmtp: str = ""


@dataclass(frozen=True, kw_only=True)
class StreamFact:
    """One publication of a name; `since` is when it began."""

    stream: str
    incarnation: str
    version: int
    origin: str
    region: str
    state: str
    since: float
    tracks: tuple[Track, ...] = ()
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Undeclared:
    """Somebody with a valid token asked to publish under a name that no Stream has."""

    stream: str
    subject: str = ""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """The mesh link to another region."""

    region: str
    connected: bool
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All directors' words. `told`: one has ever spoken; `fresh`: one that has settled is linked right now."""

    told: bool = False
    fresh: bool = False
    nodes: tuple[NodeFact, ...] = ()
    streams: tuple[StreamFact, ...] = ()
    undeclared: tuple[Undeclared, ...] = ()
    peers: tuple[Peer, ...] = ()

    def incarnations(self, slot: str) -> tuple[NodeFact, ...]:
        """All runs of a slot that are in the table, the newest first."""
        return tuple(sorted((n for n in self.nodes if n.slot == slot), key=lambda n: n.since, reverse=True))

    def sessions(self, slot: str) -> int | None:
        """Publishers and viewers on a slot, all its incarnations together; None: unknown."""
        runs = self.incarnations(slot)
        counts = [run.counts for run in runs if run.state != DOWN]
        known = [count for count in counts if count is not None]
        if not self.fresh or not runs or len(known) < len(runs):
            return None
        return sum(count.viewers + count.publishers for count in known)

    def last_sessions(self, slot: str) -> int | None:
        """As `sessions`, but what was said last, of those that told: to show, not to act on."""
        counts = [run.counts for run in self.incarnations(slot) if run.counts is not None]
        return sum(count.viewers + count.publishers for count in counts) if counts else None

    def empty(self, slot: str) -> bool:
        """Known to hold nothing that a restart would cut: no session, no relay out, no stream held for one."""
        return self.sessions(slot) is not None and not self.busy(slot)

    def busy(self, slot: str) -> bool:
        """Known to hold something that a restart would cut. Where little is known it is neither busy nor empty."""
        runs = [run for run in self.incarnations(slot) if run.state != DOWN]
        loads = [c.viewers + c.publishers + c.relays_out for c in (run.counts for run in runs) if c is not None]
        streams = [s for s in self.streams if s.origin.partition("/")[0] == slot and s.state != ENDED]
        return self.fresh and (any(loads) or bool(streams))

    def draining(self, slot: str) -> tuple[bool, ...]:
        """Of each run of a slot: whether it takes nothing new. What it counts then can only become less."""
        return tuple(run.state == DRAINING for run in self.incarnations(slot))

    def publication(self, name: str) -> StreamFact | None:
        """The publication that a name stands for: live, lost, ended, then the later, then the greater origin."""
        order = {"live": 2, "lost": 1, ENDED: 0}
        found = [stream for stream in self.streams if stream.stream == name]
        return max(found, key=lambda s: (order.get(s.state, -1), s.since, s.origin), default=None)

    def pulled(self, name: str) -> tuple[str, str] | None:
        """Who pulls a stream from a foreign server, one that fails first, and what is wrong with it ("": nothing)."""
        nodes = [node for node in self.nodes if node.state != DOWN and node.counts and name in node.counts.pulls]
        found = [(node.slot, node.counts.pulls[name]) for node in nodes if node.counts]
        return max(found, key=lambda pull: (bool(pull[1]), pull[0]), default=None)

    def viewers(self, name: str) -> int:
        """Viewers of a stream on all nodes that tell."""
        return sum(node.counts.streams.get(name, 0) for node in self.nodes if node.counts)
