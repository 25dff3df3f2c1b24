"""What a pool's pods are made of, once its own wishes and the region's defaults have been put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rivulet_operator.model.node import TURN

if TYPE_CHECKING:
    from rivulet_operator.model.kinds import Json
    from rivulet_operator.model.node import Node
    from rivulet_operator.model.region import Region

MEDIA_RESOURCES: Json = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}}
TURN_RESOURCES: Json = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}
DIRECTOR_RESOURCES: Json = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}


@dataclass(frozen=True, kw_only=True)
class Images:
    """The images that the operator was installed with."""

    media: str
    coturn: str


@dataclass(frozen=True, kw_only=True)
class Choices:
    """The inputs of a slot's template that users see; a change of any of them rolls."""

    image: str
    guard_image: str | None
    pull_secrets: tuple[str, ...]
    resources: Json
    node_selector: Json
    tolerations: tuple[Json, ...]


def choose(node: Node, region: Region, images: Images) -> Choices:
    """A pool's wishes before the region's defaults before the install's; a TURN server does not run the media image."""
    defaults = region.defaults
    media = defaults.image or images.media
    turn = node.role == TURN
    return Choices(
        image=node.pod.image or (images.coturn if turn else media),
        guard_image=media if turn else None,
        pull_secrets=defaults.pull_secrets,
        resources=node.pod.resources or _resources(defaults.resources, turn=turn),
        node_selector=defaults.node_selector if node.pod.node_selector is None else node.pod.node_selector,
        tolerations=defaults.tolerations if node.pod.tolerations is None else node.pod.tolerations,
    )


def _resources(defaults: Json | None, *, turn: bool) -> Json:
    return TURN_RESOURCES if turn else defaults or MEDIA_RESOURCES
