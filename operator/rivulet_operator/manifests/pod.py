"""What every pod of ours has: no rights, a read-only root file system, and quick probes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rivulet_operator.model.kinds import Json

USER = 10001
LOST_HOST_SECONDS = 30
GRACE_SECONDS = 3600
TMP: Json = {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}
TMP_MOUNT: Json = {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108 - a directory of the container


def pod_security() -> Json:
    """Pod Security "restricted", for the whole pod."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Json:
    """Pod Security "restricted", for a container."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def probes(port: str) -> Json:
    """Ready within a second of being so; restarted only when it has not ticked for half a minute."""
    health = {"httpGet": {"path": "/healthz", "port": port}, "timeoutSeconds": 5}
    return {
        "startupProbe": {**health, "periodSeconds": 1, "failureThreshold": 60},
        "readinessProbe": {
            "httpGet": {"path": "/readyz", "port": port},
            "periodSeconds": 1,
            "timeoutSeconds": 2,
            "failureThreshold": 3,
        },
        "livenessProbe": {**health, "periodSeconds": 5, "failureThreshold": 6},
    }


def lost_host_tolerations() -> list[Json]:
    """A slot waits so long for a lost host before the cluster starts it elsewhere."""
    return [
        {
            "key": f"node.kubernetes.io/{state}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": LOST_HOST_SECONDS,
        }
        for state in ("not-ready", "unreachable")
    ]


def values(variables: Mapping[str, str]) -> list[Json]:
    """Environment variables with plain values."""
    return [{"name": name, "value": value} for name, value in variables.items()]


def own_fields(variables: Mapping[str, str]) -> list[Json]:
    """Environment variables taken from fields of the pod."""
    return [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in variables.items()]


def secret_volume(name: str, secret: str) -> Json:
    """A Secret's keys as files that only our user reads."""
    return {"name": name, "secret": {"secretName": secret, "defaultMode": 0o440}}


def secret_mount(name: str) -> Json:
    """Where such a volume stands in the container."""
    return {"name": name, "mountPath": f"/var/run/rivulet/{name}", "readOnly": True}


def pull_secrets(names: Sequence[str]) -> Json:
    """The pod's `imagePullSecrets`, if there are any."""
    return {"imagePullSecrets": [{"name": name} for name in names]} if names else {}
