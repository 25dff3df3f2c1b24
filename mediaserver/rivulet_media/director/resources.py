"""CDNRegion, CDNNode and Stream as the director reads them (docs/resources.md). Pure: documents in, typed values out.

The documents are the same from Kubernetes, from a file and from the last copy.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from rivulet_media.addresses import advertised, not_addresses
from rivulet_media.table import Region, StreamName, Transport
from rivulet_media.tokens import Issuer, KeyTextError
from rivulet_media.wire import DeclaredStream, StreamPolicy
from rivulet_media.wire_codec import Form, WireError, decode, key

Document = Mapping[str, Any]
MESH_PREFIX = "mesh-"
# Tokens for foreign servers. Other Secrets, the CDN's own among them, must never leave for whatever URL a Stream names.
PULL_PREFIX = "pull-"
_HOST = r"(\[[0-9A-Fa-f:.]+\]|[^\s/?#@:\[\]\\]+)(:[0-9]{1,5})?"
_URL = rf"https?://{_HOST}([/?][^\s#]*)?"
PullUrl = Annotated[str, Form(_URL, "a URL such as https://cdn.example/whep/NAME")]
PullSecretName = Annotated[str, Form(r"pull-[a-z0-9.-]{1,248}", "a Secret's name that begins with pull-")]


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """The part of an object's metadata that counts here."""

    name: str
    creation_timestamp: str = ""


@dataclass(frozen=True, kw_only=True)
class MeshSpec:
    """Where other regions reach this one."""

    address: str = ""


@dataclass(frozen=True, kw_only=True)
class IssuerSpec:
    """Somebody who may sign publish tokens."""

    name: str
    public_key: str


@dataclass(frozen=True, kw_only=True)
class TrustSpec:
    """Whose tokens count."""

    issuers: tuple[IssuerSpec, ...] = ()


@dataclass(frozen=True, kw_only=True)
class OpenPublishing:
    """Undeclared names become Streams."""

    max_streams: int = 100
    keep_seconds: int = 60


@dataclass(frozen=True, kw_only=True)
class Balancer:
    """The classic answer."""

    enabled: bool = False
    mode: Literal["roundRobin"] = "roundRobin"
    node_names: bool = False


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one client may ask of the front door; 0: clients' addresses are not told apart."""

    requests_per_second: int = 0


@dataclass(frozen=True, kw_only=True)
class NodeDefaults:
    """Of the node defaults, only what directors use."""

    address_map: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RegionSpec:
    """`CDNRegion.spec`."""

    host: str
    mesh: MeshSpec = field(default_factory=MeshSpec)
    trust: TrustSpec = field(default_factory=TrustSpec)
    open_publishing: OpenPublishing | None = None
    balancer: Balancer = field(default_factory=Balancer)
    limits: Limits = field(default_factory=Limits)
    node_defaults: NodeDefaults = field(default_factory=NodeDefaults)


@dataclass(frozen=True, kw_only=True)
class RegionStatus:
    """`CDNRegion.status`, as far as directors read it: the best address of each Kubernetes node, and others."""

    node_addresses: Mapping[str, str] = field(default_factory=dict)
    node_addresses_also: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CDNRegion:
    """One region's fact sheet."""

    metadata: Metadata
    spec: RegionSpec
    status: RegionStatus = field(default_factory=RegionStatus)

    def addresses_of(self, kube_node: str) -> tuple[str, ...]:
        """How a Kubernetes node is advertised, the best first: the map before what the operator has published."""
        mapped = advertised(self.spec.node_defaults.address_map.get(kube_node, ""))
        status = self.status
        published = (status.node_addresses.get(kube_node, ""), *status.node_addresses_also.get(kube_node, ()))
        return mapped or advertised(",".join(published))

    def problems(self) -> tuple[str, ...]:
        """What of it makes no sense and is left out."""
        mapped = self.spec.node_defaults.address_map.items()
        return tuple(
            f"spec.nodeDefaults.addressMap.{host}: {wrong[:64]!r} is no IP address"
            for host, text in mapped
            for wrong in not_addresses(text)
        )

    def issuers(self) -> tuple[Issuer, ...]:
        """The issuers whose keys can be read; the others cannot sign anything anyway."""
        return tuple(issuer for spec in self.spec.trust.issuers if (issuer := _issuer(spec)) is not None)


