"""The pod of a TURN server: coturn, and beside it a guard that lets it relay to the region's media pods only.

The guard is part of the media image; how it is called stands in `rivulet_media/turn_guard.py`. It renders coturn's
configuration before coturn starts and keeps the allowed peers in coturn's database up to date from then on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rivulet_operator.manifests import pod as parts
from rivulet_operator.manifests.media import ENTRY, TOKEN_FILE
from rivulet_operator.manifests.secrets import JOIN, TURN

if TYPE_CHECKING:
    from rivulet_operator.manifests.choices import Choices
    from rivulet_operator.model.kinds import Json

PORT = 3478
GRACE_SECONDS = 30
STATE: Json = {"name": "coturn", "emptyDir": {"sizeLimit": "64Mi"}}
STATE_MOUNT: Json = {"name": "coturn", "mountPath": "/var/lib/coturn"}
CONFIG = "/var/lib/coturn/turnserver.conf"
GUARD_RESOURCES: Json = {"requests": {"cpu": "10m", "memory": "48Mi"}, "limits": {"memory": "256Mi"}}


def pod(choices: Choices) -> Json:
    """The spec of the pod; it relays from the pod's own address."""
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": parts.pod_security(),
        **parts.pull_secrets(choices.pull_secrets),
        **({"nodeSelector": choices.node_selector} if choices.node_selector else {}),
        "tolerations": [*parts.lost_host_tolerations(), *choices.tolerations],
        "initContainers": [_guard(choices, "render", ["--render"], "turn")],
        "containers": [_coturn(choices), _guard(choices, "guard", [], "join")],
        "volumes": [parts.secret_volume("join", JOIN), parts.secret_volume("turn", TURN), STATE, parts.TMP],
    }


def _coturn(choices: Choices) -> Json:
    answers = {"tcpSocket": {"port": "turn-tcp"}, "timeoutSeconds": 2}
    return {
        "name": "coturn",
        "image": choices.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["turnserver", "-c", CONFIG],
        "ports": [
            {"name": f"turn-{protocol.lower()}", "containerPort": PORT, "hostPort": PORT, "protocol": protocol}
            for protocol in ("UDP", "TCP")
        ],
        "resources": choices.resources,
        "securityContext": _coturn_security(),
        "readinessProbe": {**answers, "periodSeconds": 1, "failureThreshold": 3},
        "livenessProbe": {**answers, "periodSeconds": 5, "failureThreshold": 6},
        "volumeMounts": [STATE_MOUNT, parts.TMP_MOUNT],
    }


def _coturn_security() -> Json:
    """The stock image's turnserver bears this file capability, and does not start where it may not have it."""
    return {**parts.container_security(), "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}


def _guard(choices: Choices, name: str, arguments: list[str], secret: str) -> Json:
    plain = {
        "RIVULET_ENTRY": ENTRY,
        "RIVULET_JOIN_TOKEN_FILE": TOKEN_FILE,
        "RIVULET_TURN_SECRET_FILE": "/var/run/rivulet/turn/secret",
        "RIVULET_TURN_PORT": str(PORT),
    }
    return {
        "name": name,
        "image": choices.guard_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["rivulet-media", "turn-guard", *arguments],
        "env": [*parts.values(plain), *parts.own_fields({"RIVULET_POD_IP": "status.podIP"})],
        "resources": GUARD_RESOURCES,
        "securityContext": parts.container_security(),
        "volumeMounts": [parts.secret_mount(secret), STATE_MOUNT, parts.TMP_MOUNT],
    }
