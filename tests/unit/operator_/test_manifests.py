"""Manifests as whole values: what the cluster gets, to the letter."""

from __future__ import annotations

from typing import Any

from rivulet_operator.manifests import director, slot
from rivulet_operator.manifests.choices import Images, choose
from rivulet_operator.manifests.settings_map import settings_map
from rivulet_operator.manifests.slot import Marks
from rivulet_operator.model import node as nodes
from rivulet_operator.model import region as regions

OWNER = {
    "apiVersion": "rivulet.dev/v1alpha1",
    "kind": "CDNNode",
    "name": "edge-eu",
    "uid": "uid-edge-eu",
    "controller": True,
    "blockOwnerDeletion": False,
}
SLOT_LABELS = {
    "app.kubernetes.io/name": "rivulet",
    "app.kubernetes.io/component": "edge",
    "app.kubernetes.io/managed-by": "rivulet-operator",
    "rivulet.dev/region": "eu",
    "rivulet.dev/node": "edge-eu",
    "rivulet.dev/slot": "edge-eu-0",
    "rivulet.dev/role": "edge",
}
POD_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "runAsGroup": 10001,
    "fsGroup": 10001,
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONTAINER_SECURITY = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
LOST_HOST = [
    {"key": f"node.kubernetes.io/{state}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30}
    for state in ("not-ready", "unreachable")
]


def _field(path: str) -> dict[str, Any]:
    return {"fieldRef": {"fieldPath": path}}


def _setting(key: str) -> dict[str, Any]:
    return {"configMapKeyRef": {"name": "edge-eu-settings", "key": key, "optional": True}}


EDGE_POD = {
    "automountServiceAccountToken": False,
    "enableServiceLinks": False,
    "terminationGracePeriodSeconds": 3600,
    "shareProcessNamespace": True,
    "securityContext": POD_SECURITY,
    "tolerations": LOST_HOST,
    "containers": [
        {
            "name": "media",
            "image": "media:1",
            "imagePullPolicy": "IfNotPresent",
            "command": ["rivulet-media", "node"],
            "env": [
                {"name": "RIVULET_ROLE", "value": "edge"},
                {"name": "RIVULET_SLOT", "value": "edge-eu-0"},
                {"name": "RIVULET_MEDIA_PORT", "value": "7003"},
                {"name": "RIVULET_HTTP_PORT", "value": "8080"},
                {"name": "RIVULET_ENTRY", "value": "http://rivulet-director-internal:7443"},
                {"name": "RIVULET_JOIN_TOKEN_FILE", "value": "/var/run/rivulet/join/token"},
                {"name": "RIVULET_KUBE_NODE", "valueFrom": _field("spec.nodeName")},
                {"name": "RIVULET_POD_IP", "valueFrom": _field("status.podIP")},
                {"name": "RIVULET_POD_UID", "valueFrom": _field("metadata.uid")},
                {"name": "RIVULET_CAPACITY_VIEWERS", "valueFrom": _setting("capacityViewers")},
                {"name": "RIVULET_EGRESS_MBPS", "valueFrom": _setting("egressMbps")},
                {"name": "RIVULET_MEDIA_THREADS", "valueFrom": _setting("mediaThreads")},
                {"name": "RIVULET_PUBLISHER_MBPS", "valueFrom": _setting("publisherMbps")},
                {"name": "RIVULET_DRAIN_SECONDS", "valueFrom": _setting("drainSeconds")},
            ],
            "ports": [
                {"name": "media-udp", "containerPort": 7003, "hostPort": 7003, "protocol": "UDP"},
                {"name": "media-tcp", "containerPort": 7003, "hostPort": 7003, "protocol": "TCP"},
                {"name": "http", "containerPort": 8080, "protocol": "TCP"},
            ],
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}},
            "securityContext": CONTAINER_SECURITY,
            "startupProbe": {
                "httpGet": {"path": "/healthz", "port": "http"},
                "timeoutSeconds": 5,
                "periodSeconds": 1,
                "failureThreshold": 60,
            },
            "readinessProbe": {
                "httpGet": {"path": "/readyz", "port": "http"},
                "timeoutSeconds": 2,
                "periodSeconds": 1,
                "failureThreshold": 3,
            },
            "livenessProbe": {
                "httpGet": {"path": "/healthz", "port": "http"},
                "timeoutSeconds": 5,
                "periodSeconds": 5,
                "failureThreshold": 6,
            },
            "volumeMounts": [
                {"name": "join", "mountPath": "/var/run/rivulet/join", "readOnly": True},
                {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a directory of the container
            ],
        }
    ],
    "volumes": [
        {"name": "join", "secret": {"secretName": "rivulet-join", "defaultMode": 0o440}},
        {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
    ],
}


def _node(role: str = "edge", **spec: Any) -> nodes.Node:
    metadata = {"name": "edge-eu", "namespace": "cdn", "uid": "uid-edge-eu"}
    return nodes.parse({"metadata": metadata, "spec": {"role": role, "region": "eu", **spec}})


def _region(**spec: Any) -> regions.Region:
    metadata = {"name": "eu", "namespace": "cdn", "uid": "uid-eu"}
    return regions.parse({"metadata": metadata, "spec": {"host": "eu.example", **spec}})


def _made(node: nodes.Node, region: regions.Region | None = None) -> slot.Made:
    images = Images(media="media:1", coturn="coturn:1")
    return slot.make(node, "edge-eu-0", 7003, choose(node, region or _region(), images))


def test_an_edge_is_a_deployment_of_one_restricted_pod_s3_d9() -> None:
    made = _made(_node())
    body = slot.deployment(_node(), "edge-eu-0", made, Marks(port=7003, drain="T", resource_version="5"))
    annotations = body["metadata"].pop("annotations")
    assert body == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "edge-eu-0",
            "namespace": "cdn",
            "labels": SLOT_LABELS,
            "ownerReferences": [OWNER],
            "resourceVersion": "5",
        },
        "spec": {
            "replicas": 1,
            "revisionHistoryLimit": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": {"app.kubernetes.io/name": "rivulet", "rivulet.dev/slot": "edge-eu-0"}},
            "template": {"metadata": {"labels": SLOT_LABELS}, "spec": EDGE_POD},
        },
    }
    assert annotations.keys() == {f"rivulet.dev/{mark}" for mark in ("revision", "template", "media-port", "drain")}


