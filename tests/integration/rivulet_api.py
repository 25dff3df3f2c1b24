"""Our resources as a test writes them: made, changed and read through a real API server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kube_api import Answer, KubeApi

GROUP = "/apis/rivulet.dev/v1alpha1/namespaces/default"
PLURALS = {"CDNRegion": "cdnregions", "CDNNode": "cdnnodes", "Stream": "streams"}
MERGE = "application/merge-patch+json"
Spec = dict[str, Any]


def resource(kind: str, name: str, spec: Spec) -> dict[str, Any]:
    """Return one resource as a document."""
    return {"apiVersion": "rivulet.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def create(kube: KubeApi, kind: str, name: str, spec: Spec, *, dry: bool = True) -> Answer:
    """Create it, unknown fields refused; a dry run goes through everything but the storage."""
    query = "?fieldValidation=Strict" + ("&dryRun=All" if dry else "")
    return kube.request("POST", f"{GROUP}/{PLURALS[kind]}{query}", resource(kind, name, spec))


def stored(kube: KubeApi, kind: str, name: str, spec: Spec) -> Spec:
    """Return the spec as it would be stored, defaults filled in."""
    answer = create(kube, kind, name, spec)
    assert answer.ok, answer.message
    return dict(answer.body["spec"])


def change(kube: KubeApi, kind: str, name: str, patch: dict[str, Any], part: str = "") -> Answer:
    """Merge a patch into it, or into a part such as /status."""
    return kube.request("PATCH", f"{GROUP}/{PLURALS[kind]}/{name}{part}", patch, media_type=MERGE)


def condition(kind: str, status: str) -> dict[str, str]:
    """Return a condition of a status."""
    words = {"reason": "Publishing", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    return {"type": kind, "status": status, **words}
