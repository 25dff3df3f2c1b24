"""What statuses hold and what kubectl shows of them."""

from typing import Any

import pytest
import yaml

from kube_api import ROOT, KubeApi
from rivulet_api import change, condition, resource

STATUSES: dict[str, tuple[str, dict[str, Any]]] = {
    "node": (
        "CDNNode",
        {
            "slots": [
                {
                    "name": "kept-0",
                    "port": 7000,
                    "address": "203.0.113.10",
                    "ready": True,
                    "state": "up",
                    "incarnation": "3f9c0a11be42",
                    "revision": "0123456789ab",
                    "sessions": 2,
                    "draining": False,
                }
            ],
            "observedGeneration": 1,
            "readyReplicas": 1,
            "joinedReplicas": 1,
            "sessions": 2,
            "conditions": [condition("Ready", "True")],
        },
    ),
    "stream": (
        "Stream",
        {
            "origin": "origin-eu-0",
            "startedAt": "2026-01-01T00:00:00Z",
            "tracks": [{"kind": "video", "codec": "h264", "detail": "profile-level-id=42e01f"}],
            "codecs": "h264+opus",
            "viewers": 3,
            "urls": {"whip": "http://h/whip/kept", "whep": "http://h/whep/kept", "play": "http://h/play/kept"},
            "conditions": [condition("Live", "True")],
        },
    ),
}


@pytest.mark.parametrize("case", STATUSES)
@pytest.mark.usefixtures("made")
def test_a_status_keeps_all_that_the_contract_names(kube: KubeApi, case: str) -> None:
    kind, status = STATUSES[case]
    answer = change(kube, kind, "kept", {"status": status}, "/status?fieldValidation=Strict")
    assert answer.ok, answer.message
    assert answer.body["status"].items() >= status.items()


@pytest.mark.parametrize(
    ("kind", "columns", "wide"),
    [
        ("stream", "NAME LIVE ORIGIN CODECS VIEWERS AGE", "REASON PUBLISH WATCH PAGE"),
        ("cdnnode", "NAME ROLE REGION DESIRED READY JOINED SESSIONS HEALTHY AGE", "REASON ROLLOUT PENDING"),
        ("cdnregion", "NAME HOST NODES READY STREAMS VIEWERS MESH HEALTHY AGE", "REASON MESH ADDRESS"),
    ],
)
@pytest.mark.usefixtures("made")
def test_kubectl_get_shows_the_columns(kube: KubeApi, kind: str, columns: str, wide: str) -> None:
    kube.apply(resource("CDNRegion", "eu", {"host": "eu.example.com"}))
    assert kube.kubectl("get", kind).splitlines()[0].split() == columns.split()
    assert kube.kubectl("get", kind, "-o", "wide").splitlines()[0].split() == f"{columns} {wide}".split()


def test_everything_is_explained(kube: KubeApi) -> None:
    silent = []
    for path in (ROOT / "crds").glob("*.yaml"):
        definition = yaml.safe_load(path.read_text())
        schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        silent += unexplained(definition["spec"]["names"]["kind"], schema["properties"]["spec"])
    assert silent == []
    assert "How many nodes" in kube.kubectl("explain", "cdnnode.spec.replicas")


# What these are is said one level up, or in Kubernetes' own documentation.
PLAIN = {"name", "key", "operator", "value", "effect", "tolerationSeconds", "requests", "limits", "first", "last"}


def unexplained(where: str, schema: dict[str, Any]) -> list[str]:
    found = []
    for name, child in schema.get("properties", {}).items():
        if "description" not in child and name not in PLAIN:
            found.append(f"{where}.{name}")
        found += unexplained(f"{where}.{name}", child.get("items", child))
    return found
