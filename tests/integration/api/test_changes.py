"""What may change, when, and what is said otherwise; scale and status."""

import pytest

from kube_api import KubeApi
from rivulet_api import GROUP, Spec, change, condition

IMMUTABLE: dict[str, tuple[str, str, Spec, str]] = {
    "role": ("CDNNode", "kept", {"role": "origin"}, "role is immutable: create a CDNNode with the other role"),
    "region": ("CDNNode", "kept", {"region": "us"}, "region is immutable: create a CDNNode in the other region"),
    "name": ("Stream", "named", {"name": "other"}, "name is immutable"),
    "name added": ("Stream", "kept", {"name": "other"}, "name is immutable"),
    "name removed": ("Stream", "named", {"name": None}, "name is immutable"),
}


@pytest.mark.parametrize("case", IMMUTABLE)
@pytest.mark.usefixtures("made")
def test_what_cannot_change_says_what_to_do_instead(kube: KubeApi, case: str) -> None:
    kind, name, spec, sentence = IMMUTABLE[case]
    answer = change(kube, kind, name, {"spec": spec})
    assert answer.status == 422
    assert sentence in answer.message


@pytest.mark.usefixtures("made")
def test_the_default_name_may_be_written_out(kube: KubeApi) -> None:
    assert change(kube, "Stream", "kept", {"spec": {"name": "kept"}}).ok
    assert change(kube, "Stream", "kept", {"spec": {"name": None}}).ok


@pytest.mark.usefixtures("made")
def test_the_publishing_region_changes_only_while_the_stream_is_not_live(kube: KubeApi) -> None:
    assert change(kube, "Stream", "live", {"status": {"conditions": [condition("Live", "True")]}}, "/status").ok
    for spec in ({"region": "us"}, {"region": None, "regions": ["eu", "us"]}):
        refused = change(kube, "Stream", "live", {"spec": spec})
        assert refused.status == 422
        assert "end the publication first" in refused.message
    assert change(kube, "Stream", "live", {"spec": {"holdSeconds": 5}}).ok
    assert change(kube, "Stream", "live", {"status": {"conditions": [condition("Live", "False")]}}, "/status").ok
    assert change(kube, "Stream", "live", {"spec": {"region": "us"}}).ok


@pytest.mark.usefixtures("made")
def test_a_stream_goes_from_published_to_pulled_and_back(kube: KubeApi) -> None:
    """What stands there by default has to be taken out: the refusal says how."""
    pull = {"url": "https://cdn.example/whep/s"}
    refused = change(kube, "Stream", "kept", {"spec": {"source": {"pull": pull}}})
    assert refused.status == 422
    assert "set it to null beside pull" in refused.message
    assert change(kube, "Stream", "kept", {"spec": {"source": {"publish": None, "pull": pull}}}).ok
    assert change(kube, "Stream", "kept", {"spec": {"source": None}}).body["spec"]["source"] == {"publish": {}}


@pytest.mark.usefixtures("made")
def test_o1_a_node_scales_by_kubectl_scale_and_shows_what_an_autoscaler_needs(kube: KubeApi) -> None:
    kube.kubectl("scale", "cdnnode/kept", "--replicas=3")
    status = {"replicas": 2, "selector": "rivulet.dev/node=kept"}
    assert change(kube, "CDNNode", "kept", {"status": status}, "/status").ok
    scale = kube.request("GET", f"{GROUP}/cdnnodes/kept/scale").body
    assert (scale["spec"], scale["status"]) == ({"replicas": 3}, status)


@pytest.mark.usefixtures("made")
def test_a_status_is_written_apart_from_the_spec(kube: KubeApi) -> None:
    assert change(kube, "CDNNode", "kept", {"status": {"sessions": 7}}).ok
    assert "sessions" not in kube.request("GET", f"{GROUP}/cdnnodes/kept").body.get("status", {})
