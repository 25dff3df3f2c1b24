"""A pool of edges in region eu, as plans see it: its slots, what directors say, and what may be done about them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rivulet_operator.manifests import slot as slots
from rivulet_operator.manifests.choices import Images
from rivulet_operator.manifests.slot import Made, Marks
from rivulet_operator.model.facts import Counts, Facts, NodeFact
from rivulet_operator.model.instant import to_text
from rivulet_operator.model.kinds import CDN_NODE, CDN_REGION, DEPLOYMENT
from rivulet_operator.model.node import Node, PodSpec
from rivulet_operator.model.owner import Identity
from rivulet_operator.model.region import NodeDefaults, Region
from rivulet_operator.model.slot import Pod, Slot
from rivulet_operator.plan.outcome import Release, Removal
from rivulet_operator.plan.pool import Pool

NOW = 1_795_000_000.0
IMAGES = Images(media="media:1", coturn="coturn:1")


def who(kind: Any, name: str) -> Identity:
    return Identity(
        kind=kind, namespace="cdn", name=name, uid=f"uid-{name}", generation=1, created="2026-11-21T09:00:00Z"
    )


REGION = Region(
    identity=who(CDN_REGION, "eu"), host="eu.example", defaults=NodeDefaults(first_port=7000, last_port=7002)
)
NODE = Node(identity=who(CDN_NODE, "edge-eu"), role="edge", region="eu", replicas=1)
BLANK = Pool(node=NODE, region=REGION, images=IMAGES, facts=Facts(told=True, fresh=True))
SOON = to_text(NOW + 100)
NEW_IMAGE = replace(NODE, pod=PodSpec(image="media:2"))


def a_pod(name: str, *, running: bool = True, ready: bool = True) -> Pod:
    return Pod(name=f"{name}-pod", host="h1", ip="10.0.0.1", running=running, ready=ready, ports=(7000,))


def a_slot(ordinal: int, *, node: Node = NODE, **changes: Any) -> Slot:
    name, port = f"{node.name}-{ordinal}", 3478 if node.role == "turn" else 7000 + ordinal
    made = slots.make(node, name, port, replace(BLANK, node=node).choices)
    slot = Slot(
        name=name,
        pool=node.name,
        role=node.role,
        uid=f"uid-{name}",
        resource_version="5",
        revision=made.revision,
        template=made.template,
        port=port,
        pods=(a_pod(name),),
    )
    return replace(slot, **changes)


def a_fact(ordinal: int, viewers: int = 0, **changes: Any) -> NodeFact:
    fact = NodeFact(
        slot=f"edge-eu-{ordinal}",
        incarnation="3f9c0a11be42",
        version=1,
        role="edge",
        region="eu",
        state="up",
        counts=Counts(viewers=viewers),
    )
    return replace(fact, **changes)


def facts_of(*nodes: NodeFact, **changes: Any) -> Facts:
    return replace(Facts(told=True, fresh=True, nodes=nodes), **changes)


def stays(slot: Slot, node: Node = NODE, **marks: Any) -> Any:
    """The slot applied with the template it has."""
    made = Made(revision=slot.revision, template=slot.template)
    return slots.deployment(node, slot.name, made, Marks(port=slot.port, resource_version="5", **marks))


def becomes(slot: Slot, node: Node, **marks: Any) -> Any:
    """The slot applied with the template of now."""
    made = slots.make(node, slot.name, slot.port, replace(BLANK, node=node).choices)
    return slots.deployment(node, slot.name, made, Marks(port=slot.port, resource_version="5", **marks))


def begins(ordinal: int, port: int) -> Any:
    name = f"edge-eu-{ordinal}"
    return slots.deployment(NODE, name, slots.make(NODE, name, port, BLANK.choices), Marks(port=port))


def removal_of(ordinal: int) -> Removal:
    return Removal(kind=DEPLOYMENT, name=f"edge-eu-{ordinal}", uid=f"uid-edge-eu-{ordinal}")


def release_of(ordinal: int, *names: str) -> Release:
    return Release(kind=DEPLOYMENT, name=f"edge-eu-{ordinal}", resource_version="5", annotations=names)
