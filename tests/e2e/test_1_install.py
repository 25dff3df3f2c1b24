"""What stands after the install of two regions, and what each part may do."""

import json
from typing import Any

import pytest

from rivulet_scene.command import CommandError
from rivulet_scene.http import get
from rivulet_scene.region import NAMESPACE, SYSTEM_NAMESPACE, Region
from rivulet_scene.waiting import until
from scene import Cdn, digests, table_of

GIB = 1024**3


@pytest.mark.timeout(900)  # the install of both regions
def test_three_ready_nodes_a_region_and_six_in_every_table(cdn: Cdn) -> None:
    """E1 E9 P1 P4 P5: one origin and two edges each; every node's own table shows all six, with one digest."""
    for region in (cdn.eu, cdn.us):
        roles = sorted(pod["metadata"]["labels"]["rivulet.dev/role"] for pod in region.pods())
        assert roles == ["edge", "edge", "origin", *(["turn"] if region is cdn.eu else [])]
    tables = [(region, pod) for region in (cdn.eu, cdn.us) for pod in region.pods() if role_of(pod) != "turn"]
    assert len(tables) == 6
    until(
        lambda: {len(table_of(*place)["nodes"]) for place in tables} == {6}, "six nodes in all six tables", seconds=30
    )
    until(lambda: len(digests(cdn.eu, cdn.us)) == 1, "one digest", seconds=15)


def role_of(pod: dict[str, Any]) -> str:
    return str(pod["metadata"]["labels"]["rivulet.dev/role"])


def test_adding_a_region_left_the_first_alone(cdn: Cdn) -> None:
    """E8 D3: an eu viewer's gap < 1 s while us came; eu's pods are the same and never restarted."""
    seen = cdn.seen_while_us_came
    assert seen["video"]["longest_gap_ms"] - seen["longest_stall_ms"] < 1000, seen
    assert cdn.eu.uids() == cdn.eu_uids_before
    restarts = [status["restartCount"] for pod in cdn.eu.pods() for status in pod["status"]["containerStatuses"]]
    assert set(restarts) == {0}


@pytest.mark.timeout(180)
def test_an_edge_needs_role_and_region_only(cdn: Cdn) -> None:
    """P13 O1: ten lines; replicas are written once, by rivulet-scaler."""
    cdn.us.apply(small_edge("small"))
    until(lambda: cdn.us.get("cdnnode", "small")["spec"].get("replicas") == 1, "replicas written", seconds=30)
    fields = managed_fields(cdn.us, "small")
    managers = {each["manager"] for each in fields if "f:replicas" in each["fieldsV1"].get("f:spec", {})}
    assert managers == {"rivulet-scaler"}
    until(lambda: "small-0" in cdn.us.uids(), "its pod", seconds=60)
    cdn.us.kubectl("delete", "cdnnode", "small", "--wait=true")
    until(lambda: "small-0" not in cdn.us.uids(), "gone with its owner", seconds=60)


def managed_fields(region: Region, name: str) -> list[dict[str, Any]]:
    shown = region.kubectl("get", "cdnnode", name, "-o", "json", "--show-managed-fields")
    return list(json.loads(shown)["metadata"]["managedFields"])


def small_edge(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "rivulet.dev/v1alpha1",
        "kind": "CDNNode",
        "metadata": {"name": name},
        "spec": {"role": "edge", "region": "us"},
    }


def test_one_image_and_small_pods(cdn: Cdn) -> None:
    """P3 P7: the role is the only difference; memory limits ≤ 2 GiB."""
    media = [pod for pod in cdn.eu.pods() if role_of(pod) != "turn"]
    containers = [container for pod in media for container in pod["spec"]["containers"]]
    assert len({container["image"] for container in containers}) == 1
    different = [
        {variable["name"] for variable in container["env"] if variable not in containers[0]["env"]}
        for container in containers
    ]
    of_its_own = {"RIVULET_ROLE", "RIVULET_SLOT", "RIVULET_MEDIA_PORT"}
    of_its_pool = {
        "RIVULET_CAPACITY_VIEWERS",
        "RIVULET_DRAIN_SECONDS",
        "RIVULET_EGRESS_MBPS",
        "RIVULET_MEDIA_THREADS",
        "RIVULET_PUBLISHER_MBPS",
    }
    assert set().union(*different) <= of_its_own | of_its_pool
    for container in containers:
        assert in_bytes(container["resources"]["limits"]["memory"]) <= 2 * GIB


