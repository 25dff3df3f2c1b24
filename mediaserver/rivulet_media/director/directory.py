"""What this director knows, and who is told when it changes.

One table; whoever hears something gives it to `hear`, and every listener is called with what was news. All runs on one
event loop: a listener must not wait.
"""

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from rivulet_media.director.resources import Resources
from rivulet_media.table import Delta, Gone, NodeEntry, Publication, StreamEntry, Table
from rivulet_media.wire import Counts, Entries


class Source(enum.Enum):
    """Who has said it."""

    NODE = "a node of this region, on its own link"
    SIBLING = "another director of this region"
    MESH = "a director of another region"
    SELF = "this director"


Listener = Callable[[Delta, Source], None]


@dataclass(frozen=True)
class Reported:
    """A node's latest counts, when they came, and the version of its entry that was said when they were true."""

    counts: Counts
    when: float
    version: int = 0


class Directory:
    """The table, the latest counts of own nodes and the resources."""

    def __init__(self, region: str, clock: Callable[[], float]) -> None:
        self.region = region
        self.table = Table()
        self.counts: dict[str, Reported] = {}
        self.resources = Resources()
        self.settled = False
        self._clock = clock
        self._listeners: list[Listener] = []
        self._resource_listeners: list[Callable[[], None]] = []

    @property
    def now(self) -> float:
        """Seconds of the director's own clock (it only ever goes forward)."""
        return self._clock()

    def listen(self, listener: Listener) -> None:
        """Be called with every change of the table."""
        self._listeners.append(listener)

    def listen_to_resources(self, listener: Callable[[], None]) -> None:
        """Be called when the resources have changed."""
        self._resource_listeners.append(listener)

    def use(self, resources: Resources) -> None:
        """The resources are these now."""
        if resources == self.resources:
            return
        self.resources = resources
        for listener in self._resource_listeners:
            listener()

    def hear(
        self,
        source: Source,
        *,
        nodes: Iterable[NodeEntry] = (),
        streams: Iterable[StreamEntry] = (),
        gone: Iterable[Gone] = (),
    ) -> None:
        """Somebody says this."""
        self._tell(self.table.merge(self.now, nodes=nodes, streams=streams, gone=gone), source)

    def report(self, ref: str, counts: Counts, version: int) -> None:
        """A node's counts have come, over a link on which it has said its entry up to that version."""
        self.counts[ref] = Reported(counts, self.now, version)

    def confirm(self, ref: str, version: int, *, since: int) -> None:
        """A node has said its entry anew: the counts are true of it too, if they came over this link (`since`)."""
        known = self.counts.get(ref)
        if known is not None and known.version >= since:
            self.counts[ref] = replace(known, version=version)

    def counts_of(self, entry: NodeEntry) -> Counts | None:
        """The latest counts. Of a draining node only those from after it closed: a sibling's word may precede them."""
        known = self.counts.get(entry.ref)
        if known is None or (entry.state == "draining" and known.version < entry.version):
            return None
        return known.counts

    def down(self, refs: Iterable[str]) -> None:
        """Nobody hears these nodes any more."""
        for ref in refs:
            self._tell(self.table.down(ref, self.now), Source.SELF)

    def remove(self, refs: Iterable[str], source: Source = Source.SELF) -> None:
        """These incarnations have left."""
        self._tell(self.table.remove(refs, self.now), source)

    def whole(self, region: str, refs: Iterable[str], publications: Iterable[Publication]) -> None:
        """Somebody settled has named all of another region."""
        self._tell(self.table.absent(region, refs, publications, self.now), Source.MESH)

    def expire(self) -> None:
        """Let time do its work; nodes are removed only when this director may speak of absence."""
        self._tell(self.table.expire(self.now, self.region if self.settled else None), Source.SELF)

    def own_nodes(self) -> tuple[NodeEntry, ...]:
        """The nodes of this region."""
        return tuple(entry for entry in self.table.nodes if entry.region == self.region)

    def own_streams(self) -> tuple[StreamEntry, ...]:
        """The publications of this region, as they are shown."""
        return tuple(entry for entry in self.table.shown_streams if entry.region == self.region)

    def _tell(self, delta: Delta, source: Source) -> None:
        for item in delta.gone:
            self.counts.pop(item.ref, None)
        if delta:
            for listener in self._listeners:
                listener(delta, source)


def as_entries(delta: Delta) -> Entries:
    """A change as the frame that tells it."""
    return Entries(nodes=delta.nodes, streams=delta.streams, gone=delta.gone)


def of_region(delta: Delta, region: str) -> Delta:
    """The part of a change that is about one region."""
    return Delta(
        tuple(entry for entry in delta.nodes if entry.region == region),
        tuple(entry for entry in delta.streams if entry.region == region),
        tuple(item for item in delta.gone if item.region == region),
    )
