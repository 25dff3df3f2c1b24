"""Every message of docs/contract.md §7 and §8 as a frozen dataclass, with `parse` and `render`.

Which frames may come on a link is said by the `FROM_…` tables: `parse(text, FROM_NODE)` gives one of its dataclasses or
raises `WireError` with the path of the wrong key. A class's `TYPE` is the frame's `type`. What operator and director
say to each other (§7.5) is in `wire_operator`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeVar

from rivulet_media.table import (
    Capacity,
    Gone,
    Incarnation,
    NodeEntry,
    NodeRef,
    Publication,
    Region,
    Role,
    Slot,
    StreamEntry,
    StreamName,
    Table,
    Transport,
)
from rivulet_media.wire_codec import WireError, decode, dump, encode, key, list_or_nothing, load, nullable

MAX_FRAME = 4 * 1024 * 1024
BEAT_SECONDS = 2.0
SILENT_SECONDS = 6.0
CLOSE_BAD_FRAME = 4400

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One message on a link."""

    TYPE: ClassVar[str]


@dataclass(frozen=True, kw_only=True)
class DirectorState:
    """How a node sees one director of its region."""

    url: str
    state: Literal["linked", "lost"]


@dataclass(frozen=True, kw_only=True)
class ShownNode(NodeEntry):
    """A node as a table is shown: with what the one who shows it thinks of the way there."""

    unreachable: bool | None = None


