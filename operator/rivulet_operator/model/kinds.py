"""The kinds of Kubernetes objects that the operator reads or writes, and where the API serves them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

GROUP = "rivulet.dev"
VERSION = "v1alpha1"


@dataclass(frozen=True)
class Kind:
    """A kind of object: `api_version` as in manifests, `plural` as in URLs."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """The API group; empty for the core."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        """The version within the group."""
        return self.api_version.rpartition("/")[2]


CDN_REGION = Kind(f"{GROUP}/{VERSION}", "CDNRegion", "cdnregions")
CDN_NODE = Kind(f"{GROUP}/{VERSION}", "CDNNode", "cdnnodes")
STREAM = Kind(f"{GROUP}/{VERSION}", "Stream", "streams")
DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
POD = Kind("v1", "Pod", "pods")
SERVICE = Kind("v1", "Service", "services")
SECRET = Kind("v1", "Secret", "secrets")
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
SERVICE_ACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts")
ROLE = Kind("rbac.authorization.k8s.io/v1", "Role", "roles")
ROLE_BINDING = Kind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
HOST = Kind("v1", "Node", "nodes", namespaced=False)
NAMESPACE = Kind("v1", "Namespace", "namespaces", namespaced=False)
LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases")

CUSTOM = (CDN_REGION, CDN_NODE, STREAM)
MADE = (DEPLOYMENT, POD)
WATCHED = (*CUSTOM, *MADE, HOST)

BY_NAME = {
    (kind.api_version, kind.kind): kind
    for kind in (*WATCHED, SERVICE, SECRET, CONFIG_MAP, SERVICE_ACCOUNT, ROLE, ROLE_BINDING, NAMESPACE, LEASE)
}


def kind_of(manifest: Json) -> Kind:
    """The kind of a manifest by its `apiVersion` and `kind`."""
    return BY_NAME[manifest["apiVersion"], manifest["kind"]]