def test_role_is_the_only_difference_between_an_origin_and_an_edge_p7() -> None:
    text = str(_made(_node()).template).replace("'edge'", "'ROLE'")
    assert str(_made(_node("origin")).template).replace("'origin'", "'ROLE'") == text


def test_the_revision_changes_with_what_users_see_and_with_nothing_else() -> None:
    base = _made(_node()).revision
    seen = [
        _made(_node(pod={"image": "media:2"})),
        _made(_node(pod={"resources": {"limits": {"memory": "2Gi"}}})),
        _made(_node(pod={"nodeSelector": {"zone": "a"}})),
        _made(_node(pod={"tolerations": [{"operator": "Exists"}]})),
        _made(_node(), _region(nodeDefaults={"image": "media:3"})),
        _made(_node(), _region(nodeDefaults={"imagePullSecrets": [{"name": "pull"}]})),
    ]
    assert len({base, *(made.revision for made in seen)}) == 1 + len(seen)
    unseen = [_node(capacity={"viewers": 1}), _node(drain={"seconds": 1}), _node(replicas=7)]
    assert {_made(node).revision for node in unseen} == {base}


def test_a_pools_wishes_come_before_the_regions_defaults() -> None:
    region = _region(nodeDefaults={"image": "media:3", "nodeSelector": {"zone": "a"}, "portRange": {"first": 7100}})
    assert _made(_node(), region).template["spec"]["nodeSelector"] == {"zone": "a"}
    assert "nodeSelector" not in _made(_node(pod={"nodeSelector": {}}), region).template["spec"]
    assert _made(_node(pod={"image": "own:1"}), region).template["spec"]["containers"][0]["image"] == "own:1"
    assert (region.defaults.first_port, region.defaults.last_port) == (7100, 7999)


