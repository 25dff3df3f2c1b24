"""CDNNode: a pool of nodes of one role."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rivulet_operator.model.kinds import CDN_NODE, Json
from rivulet_operator.model.owner import Identity, identity

if TYPE_CHECKING:
    from collections.abc import Mapping

TURN = "turn"


@dataclass(frozen=True, kw_only=True)
class PodSpec:
    """What a pool's pods have that the region's defaults do not say."""

    image: str | None = None
    resources: Json | None = None
    node_selector: Json | None = None
    tolerations: tuple[Json, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Node:
    """A CDNNode as the operator needs it. `replicas` is None until somebody has said how many."""

    identity: Identity
    role: str
    region: str
    replicas: int | None
    viewers: int = 500
    egress_mbps: int = 1000
    media_threads: int = 0
    publisher_mbps: int = 50
    exposure: str = "hostPort"
    drain_seconds: int = 600
    pod: PodSpec = PodSpec()
    status: Json = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Begins the names of its slots."""
        return self.identity.name


def parse(body: Json) -> Node:
    """A CDNNode from the API server, which has checked it against the schema."""
    spec = body["spec"]
    capacity: Mapping[str, int] = spec.get("capacity", {})
    return Node(
        identity=identity(CDN_NODE, body),
        role=spec["role"],
        region=spec["region"],
        replicas=spec.get("replicas"),
        viewers=capacity.get("viewers", 500),
        egress_mbps=capacity.get("egressMbps", 1000),
        media_threads=capacity.get("mediaThreads", 0),
        publisher_mbps=capacity.get("publisherMbps", 50),
        exposure=spec.get("exposure", "hostPort"),
        drain_seconds=spec.get("drain", {}).get("seconds", 600),
        pod=_pod(spec.get("pod", {})),
        status=body.get("status", {}),
    )


def _pod(spec: Json) -> PodSpec:
    tolerations = spec.get("tolerations")
    return PodSpec(
        image=spec.get("image"),
        resources=spec.get("resources"),
        node_selector=spec.get("nodeSelector"),
        tolerations=None if tolerations is None else tuple(tolerations),
    )
