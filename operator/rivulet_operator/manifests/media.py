"""The pod of an origin or an edge: one image, the role is a setting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rivulet_operator.manifests import pod as parts
from rivulet_operator.manifests.secrets import JOIN
from rivulet_operator.manifests.settings_map import FROM_SETTINGS, settings_name

if TYPE_CHECKING:
    from rivulet_operator.manifests.choices import Choices
    from rivulet_operator.model.kinds import Json
    from rivulet_operator.model.node import Node

HTTP_PORT = 8080
ENTRY = "http://rivulet-director-internal:7443"
TOKEN_FILE = "/var/run/rivulet/join/token"  # noqa: S105 - where it stands, not what it is


def pod(node: Node, name: str, port: int, choices: Choices) -> Json:
    """The spec of the pod of slot `name`, whose media port is `port` inside and outside."""
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": parts.GRACE_SECONDS,
        # A process 1 that does not listen yet never hears SIGTERM: a pod deleted as it starts would stay for the hour.
        "shareProcessNamespace": True,
        "securityContext": parts.pod_security(),
        **parts.pull_secrets(choices.pull_secrets),
        **({"nodeSelector": choices.node_selector} if choices.node_selector else {}),
        "tolerations": [*parts.lost_host_tolerations(), *choices.tolerations],
        "containers": [_container(node, name, port, choices)],
        "volumes": [parts.secret_volume("join", JOIN), parts.TMP],
    }


def _container(node: Node, name: str, port: int, choices: Choices) -> Json:
    return {
        "name": "media",
        "image": choices.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["rivulet-media", "node"],
        "env": _environment(node, name, port),
        "ports": _ports(port),
        "resources": choices.resources,
        "securityContext": parts.container_security(),
        **parts.probes("http"),
        "volumeMounts": [parts.secret_mount("join"), parts.TMP_MOUNT],
    }


def _environment(node: Node, name: str, port: int) -> list[Json]:
    """What is the node's own. No peer's name or address stands here: a node is told of them when it joins."""
    plain = {
        "RIVULET_ROLE": node.role,
        "RIVULET_SLOT": name,
        "RIVULET_MEDIA_PORT": str(port),
        "RIVULET_HTTP_PORT": str(HTTP_PORT),
        "RIVULET_ENTRY": ENTRY,
        "RIVULET_JOIN_TOKEN_FILE": TOKEN_FILE,
    }
    fields = {
        "RIVULET_KUBE_NODE": "spec.nodeName",
        "RIVULET_POD_IP": "status.podIP",
        "RIVULET_POD_UID": "metadata.uid",
    }
    return [*parts.values(plain), *parts.own_fields(fields), *_live_settings(settings_name(node))]


def _live_settings(config_map: str) -> list[Json]:
    """Read anew at every start of the container, so a change needs no new template."""
    return [
        {"name": variable, "valueFrom": {"configMapKeyRef": {"name": config_map, "key": key, "optional": True}}}
        for variable, key in FROM_SETTINGS.items()
    ]


def _ports(port: int) -> list[Json]:
    """Host and container port are one number: a masqueraded packet then keeps its port."""
    media = [
        {"name": f"media-{protocol.lower()}", "containerPort": port, "hostPort": port, "protocol": protocol}
        for protocol in ("UDP", "TCP")
    ]
    return [*media, {"name": "http", "containerPort": HTTP_PORT, "protocol": "TCP"}]