def test_settings_that_apply_at_the_next_start_stand_in_a_config_map() -> None:
    body = settings_map(_node(capacity={"viewers": 9}))
    assert body["metadata"]["name"] == "edge-eu-settings"
    assert body["data"] == {
        "capacityViewers": "9",
        "egressMbps": "1000",
        "mediaThreads": "0",
        "publisherMbps": "50",
        "drainSeconds": "600",
    }


def test_a_turn_server_is_coturn_with_a_guard_and_no_rights_n4() -> None:
    pod = _made(_node("turn"), _region(nodeDefaults={"image": "media:3"})).template["spec"]
    assert [(c["name"], c["image"], c["command"]) for c in (*pod["initContainers"], *pod["containers"])] == [
        ("render", "media:3", ["rivulet-media", "turn-guard", "--render"]),
        ("coturn", "coturn:1", ["turnserver", "-c", "/var/lib/coturn/turnserver.conf"]),
        ("guard", "media:3", ["rivulet-media", "turn-guard"]),
    ]
    assert pod["automountServiceAccountToken"] is False
    assert pod["containers"][0]["ports"] == [
        {"name": "turn-udp", "containerPort": 3478, "hostPort": 3478, "protocol": "UDP"},
        {"name": "turn-tcp", "containerPort": 3478, "hostPort": 3478, "protocol": "TCP"},
    ]
    capable = {**CONTAINER_SECURITY, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}
    security = [c["securityContext"] for c in (*pod["initContainers"], *pod["containers"])]
    assert security == [CONTAINER_SECURITY, capable, CONTAINER_SECURITY]


def test_directors_are_reached_in_three_ways() -> None:
    wishes = {"serviceType": "NodePort", "publicNodePort": 30080, "internalNodePort": 30743}
    specs = {body["metadata"]["name"]: body["spec"] for body in director.services(_region(directors=wishes))}
    selector = {"app.kubernetes.io/name": "rivulet", "app.kubernetes.io/component": "director"}
    public = {"name": "public", "port": 8080, "targetPort": "public", "protocol": "TCP"}
    internal = {"name": "internal", "port": 7443, "targetPort": "internal", "protocol": "TCP"}
    assert specs == {
        "rivulet-director": {
            "type": "NodePort",
            "ipFamilyPolicy": "PreferDualStack",
            "selector": selector,
            "ports": [{**public, "nodePort": 30080}],
        },
        "rivulet-director-internal": {
            "type": "NodePort",
            "ipFamilyPolicy": "PreferDualStack",
            "selector": selector,
            "ports": [{**internal, "nodePort": 30743}],
            "publishNotReadyAddresses": True,
        },
        "rivulet-directors": {
            "type": "ClusterIP",
            "clusterIP": "None",
            "selector": selector,
            "ports": [internal],
            "publishNotReadyAddresses": True,
        },
    }


def test_directors_know_their_region_and_where_their_files_are() -> None:
    made = director.make(_region(), "media:1", "cluster-1")
    container = made.template["spec"]["containers"][0]
    assert container["command"] == ["rivulet-media", "director"]
    assert {entry["name"]: entry.get("value", "FIELD") for entry in container["env"]} == {
        "RIVULET_REGION": "eu",
        "RIVULET_NAMESPACE": "cdn",
        "RIVULET_CLUSTER_ID": "cluster-1",
        "RIVULET_PUBLIC_PORT": "8080",
        "RIVULET_INTERNAL_PORT": "7443",
        "RIVULET_SIBLINGS": "dns://rivulet-directors:7443",
        "RIVULET_JOIN_TOKEN_FILE": "/var/run/rivulet/join/token",
        "RIVULET_OPERATOR_TOKEN_FILE": "/var/run/rivulet/operator/token",
        "RIVULET_TURN_SECRET_FILE": "/var/run/rivulet/turn/secret",
        "RIVULET_STATE_DIR": "/var/lib/rivulet",
        "RIVULET_POD_IP": "FIELD",
    }
    strategy = director.deployment(_region(), made)["spec"]["strategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