@dataclass(frozen=True, kw_only=True)
class TableBody:
    """§8.4: a whole table."""

    digest: str = ""
    self: str = ""
    region: str = ""
    state: str = ""
    nodes: tuple[ShownNode, ...] = ()
    streams: tuple[StreamEntry, ...] = ()
    directors: tuple[DirectorState, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Hello(Frame):
    """§7.1: what a node says of itself."""

    TYPE: ClassVar[str] = "hello"
    slot: Slot | None = None
    incarnation: Incarnation
    role: Role | None = None
    http_port: int
    media_port: int
    kube_node: str = ""
    pod_ip: str | None = key("podIP", default=None)
    pod_uid: str = key("podUID", default="")
    capacity: Capacity = field(default_factory=Capacity)
    version: int
    software: str = ""


@dataclass(frozen=True, kw_only=True)
class Welcome(Frame):
    """§7.1: the answer to a hello; also the first frame of a link."""

    TYPE: ClassVar[str] = "welcome"
    region: Region
    slot: Slot
    role: Role
    address: str
    also: tuple[str, ...] = list_or_nothing()
    cluster: str
    pod_candidate: bool = False
    directors: tuple[str, ...]
    balancer_name: str = ""
    table: TableBody

    @property
    def reach(self) -> "Address":
        """How clients reach the node, as a later frame says it when it has changed."""
        return Address(address=self.address, also=self.also, pod_candidate=self.pod_candidate)


# Node to director (§7.2)


@dataclass(frozen=True, kw_only=True)
class LinkHello(Hello):
    """First frame of a node: itself and what it owns."""

    node: NodeEntry
    streams: tuple[StreamEntry, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Entries(Frame):
    """News of nodes and streams; on every link."""

    TYPE: ClassVar[str] = "entries"
    nodes: tuple[NodeEntry, ...] = ()
    streams: tuple[StreamEntry, ...] = ()
    gone: tuple[Gone, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RelayIn:
    """A relay that a node pulls."""

    stream: StreamName
    parent: NodeRef
    state: str
    transport: Transport = "udp"


@dataclass(frozen=True, kw_only=True)
class StreamCounts:
    """Of one stream on one node."""

    viewers: int = 0


@dataclass(frozen=True, kw_only=True)
class PullState:
    """A stream that a node pulls from a foreign server; `error`: why nothing comes."""

    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Counts(Frame):
    """A node's load; its beat."""

    TYPE: ClassVar[str] = "counts"
    viewers: int = 0
    publishers: int = 0
    relays_in: tuple[RelayIn, ...] = ()
    relays_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    egress_bps: float = 0.0
    cpu: float = 0.0
    streams: Mapping[str, StreamCounts] = field(default_factory=dict)
    pulls: Mapping[StreamName, PullState] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Goodbye(Frame):
    """A clean exit: the entry leaves at once."""

    TYPE: ClassVar[str] = "goodbye"


# Director to node (§7.2)


@dataclass(frozen=True, kw_only=True)
class Directors(Frame):
    """The directors of the region, all of them."""

    TYPE: ClassVar[str] = "directors"
    urls: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Address(Frame):
    """How clients reach the node has changed."""

    TYPE: ClassVar[str] = "address"
    address: str
    also: tuple[str, ...] = list_or_nothing()
    pod_candidate: bool = False


@dataclass(frozen=True, kw_only=True)
class Drain(Frame):
    """Take nothing new, be gone by the deadline; null: taken back."""

    TYPE: ClassVar[str] = "drain"
    deadline: float | None = nullable()


@dataclass(frozen=True, kw_only=True)
class EndStream(Frame):
    """A Stream was deleted: end this publication."""

    TYPE: ClassVar[str] = "endStream"
    stream: StreamName
    incarnation: Incarnation
    reason: str


@dataclass(frozen=True, kw_only=True)
class StreamPolicy:
    """§8.3: a Stream's live settings."""

    stream: StreamName
    codecs: tuple[str, ...] = ("h264", "vp8", "vp9", "av1", "h265")
    hold_seconds: float = 30.0
    idle_seconds: float = 10.0
    play: Literal["public"] = "public"
    transport: Transport = "udp"


@dataclass(frozen=True, kw_only=True)
class Policies(Frame):
    """Live settings of streams that the node holds."""

    TYPE: ClassVar[str] = "policy"
    streams: Mapping[StreamName, StreamPolicy]


@dataclass(frozen=True, kw_only=True)
class PullOrder:
    """From where a stream is pulled; `problem`: why it cannot be tried now, which is only told on."""

    url: str
    policy: StreamPolicy
    token: str | None = field(default=None, repr=False)
    problem: str | None = None


@dataclass(frozen=True, kw_only=True)
class Pulls(Frame):
    """All streams that the node is to pull from foreign servers."""

    TYPE: ClassVar[str] = "pulls"
    streams: Mapping[StreamName, PullOrder]


@dataclass(frozen=True, kw_only=True)
class Settled(Frame):
    """From now on, in these regions, what this link has not named is not there."""

    TYPE: ClassVar[str] = "settled"
    regions: tuple[Region, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Beat(Frame):
    """Still here."""

    TYPE: ClassVar[str] = "beat"


# Director to director (§7.3, §7.4)


@dataclass(frozen=True, kw_only=True)
class SiblingHello(Frame):
    """First frame between two directors of a region."""

    TYPE: ClassVar[str] = "hello"
    director: str


@dataclass(frozen=True, kw_only=True)
class Seen(Frame):
    """Seconds since the last frame of each node that this director has heard."""

    TYPE: ClassVar[str] = "seen"
    nodes: Mapping[NodeRef, float]


@dataclass(frozen=True, kw_only=True)
class MeshHello(Frame):
    """First frame between directors of two regions."""

    TYPE: ClassVar[str] = "hello"
    region: Region
    director: str
    host: str
    cluster: str


@dataclass(frozen=True, kw_only=True)
class DeclaredStream:
    """A name that has a Stream in its region, live or not, and what nodes of other regions must know of it."""

    stream: StreamName
    play: Literal["public"] = "public"
    hold_seconds: float = 30.0
    idle_seconds: float = 10.0

    @property
    def policy(self) -> StreamPolicy:
        """§8.3, without what concerns publishers only."""
        return StreamPolicy(
            stream=self.stream, hold_seconds=self.hold_seconds, idle_seconds=self.idle_seconds, play=self.play
        )


@dataclass(frozen=True, kw_only=True)
class RegionWhole(Frame):
    """All that the sender's region has; what is not here is not there."""

    TYPE: ClassVar[str] = "region"
    nodes: tuple[NodeEntry, ...]
    streams: tuple[StreamEntry, ...]
    names: tuple[DeclaredStream, ...]


Frames = Mapping[str, type[Frame]]


def by_type(*kinds: type[Frame]) -> Frames:
    """The frames of one direction of a link."""
    return {kind.TYPE: kind for kind in kinds}


FROM_NODE = by_type(LinkHello, Entries, Counts, Goodbye)
TO_NODE = by_type(Welcome, Entries, Directors, Address, Drain, EndStream, Policies, Pulls, Settled, Beat)
FROM_SIBLING = by_type(SiblingHello, Seen, Entries)
FROM_MESH = by_type(MeshHello, RegionWhole, Entries, Beat)


def parse(text: str, frames: Frames) -> Frame:
    """One text frame of a link on which `frames` may come."""
    if len(text) > MAX_FRAME:
        raise WireError("", f"is longer than {MAX_FRAME} bytes")
    data = load(text)
    kind = data.get("type") if isinstance(data, dict) else None
    if not isinstance(kind, str) or kind not in frames:
        raise WireError("type", f"must be one of {', '.join(sorted(frames))}")
    return decode(frames[kind], data)


def render(frame: Frame) -> str:
    """The frame as text."""
    return dump({"type": frame.TYPE, **encode(frame)})


def parse_body(kind: type[T], body: str | bytes) -> T:
    """A JSON body (or header) as the dataclass `kind`."""
    return decode(kind, load(body))


def render_body(value: Any) -> str:
    """A dataclass as a JSON body."""
    return dump(encode(value))


def table_body(
    table: Table,
    *,
    me: str = "",
    state: str = "",
    directors: tuple[DirectorState, ...] = (),
    unreachable: frozenset[str] = frozenset(),
    to_merge: bool = False,
) -> TableBody:
    """A table as it is shown, or sent `to_merge` (§8.4); `unreachable`: regions to which there is no way now."""
    return TableBody(
        digest=table.digest(),
        self=me,
        state=state,
        nodes=tuple(_shown(entry, unreachable) for entry in table.nodes),
        streams=table.streams if to_merge else table.shown_streams,
        directors=directors,
    )


def publications(streams: tuple[StreamEntry, ...]) -> frozenset[Publication]:
    """What these entries are about."""
    return frozenset(entry.publication for entry in streams)


def _shown(entry: NodeEntry, unreachable: frozenset[str]) -> ShownNode:
    fields = {name: getattr(entry, name) for name in NodeEntry.__dataclass_fields__}
    return ShownNode(**fields, unreachable=True if entry.region in unreachable else None)
