"""The table of a CDN: which nodes and streams there are, as told by their owners. Pure; the time comes in.

Invariant: merging is commutative, associative and idempotent, so tables that have heard the same entries, in any order
and any number of times, are equal. An entry is replaced only by a later version of its owner, never because a message
left it out.
"""

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

from rivulet_media.wire_codec import Form, dump, encode, key, list_or_nothing, nullable

Region = Annotated[str, Form(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?", "a region's name")]
StreamName = Annotated[str, Form(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", "a stream's name")]
Slot = Annotated[str, Form(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "a slot's name (a DNS label)")]
Incarnation = Annotated[str, Form(r"[0-9a-f]{12}", "12 lower-case hex characters")]
Fmtp = Annotated[str, Form(r"[^\x00-\x1f\x7f]{0,2048}", "at most 2,048 characters of one line")]
NodeRef = Annotated[str, Form(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?/[0-9a-f]{12}", "slot/incarnation")]
Role = Literal["origin", "transcoder", "edge"]
NodeState = Literal["waiting", "up", "full", "draining", "down"]
StreamState = Literal["live", "lost", "ended"]
Transport = Literal["udp", "tcp"]

GONE_SECONDS = 120.0
ENDED_SECONDS = 60.0
DOWN_SECONDS = 60.0
# An entry that came by another way a moment ago may be missing in a list that was written before it.
ABSENCE_SECONDS = 10.0

Entry = TypeVar("Entry", "NodeEntry", "StreamEntry")

_PRECEDENCE: dict[str, int] = {"live": 2, "lost": 1, "ended": 0}


@dataclass(frozen=True, kw_only=True)
class Pod:
    """Where the node is reached inside its own cluster, and only there: pod ranges of clusters overlap."""

    ip: str
    uid: str = ""
    cluster: str = ""


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """What a node takes."""

    viewers: int = 500


@dataclass(frozen=True, kw_only=True)
class NodeEntry:
    """One incarnation of a node, as it says itself; `down` is said by the directors of its region."""

    node: Slot
    incarnation: Incarnation
    version: int
    role: Role
    region: Region
    state: NodeState
    address: str
    also: tuple[str, ...] = list_or_nothing()
    media_port: int
    http: str
    pod: Pod
    kube_node: str = ""
    capacity: Capacity = Capacity()
    since: float = 0.0

    @property
    def ref(self) -> str:
        """`slot/incarnation`."""
        return f"{self.node}/{self.incarnation}"

    @property
    def addresses(self) -> tuple[str, ...]:
        """All that it is advertised under, the best first."""
        return (self.address, *self.also)


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One of several encodings of a track (simulcast), as far as its packets have shown; `bitrate` in bit/s."""

    rid: str
    width: int | None = None
    height: int | None = None
    bitrate: int | None = None
    live: bool = False


@dataclass(frozen=True, kw_only=True)
class Track:
    """One track as published."""

    kind: Literal["audio", "video"]
    codec: str
    clock_rate: int
    channels: int | None = None
    fmtp: Fmtp = ""
    layers: tuple[Layer, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class StreamEntry:
    """One publication of a stream, as its origin says."""

    stream: StreamName
    incarnation: Incarnation
    version: int
    origin: NodeRef
    region: Region
    state: StreamState
    tracks: tuple[Track, ...] = ()
    since: float = 0.0
    subject: str = ""
    play: Literal["public"] = "public"
    transport: Transport = "udp"
    gop_ms: int | None = key("gopMs", default=None)
    reason: str | None = nullable()

    @property
    def publication(self) -> "Publication":
        """What the entry is about: versions are counted per publication."""
        return Publication(self.stream, self.origin, self.incarnation)


@dataclass(frozen=True, order=True)
class Publication:
    """Key of a stream's entry."""

    stream: str
    origin: str
    incarnation: str


@dataclass(frozen=True, kw_only=True)
class Gone:
    """An incarnation that has left: entries up to `version` are old news; a later one brings it back."""

    node: Slot
    incarnation: Incarnation
    version: int
    region: Region

    @property
    def ref(self) -> str:
        """`slot/incarnation`."""
        return f"{self.node}/{self.incarnation}"


@dataclass(frozen=True)
class Delta:
    """What a call has changed: to be told on as it is. False when nothing has."""

    nodes: tuple[NodeEntry, ...] = ()
    streams: tuple[StreamEntry, ...] = ()
    gone: tuple[Gone, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything has changed."""
        return bool(self.nodes or self.streams or self.gone)


class Table:
    """Entries of nodes and streams by owner and version. All times are seconds of one clock of the caller's."""

    def __init__(self) -> None:
        self._nodes: dict[str, NodeEntry] = {}
        self._streams: dict[Publication, StreamEntry] = {}
        self._changed: dict[str | Publication, float] = {}
        self._gone: dict[str, tuple[Gone, float]] = {}
        self._forgotten: dict[Publication, float] = {}

    # Reading

    @property
    def nodes(self) -> tuple[NodeEntry, ...]:
        """All nodes, by name and incarnation."""
        return tuple(self._nodes[ref] for ref in sorted(self._nodes))

    @property
    def streams(self) -> tuple[StreamEntry, ...]:
        """All publications as their origins said, ended ones too, without those whose origin is gone."""
        return tuple(entry for entry in self.heard_streams if entry.origin not in self._gone)

    @property
    def heard_streams(self) -> tuple[StreamEntry, ...]:
        """The same with those whose origin is gone, which may be back elsewhere: for whoever is told `gone` as well."""
        return tuple(self._streams[item] for item in sorted(self._streams))

    @property
    def shown_streams(self) -> tuple[StreamEntry, ...]:
        """The same to look at: a live one is lost while its origin is down. Never to be told on as its owner's word."""
        return tuple(map(self._shown, self.streams))

    @property
    def gone(self) -> tuple[Gone, ...]:
        """Incarnations that are remembered as gone."""
        return tuple(gone for gone, _ in self._gone.values())

    def node(self, ref: str) -> NodeEntry | None:
        """The node with this `slot/incarnation`."""
        return self._nodes.get(ref)

    def slot(self, slot: str) -> NodeEntry | None:
        """The newest incarnation of a slot that is not down."""
        living = [entry for entry in self._nodes.values() if entry.node == slot and entry.state != "down"]
        return max(living, key=lambda entry: (entry.since, entry.incarnation), default=None)

    def stream(self, name: str) -> StreamEntry | None:
        """The one that counts of that name: live before lost before ended, then the later, then the greater origin."""
        entries = (entry for entry in self._streams.values() if entry.stream == name and entry.origin not in self._gone)
        return max(map(self._shown, entries), key=_weight, default=None)

    def digest(self) -> str:
        """The first 16 hex characters of SHA-256 over what all tables must agree on."""
        streams = (entry for entry in self.shown_streams if entry.state != "ended")
        agreed = {
            "nodes": sorted([node.node, node.incarnation, node.role, node.region, node.state] for node in self.nodes),
            "streams": sorted([entry.stream, entry.origin, entry.state] for entry in streams),
        }
        return hashlib.sha256(dump(agreed).encode()).hexdigest()[:16]

    # Hearing

    def merge(
        self,
        now: float,
        *,
        nodes: Iterable[NodeEntry] = (),
        streams: Iterable[StreamEntry] = (),
        gone: Iterable[Gone] = (),
    ) -> Delta:
        """Take in what somebody said; what was news is returned."""
        left = tuple(item for item in gone if self._leave(item, now))
        new_nodes = tuple(entry for entry in map(plain, nodes) if self._take_node(entry, now))
        new_streams = tuple(entry for entry in streams if self._take_stream(entry, now))
        return Delta(new_nodes, new_streams, left)

    def down(self, ref: str, now: float) -> Delta:
        """Every director of its region has lost this node."""
        entry = self._nodes.get(ref)
        if entry is None or entry.state == "down":
            return Delta()
        return self.merge(now, nodes=[dataclasses.replace(entry, state="down")])

    def remove(self, refs: Iterable[str], now: float) -> Delta:
        """These incarnations have said goodbye, or were down for long: they and their streams leave."""
        known = [self._nodes[ref] for ref in refs if ref in self._nodes]
        return self.merge(now, gone=[_farewell(entry) for entry in known])

    def absent(self, region: str, refs: Iterable[str], publications: Iterable[Publication], now: float) -> Delta:
        """Somebody settled has named all of a region: what else stands here, and is no news, leaves or has ended."""
        named, published = set(refs), set(publications)
        missing = [ref for ref, entry in self._nodes.items() if entry.region == region and ref not in named]
        left = self.remove([ref for ref in missing if self._is_old(ref, now)], now)
        unheard = [entry for entry in self.streams if entry.region == region and entry.publication not in published]
        ended = [_ended(entry) for entry in unheard if self._is_old(entry.publication, now)]
        return dataclasses.replace(left, streams=self.merge(now, streams=ended).streams)

    def expire(self, now: float, region: str | None = None) -> Delta:
        """What time takes away. Only a director of `region` removes nodes, and only that region's."""
        for ref in [ref for ref, (_, until) in self._gone.items() if until <= now]:
            self._forget(ref)
        for publication in [item for item, until in self._forgotten.items() if until <= now]:
            del self._forgotten[publication]
        for publication, entry in list(self._streams.items()):
            if entry.state == "ended" and now - self._changed[publication] >= ENDED_SECONDS:
                self._drop(publication)
                self._forgotten[publication] = now + GONE_SECONDS
        return self.remove(list(self._overdue(region, now)), now)

    # Inside

    def _shown(self, entry: StreamEntry) -> StreamEntry:
        origin = self._nodes.get(entry.origin)
        if entry.state == "live" and origin is not None and origin.state == "down":
            return dataclasses.replace(entry, state="lost")
        return entry

    def _is_old(self, item: str | Publication, now: float) -> bool:
        return now - self._changed[item] >= ABSENCE_SECONDS

    def _overdue(self, region: str | None, now: float) -> Iterator[str]:
        for ref, entry in self._nodes.items():
            if entry.region != region or entry.state != "down":
                continue
            newer = any(other.node == entry.node and other.since > entry.since for other in self._nodes.values())
            if newer or now - self._changed[ref] >= DOWN_SECONDS:
                yield ref

    def _take_node(self, entry: NodeEntry, now: float) -> bool:
        """`entry` must be plain: subclasses carry what is not the owner's word."""
        gone = self._gone.get(entry.ref)
        if gone is not None:
            if entry.version <= gone[0].version:
                return False
            del self._gone[entry.ref]
        known = self._nodes.get(entry.ref)
        if known is not None and not _is_news(entry, known, entry.state == "down", known.state == "down"):
            return False
        self._nodes[entry.ref] = entry
        self._changed[entry.ref] = now
        return True

    def _take_stream(self, entry: StreamEntry, now: float) -> bool:
        publication = entry.publication
        if publication in self._forgotten:
            return False
        known = self._streams.get(publication)
        if known is not None and not _is_news(entry, known, -_PRECEDENCE[entry.state], -_PRECEDENCE[known.state]):
            return False
        self._streams[publication] = entry
        self._changed[publication] = now
        return entry.origin not in self._gone

    def _leave(self, gone: Gone, now: float) -> bool:
        known = self._nodes.get(gone.ref)
        if known is not None and known.version > gone.version:
            return False
        remembered = self._gone.get(gone.ref)
        if remembered is not None and remembered[0].version >= gone.version:
            return False
        self._gone[gone.ref] = (gone, now + GONE_SECONDS)
        self._nodes.pop(gone.ref, None)
        self._changed.pop(gone.ref, None)
        return True

    def _forget(self, ref: str) -> None:
        """Until now the streams of that origin were only hidden: whether they or the farewell came first is all one."""
        del self._gone[ref]
        for publication in [item for item in self._streams if item.origin == ref]:
            self._drop(publication)

    def _drop(self, publication: Publication) -> None:
        del self._streams[publication]
        del self._changed[publication]


def _farewell(entry: NodeEntry) -> Gone:
    return Gone(node=entry.node, incarnation=entry.incarnation, version=entry.version, region=entry.region)


def plain(entry: NodeEntry) -> NodeEntry:
    """The entry as its owner said it, of one that is shown or sent with more."""
    if type(entry) is NodeEntry:
        return entry
    return NodeEntry(**{field.name: getattr(entry, field.name) for field in dataclasses.fields(NodeEntry)})


def _is_news(entry: Entry, known: Entry, rank: int, known_rank: int) -> bool:
    """The later version, then the graver state; the text decides between two that an owner never ought to have said."""
    if (entry.version, rank) != (known.version, known_rank):
        return (entry.version, rank) > (known.version, known_rank)
    return entry != known and dump(encode(entry)) > dump(encode(known))


def _ended(entry: StreamEntry) -> StreamEntry:
    return dataclasses.replace(entry, state="ended", reason=entry.reason or "stream-ended")


def _weight(entry: StreamEntry) -> tuple[int, float, str, str]:
    return (_PRECEDENCE[entry.state], entry.since, entry.origin, entry.incarnation)
