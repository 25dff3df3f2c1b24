"""CDNRegion: the fact sheet of a region."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rivulet_operator.model.kinds import CDN_REGION, Json
from rivulet_operator.model.owner import Identity, identity

if TYPE_CHECKING:
    from collections.abc import Mapping

FIRST_PORT = 7000
LAST_PORT = 7999


@dataclass(frozen=True, kw_only=True)
class NodeDefaults:
    """What CDNNodes of the region have unless they say otherwise."""

    image: str | None = None
    pull_secrets: tuple[str, ...] = ()
    resources: Json | None = None
    tolerations: tuple[Json, ...] = ()
    node_selector: Json = field(default_factory=dict)
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    first_port: int = FIRST_PORT
    last_port: int = LAST_PORT


@dataclass(frozen=True, kw_only=True)
class Directors:
    """The region's directors and how they are reached."""

    replicas: int = 2
    service_type: str = "ClusterIP"
    public_node_port: int | None = None
    internal_node_port: int | None = None
    resources: Json | None = None


@dataclass(frozen=True, kw_only=True)
class OpenPublishing:
    """Undeclared names become Streams: at most so many, kept so long after they ended."""

    max_streams: int = 100
    keep_seconds: int = 60


@dataclass(frozen=True, kw_only=True)
class Region:
    """A CDNRegion as the operator needs it."""

    identity: Identity
    host: str
    mesh_address: str | None = None
    open_publishing: OpenPublishing | None = None
    directors: Directors = Directors()
    defaults: NodeDefaults = NodeDefaults()
    status: Json = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The region's name is the object's."""
        return self.identity.name


def parse(body: Json) -> Region:
    """A CDNRegion from the API server, which has checked it against the schema."""
    spec = body["spec"]
    opened = spec.get("openPublishing")
    return Region(
        identity=identity(CDN_REGION, body),
        host=spec["host"],
        mesh_address=spec.get("mesh", {}).get("address"),
        open_publishing=None if opened is None else _open_publishing(opened),
        directors=_directors(spec.get("directors", {})),
        defaults=_defaults(spec.get("nodeDefaults", {})),
        status=body.get("status", {}),
    )


def listed(text: str) -> tuple[str, ...]:
    """The addresses of a comma-separated list, each once."""
    return tuple(dict.fromkeys(address for part in text.split(",") if (address := part.strip())))


def _open_publishing(spec: Json) -> OpenPublishing:
    return OpenPublishing(max_streams=spec.get("maxStreams", 100), keep_seconds=spec.get("keepSeconds", 60))


def _directors(spec: Json) -> Directors:
    return Directors(
        replicas=spec.get("replicas", 2),
        service_type=spec.get("serviceType", "ClusterIP"),
        public_node_port=spec.get("publicNodePort"),
        internal_node_port=spec.get("internalNodePort"),
        resources=spec.get("resources"),
    )


def _defaults(spec: Json) -> NodeDefaults:
    ports = spec.get("portRange", {})
    return NodeDefaults(
        image=spec.get("image"),
        pull_secrets=tuple(secret["name"] for secret in spec.get("imagePullSecrets", ())),
        resources=spec.get("resources"),
        tolerations=tuple(spec.get("tolerations", ())),
        node_selector=spec.get("nodeSelector", {}),
        addresses={host: listed(text) for host, text in spec.get("addressMap", {}).items()},
        first_port=ports.get("first", FIRST_PORT),
        last_port=ports.get("last", LAST_PORT),
    )
