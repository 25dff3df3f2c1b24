"""CoreDNS as Kubernetes objects. Pure."""

import hashlib

from rivulet_testbed.places import DNS_SERVICE_IP

NAMESPACE = "kube-system"
NAME = "coredns"
LABELS = {"k8s-app": "kube-dns"}
# Names outside the cluster do not exist here: the answer comes at once instead of after a resolver's time-out. They
# have a block of their own, as CoreDNS asks `template` before `kubernetes`, whatever their order in a block.
COREFILE = """cluster.local:53 in-addr.arpa:53 ip6.arpa:53 {
    errors
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods insecure
        ttl 5
    }
    prometheus :9153
    cache 5
}
.:53 {
    errors
    health
    ready
    template ANY ANY {
        rcode NXDOMAIN
    }
}
"""


def manifests(image: str) -> dict[str, object]:
    """Return all objects as one List."""
    items = [*_rights(), _config_map(), _deployment(image), _service()]
    return {"apiVersion": "v1", "kind": "List", "items": items}


def _meta(name: str, *, namespaced: bool = True) -> dict[str, object]:
    return {"name": name, "labels": LABELS, **({"namespace": NAMESPACE} if namespaced else {})}


def _rights() -> list[dict[str, object]]:
    rules = [
        {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    rbac = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _meta(NAME)},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRole",
            "metadata": _meta("system:coredns", namespaced=False),
            "rules": rules,
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": _meta("system:coredns", namespaced=False),
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "system:coredns"},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}],
        },
    ]


def _config_map() -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _meta(NAME), "data": {"Corefile": COREFILE}}


def _service() -> dict[str, object]:
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
        {"name": "metrics", "port": 9153, "protocol": "TCP"},
    ]
    spec = {"selector": LABELS, "clusterIP": DNS_SERVICE_IP, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": _meta("kube-dns"), "spec": spec}


def _deployment(image: str) -> dict[str, object]:
    # A pod does not notice a changed ConfigMap; a changed template makes a new one.
    checksum = hashlib.sha256(COREFILE.encode()).hexdigest()[:12]
    template = {
        "metadata": {"labels": LABELS, "annotations": {"rivulet-testbed/corefile": checksum}},
        "spec": {
            "serviceAccountName": NAME,
            "dnsPolicy": "Default",
            "priorityClassName": "system-cluster-critical",
            "containers": [_container(image)],
            "volumes": [{"name": "config", "configMap": {"name": NAME}}],
        },
    }
    spec = {"replicas": 1, "selector": {"matchLabels": LABELS}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": _meta(NAME), "spec": spec}


def _container(image: str) -> dict[str, object]:
    return {
        "name": NAME,
        "image": image,
        "imagePullPolicy": "Never",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "resources": {"requests": {"cpu": "10m", "memory": "30Mi"}, "limits": {"memory": "170Mi"}},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 2},
        "livenessProbe": {"httpGet": {"path": "/health", "port": 8080}, "initialDelaySeconds": 30},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
    }
