"""A slot as it stands in the cluster: its Deployment and the pods that bear its name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rivulet_operator.model import labels

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rivulet_operator.model.kinds import Json


@dataclass(frozen=True, kw_only=True)
class Pod:
    """A pod of ours. `running`: a container of it runs, so it may hold sessions; `ports` are taken on its host."""

    name: str
    host: str = ""
    ip: str = ""
    ready: bool = False
    running: bool = False
    ports: tuple[int, ...] = ()
    created: str = ""
    ending: bool = False
    trouble: str = ""


@dataclass(frozen=True, kw_only=True)
class Slot:
    """A node's stable name and port. `template` is the pod template as it was made with `revision`.

    `rolled`: the cluster has seen the last change of the Deployment and its one pod is of that template.
    """

    name: str
    pool: str
    role: str
    uid: str
    resource_version: str
    revision: str
    template: Json
    port: int
    drain: str | None = None
    drain_for: str | None = None
    deleting: bool = False
    rolled: bool = True
    pods: tuple[Pod, ...] = ()

    @property
    def ordinal(self) -> int:
        """The number at the end of its name."""
        return int(self.name.rpartition("-")[2])

    @property
    def running(self) -> bool:
        """Some pod of it runs. A process that does not run holds no sessions."""
        return self.processes > 0

    @property
    def processes(self) -> int:
        """How many pods of it run; more than one while an older one ends."""
        return sum(pod.running for pod in self.pods)

    @property
    def ready(self) -> bool:
        """Its current pod is Ready."""
        return any(pod.ready and not pod.ending for pod in self.pods)

    @property
    def host(self) -> str:
        """The Kubernetes node of its current pod; empty if it has none."""
        return self._current.host if self._current else ""

    @property
    def ip(self) -> str:
        """The first address of its current pod; empty if it has none."""
        return self._current.ip if self._current else ""

    @property
    def _current(self) -> Pod | None:
        placed = (pod for pod in self.pods if pod.host)
        return max(placed, key=lambda pod: (not pod.ending, pod.created), default=None)

    @property
    def trouble(self) -> str:
        """Why its pod does not run, in Kubernetes' words; empty if nothing is known to be wrong."""
        return next((pod.trouble for pod in self.pods if pod.trouble), "")


def parse_pod(body: Json) -> Pod:
    """A pod from the API server."""
    spec, status = body["spec"], body.get("status", {})
    containers = status.get("containerStatuses", [])
    ended = status.get("phase") in {"Succeeded", "Failed"}
    return Pod(
        name=body["metadata"]["name"],
        host=spec.get("nodeName", ""),
        ip=status.get("podIP", ""),
        ready=any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", ())),
        running=any("running" in container.get("state", {}) for container in containers),
        ports=() if ended else tuple(sorted(_host_ports(spec))),
        created=body["metadata"].get("creationTimestamp") or "",
        ending="deletionTimestamp" in body["metadata"] or ended,
        trouble=_trouble(status),
    )


def _host_ports(spec: Json) -> set[int]:
    return {port["hostPort"] for c in spec["containers"] for port in c.get("ports", ()) if "hostPort" in port}


def _trouble(status: Json) -> str:
    for condition in status.get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return str(condition.get("message") or condition.get("reason", ""))
    for container in status.get("containerStatuses", ()):
        waiting = container.get("state", {}).get("waiting")
        if waiting and waiting.get("reason") not in {None, "ContainerCreating", "PodInitializing"}:
            return f"{waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
    return ""


def parse_slot(body: Json, pods: Iterable[Pod]) -> Slot:
    """A slot's Deployment from the API server, with its pods."""
    metadata = body["metadata"]
    marks, tags = metadata.get("annotations", {}), metadata["labels"]
    return Slot(
        name=metadata["name"],
        pool=tags[labels.NODE],
        role=tags[labels.ROLE],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        revision=marks.get(labels.REVISION, ""),
        template=template_of(body),
        port=int(marks.get(labels.MEDIA_PORT, "0")),
        drain=marks.get(labels.DRAIN),
        drain_for=marks.get(labels.DRAIN_FOR),
        deleting="deletionTimestamp" in metadata,
        rolled=rolled(body),
        pods=tuple(sorted(pods, key=lambda pod: pod.name)),
    )


def template_of(body: Json) -> Json:
    """The pod template that a Deployment of ours was made with; empty if the annotation is lost or not ours."""
    text = body["metadata"].get("annotations", {}).get(labels.TEMPLATE, "{}")
    try:
        template = json.loads(text)
    except ValueError:
        return {}
    return template if isinstance(template, dict) else {}


def rolled(body: Json) -> bool:
    """The cluster has seen a Deployment's last change, and all its pods are of the current template."""
    status = body.get("status", {})
    seen = status.get("observedGeneration", 0) >= body["metadata"].get("generation", 1)
    return bool(seen and status.get("updatedReplicas", 0) == status.get("replicas", 0) == body["spec"]["replicas"])
