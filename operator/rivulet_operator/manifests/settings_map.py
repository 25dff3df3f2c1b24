"""A pool's settings that apply at a node's next start, without a new pod template: one ConfigMap per CDNNode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rivulet_operator.manifests.metadata import common_labels, manifest
from rivulet_operator.model import labels
from rivulet_operator.model.kinds import CONFIG_MAP

if TYPE_CHECKING:
    from rivulet_operator.model.kinds import Json
    from rivulet_operator.model.node import Node

FROM_SETTINGS = {
    "RIVULET_CAPACITY_VIEWERS": "capacityViewers",
    "RIVULET_EGRESS_MBPS": "egressMbps",
    "RIVULET_MEDIA_THREADS": "mediaThreads",
    "RIVULET_PUBLISHER_MBPS": "publisherMbps",
    "RIVULET_DRAIN_SECONDS": "drainSeconds",
}


def settings_name(node: Node) -> str:
    """The ConfigMap's name."""
    return f"{node.name}-settings"


def settings_map(node: Node) -> Json:
    """Its manifest."""
    data = {
        "capacityViewers": str(node.viewers),
        "egressMbps": str(node.egress_mbps),
        "mediaThreads": str(node.media_threads),
        "publisherMbps": str(node.publisher_mbps),
        "drainSeconds": str(node.drain_seconds),
    }
    tags = {**common_labels(node.role, node.region), labels.NODE: node.name}
    return manifest(CONFIG_MAP, settings_name(node), node.identity, tags, data=data)