def in_bytes(quantity: str) -> int:
    units = {"Ki": 1024, "Mi": 1024**2, "Gi": GIB, "M": 10**6, "G": 10**9}
    suffix = quantity.lstrip("0123456789")
    return int(quantity.removesuffix(suffix)) * units.get(suffix, 1)


def test_pods_are_restricted_and_media_hold_no_credentials(cdn: Cdn) -> None:
    """S4: no service account token in media pods; non-root, read-only, no capabilities anywhere."""
    for pod in cdn.eu.get("pods") + cdn.eu.get("pods", namespace=SYSTEM_NAMESPACE):
        for container in pod["spec"]["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] is True, pod["metadata"]["name"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"]["drop"] == ["ALL"]
        if "rivulet.dev/role" in pod["metadata"]["labels"]:
            mounts = [
                mount["mountPath"]
                for container in pod["spec"]["containers"]
                for mount in container.get("volumeMounts", [])
            ]
            assert "/var/run/secrets/kubernetes.io/serviceaccount" not in mounts


@pytest.mark.parametrize(
    ("verb", "what", "namespace"),
    [
        ("list", "secrets", "kube-system"),
        ("create", "pods", NAMESPACE),
        ("create", "clusterroles", ""),
        ("delete", "cdnnodes.rivulet.dev", NAMESPACE),
        ("get", "configmaps", "default"),
        ("patch", "nodes", ""),
    ],
)
def test_the_operator_may_not_do_what_it_does_not_need(cdn: Cdn, verb: str, what: str, namespace: str) -> None:
    """S4: least rights."""
    accounts = cdn.eu.get("pods", namespace=SYSTEM_NAMESPACE)
    user = f"system:serviceaccount:{SYSTEM_NAMESPACE}:{accounts[0]['spec']['serviceAccountName']}"
    with pytest.raises(CommandError, match="exit status 1"):
        cdn.eu.kubectl("auth", "can-i", verb, what, "--as", user, namespace=namespace or "default")


@pytest.mark.timeout(120)
def test_settings_apply_by_themselves(cdn: Cdn) -> None:
    """P14: done is observedGeneration equal to generation and Reconciling False."""
    cdn.eu.kubectl("patch", "cdnnode", "edge-eu", "--type=merge", "-p", '{"spec": {"drain": {"seconds": 300}}}')

    def done() -> bool:
        node = cdn.eu.get("cdnnode", "edge-eu")
        reconciling = cdn.eu.condition("cdnnode", "edge-eu", "Reconciling")
        return (
            node["status"]["observedGeneration"] == node["metadata"]["generation"]
            and reconciling is not None
            and reconciling["status"] == "False"
        )

    until(done, "applied", seconds=60)


def test_nonsense_is_refused_with_a_sentence(cdn: Cdn) -> None:
    """Bad input: the API server says what to do."""
    for patch, words in (
        ('{"spec": {"drain": {"seconds": 999999}}}', "3500"),
        ('{"spec": {"role": "origin"}}', "immutable"),
        ('{"spec": {"exposure": "carrierPigeon"}}', "hostPort"),
    ):
        with pytest.raises(CommandError, match=words):
            cdn.eu.kubectl("patch", "cdnnode", "edge-eu", "--type=merge", "-p", patch)


def test_the_front_door_answers_from_outside(cdn: Cdn) -> None:
    """L1 L13: one address per region, plain GET, readable JSON, CORS."""
    for region in (cdn.eu, cdn.us):
        answer = get(f"{region.door}/?action=server_list")
        assert answer.status == 200
        assert list(answer.json) == ["server", "flash", "ws", "wss"]
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
