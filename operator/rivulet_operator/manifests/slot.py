"""A slot: the Deployment of one media node or TURN server, and the revision of the settings it was made with."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from rivulet_operator.manifests import media, turn
from rivulet_operator.manifests.metadata import canonical, common_labels, manifest, revision
from rivulet_operator.model import labels
from rivulet_operator.model.kinds import DEPLOYMENT
from rivulet_operator.model.node import TURN

if TYPE_CHECKING:
    from rivulet_operator.manifests.choices import Choices
    from rivulet_operator.model.kinds import Json
    from rivulet_operator.model.node import Node


@dataclass(frozen=True, kw_only=True)
class Made:
    """A pod template and the revision of the inputs it was made from."""

    revision: str
    template: Json


@dataclass(frozen=True, kw_only=True)
class Marks:
    """What a slot's Deployment says beside its template. `drain` is a deadline, `drain_for` why the operator set it."""

    port: int
    drain: str | None = None
    drain_for: str | None = None
    resource_version: str | None = None


def slot_labels(node: Node, name: str) -> Json:
    """Labels of a slot's Deployment and pods."""
    return {
        **common_labels(node.role, node.region),
        labels.NODE: node.name,
        labels.SLOT: name,
        labels.ROLE: node.role,
    }


def make(node: Node, name: str, port: int, choices: Choices) -> Made:
    """The template for a slot as of now. Its revision takes what users see (contract §10), not how it is rendered."""
    inputs = {"role": node.role, "exposure": node.exposure, "port": port, **asdict(choices)}
    pod = turn.pod(choices) if node.role == TURN else media.pod(node, name, port, choices)
    return Made(revision=revision(inputs), template={"metadata": {"labels": slot_labels(node, name)}, "spec": pod})


def deployment(node: Node, name: str, made: Made, marks: Marks) -> Json:
    """A slot's Deployment: one pod at a time, so the name and the port are never borne by two of its own."""
    tags = slot_labels(node, name)
    spec = {
        "replicas": 1,
        "revisionHistoryLimit": 1,
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": {labels.NAME: "rivulet", labels.SLOT: name}},
        "template": made.template,
    }
    body = manifest(DEPLOYMENT, name, node.identity, tags, spec=spec)
    body["metadata"]["annotations"] = _annotations(made, marks)
    if marks.resource_version is not None:
        body["metadata"]["resourceVersion"] = marks.resource_version
    return body


def _annotations(made: Made, marks: Marks) -> Json:
    optional = {labels.DRAIN: marks.drain, labels.DRAIN_FOR: marks.drain_for}
    return {
        labels.REVISION: made.revision,
        labels.TEMPLATE: canonical(made.template),
        labels.MEDIA_PORT: str(marks.port),
        **{name: value for name, value in optional.items() if value is not None},
    }