@dataclass(frozen=True, kw_only=True)
class SlotStatus:
    """One slot of a CDNNode."""

    name: str
    address: str = ""
    port: int = 0
    ready: bool = False


@dataclass(frozen=True, kw_only=True)
class NodeSpec:
    """`CDNNode.spec`, as far as directors read it."""

    role: Literal["origin", "transcoder", "edge", "turn"]
    region: Region


@dataclass(frozen=True, kw_only=True)
class NodeStatus:
    """`CDNNode.status`, as far as directors read it."""

    slots: tuple[SlotStatus, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CDNNode:
    """A pool of nodes of one role."""

    metadata: Metadata
    spec: NodeSpec
    status: NodeStatus = field(default_factory=NodeStatus)


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """How a stream's relays live, and by what its packets travel between nodes."""

    idle_seconds: float = 10.0
    transport: Transport = "udp"


@dataclass(frozen=True, kw_only=True)
class Access:
    """Who may publish and play."""

    publish: Literal["token", "open"] = "token"
    play: Literal["public"] = "public"


@dataclass(frozen=True, kw_only=True)
class SecretReference:
    """A value in a Secret of the same namespace."""

    name: PullSecretName
    key: str


@dataclass(frozen=True, kw_only=True)
class PullSpec:
    """A foreign WHEP server; `secret_ref`: the bearer token for it."""

    url: PullUrl
    secret_ref: SecretReference | None = None


@dataclass(frozen=True, kw_only=True)
class SourceSpec:
    """Where a stream comes from: a publisher, unless it is pulled."""

    pull: PullSpec | None = None


@dataclass(frozen=True, kw_only=True)
class StreamSpec:
    """`Stream.spec`."""

    name: StreamName | None = None
    region: Region | None = None
    regions: tuple[Region, ...] = ()
    source: SourceSpec = field(default_factory=SourceSpec)
    distribution: Distribution = field(default_factory=Distribution)
    hold_seconds: float = 30.0
    codecs: tuple[str, ...] = ("h264", "vp8", "vp9", "av1", "h265")
    access: Access = field(default_factory=Access)


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A published name."""

    metadata: Metadata
    spec: StreamSpec

    @property
    def name(self) -> str:
        """The published name."""
        return self.spec.name or self.metadata.name

    @property
    def region(self) -> str | None:
        """Where it is published."""
        return self.spec.region or next(iter(self.spec.regions), None)

    @property
    def policy(self) -> StreamPolicy:
        """What nodes are told of it (docs/contract.md §8.3)."""
        return StreamPolicy(
            stream=self.name,
            codecs=self.spec.codecs,
            hold_seconds=self.spec.hold_seconds,
            idle_seconds=self.spec.distribution.idle_seconds,
            play=self.spec.access.play,
            transport=self.spec.distribution.transport,
        )


@dataclass(frozen=True, kw_only=True)
class SecretData:
    """A Secret; only `mesh-PEER` and `pull-…` ones are read."""

    metadata: Metadata
    data: Mapping[str, str] = field(default_factory=dict)
    string_data: Mapping[str, str] = key("stringData", default_factory=dict)

    def texts(self) -> dict[str, str]:
        """What can be read as text, by key."""
        decoded = {name: text for name, value in self.data.items() if (text := _text(value)) is not None}
        return {name: text.strip() for name, text in {**decoded, **self.string_data}.items()}


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Everything that should be. `fresh`: told by the API or the file since the start, not by the last copy."""

    regions: Mapping[str, CDNRegion] = field(default_factory=dict)
    nodes: Mapping[str, CDNNode] = field(default_factory=dict)
    streams: Mapping[str, Stream] = field(default_factory=dict)
    mesh_tokens: Mapping[str, str] = field(default_factory=dict)
    pull_secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    fresh: bool = False

    def declared_in(self, region: str) -> tuple[DeclaredStream, ...]:
        """The names that are published in `region`."""
        streams = (stream.policy for _, stream in sorted(self.streams.items()) if stream.region == region)
        return tuple(
            DeclaredStream(
                stream=policy.stream,
                play=policy.play,
                hold_seconds=policy.hold_seconds,
                idle_seconds=policy.idle_seconds,
            )
            for policy in streams
        )

    def stream_in(self, name: str, region: str) -> Stream | None:
        """The Stream of that published name, when it is published in `region`."""
        stream = self.streams.get(name)
        return stream if stream is not None and stream.region == region else None

    def turn_slots(self, region: str) -> tuple[SlotStatus, ...]:
        """The region's TURN servers that are ready."""
        pools = (
            node for _, node in sorted(self.nodes.items()) if (node.spec.role, node.spec.region) == ("turn", region)
        )
        return tuple(slot for pool in pools for slot in pool.status.slots if slot.ready and slot.address and slot.port)

    def pool_of(self, slot: str) -> CDNNode | None:
        """The CDNNode that owns a slot's name."""
        pool, _, ordinal = slot.rpartition("-")
        return self.nodes.get(pool) if ordinal.isdecimal() else None


@dataclass(frozen=True)
class Parsed:
    """Resources, and what could not be read of them."""

    resources: Resources
    problems: tuple[str, ...]


def parse_documents(documents: Iterable[Document], *, fresh: bool) -> Parsed:
    """Typed resources of raw documents; one that makes no sense is left out, and named in `problems`."""
    problems: list[str] = []
    regions, nodes, mesh_tokens, pull_secrets = {}, {}, {}, {}
    streams: list[Stream] = []
    for document in documents:
        try:
            match _parse(document):
                case CDNRegion() as region:
                    regions[region.metadata.name] = region
                    problems += [f"CDNRegion {region.metadata.name}: {problem}" for problem in region.problems()]
                case CDNNode() as node:
                    nodes[node.metadata.name] = node
                case Stream() as stream:
                    streams.append(stream)
                case SecretData() as secret if secret.metadata.name.startswith(PULL_PREFIX):
                    pull_secrets[secret.metadata.name] = secret.texts()
                case SecretData() as secret if secret.metadata.name.startswith(MESH_PREFIX):
                    if token := secret.texts().get("token"):
                        mesh_tokens[secret.metadata.name.removeprefix(MESH_PREFIX)] = token
        except WireError as error:
            problems.append(f"{document.get('kind')} {_name_of(document)}: {error}")
    by_name = _by_published_name(streams)
    resources = Resources(
        regions=regions,
        nodes=nodes,
        streams=by_name,
        mesh_tokens=mesh_tokens,
        pull_secrets=pull_secrets,
        fresh=fresh,
    )
    return Parsed(resources, tuple(problems))


_KINDS: Mapping[str, type[CDNRegion | CDNNode | Stream | SecretData]] = {
    "CDNRegion": CDNRegion,
    "CDNNode": CDNNode,
    "Stream": Stream,
    "Secret": SecretData,
}


def _parse(document: Document) -> CDNRegion | CDNNode | Stream | SecretData | None:
    kind = _KINDS.get(str(document.get("kind")))
    return None if kind is None else decode(kind, dict(document))


def _by_published_name(streams: Iterable[Stream]) -> dict[str, Stream]:
    """Of two Streams with one name the older has it; an object's own name decides between twins."""
    oldest_last = sorted(streams, key=lambda stream: (stream.metadata.creation_timestamp, stream.metadata.name))
    return {stream.name: stream for stream in reversed(oldest_last)}


def _text(value: str) -> str | None:
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def _name_of(document: Document) -> str:
    metadata = document.get("metadata")
    return str(metadata.get("name", "?")) if isinstance(metadata, dict) else "?"


def _issuer(spec: IssuerSpec) -> Issuer | None:
    try:
        return Issuer.from_pem(spec.name, spec.public_key)
    except KeyTextError:
        return None
