import pytest

from operator_bench import STOP_SECONDS, Bench, condition

pytestmark = pytest.mark.timeout(180)  # starts an API server


def test_a_short_manifest_becomes_slots_with_ports_of_their_own_e1_p13(bench: Bench) -> None:
    bench.region()
    bench.node("edge-eu", replicas=2)
    bench.node("origin-eu", role="origin")
    bench.start()
    bench.until(lambda: len(bench.slots("edge-eu")) == 2 and len(bench.slots("origin-eu")) == 1, "three slots")
    slots = {**bench.slots("edge-eu"), **bench.slots("origin-eu")}
    assert set(slots) == {"edge-eu-0", "edge-eu-1", "origin-eu-0"}
    ports = [body["metadata"]["annotations"]["rivulet.dev/media-port"] for body in slots.values()]
    assert sorted(ports) == ["7000", "7001", "7002"]
    assert all(body["metadata"]["ownerReferences"][0]["kind"] == "CDNNode" for body in slots.values())


def test_replicas_are_written_once_and_scale_has_the_last_word_o1(bench: Bench) -> None:
    bench.region()
    bench.node("edge-eu")
    bench.start()
    bench.until(lambda: bench.read("cdnnodes", "edge-eu")["spec"].get("replicas") == 1, "replicas 1 written")
    managers = {m["manager"]: m["operation"] for m in bench.read("cdnnodes", "edge-eu")["metadata"]["managedFields"]}
    assert managers["rivulet-scaler"] == "Apply"
    bench.kube.kubectl("-n", bench.namespace, "scale", "cdnnode/edge-eu", "--replicas=3")
    bench.until(lambda: len(bench.slots("edge-eu")) == 3, "three slots")
    assert bench.read("cdnnodes", "edge-eu")["spec"]["replicas"] == 3


def test_nothing_of_kopf_stays_on_objects_and_no_finalizer_o9(bench: Bench) -> None:
    bench.region()
    bench.node("edge-eu")
    bench.stream("s")
    bench.start()
    bench.until_condition("streams", "s", ("Ready", "True", "Publishable"))
    bench.until(lambda: bench.slots("edge-eu"), "a slot")
    for path, name in (("cdnregions", "eu"), ("cdnnodes", "edge-eu"), ("streams", "s"), ("deployments", "edge-eu-0")):
        metadata = bench.read(path, name)["metadata"]
        assert "finalizers" not in metadata
        assert not [mark for mark in metadata.get("annotations", {}) if "kopf" in mark]


def test_a_bad_image_can_be_corrected_without_directors(bench: Bench) -> None:
    bench.region()
    bench.node("edge-eu", replicas=1, pod={"image": "media:typo"})
    bench.start()
    bench.until(lambda: bench.slots("edge-eu"), "a slot")
    bench.run_pod("edge-eu-0")
    bench.set_pod("edge-eu-0", running=False, ready=False)
    stalled = bench.until_condition("cdnnodes", "edge-eu", ("Stalled", "True", "PodCannotRun"))
    assert "ImagePullBackOff" in stalled["message"]
    bench.node("edge-eu", replicas=1, pod={"image": "media:2"})
    bench.until(lambda: _image(bench, "edge-eu-0") == "media:2", "the new image")


def test_a_change_waits_while_no_director_says_that_the_slot_is_empty_o3(bench: Bench) -> None:
    bench.region()
    bench.node("edge-eu", replicas=1)
    bench.start()
    bench.until(lambda: bench.slots("edge-eu"), "a slot")
    bench.run_pod("edge-eu-0")
    bench.node("edge-eu", replicas=1, pod={"image": "media:2"})
    pending = bench.until_condition("cdnnodes", "edge-eu", ("RolloutPending", "True", "RolloutPending"))
    assert "1 of 1 nodes wait" in pending["message"]
    assert "kubectl annotate deployment edge-eu-0 rivulet.dev/drain=now" in pending["message"]
    assert condition(bench.read("cdnnodes", "edge-eu"), "Reconciling")["status"] == "True"
    assert _image(bench, "edge-eu-0") == "media:1"


def test_a_restarted_operator_writes_no_deployment_anew_o6(bench: Bench) -> None:
    bench.region()
    bench.node("edge-eu", replicas=2)
    first = bench.start()
    bench.until(lambda: len(bench.slots("edge-eu")) == 2, "slots")
    bench.until(lambda: bench.read("deployments", "rivulet-director"), "directors")
    bench.until_condition("cdnnodes", "edge-eu", ("Ready", "False", "NodesStarting"))
    assert bench.stop(first) == 0
    before = {
        body["metadata"]["name"]: body["metadata"]["resourceVersion"] for body in bench.read("deployments")["items"]
    }
    bench.start()
    bench.node("other", replicas=1)
    bench.until(lambda: bench.slots("other"), "the second operator at work")
    after = {
        body["metadata"]["name"]: body["metadata"]["resourceVersion"] for body in bench.read("deployments")["items"]
    }
    assert {name: after[name] for name in before} == before


def test_a_foreign_deployment_is_not_taken_over(bench: Bench) -> None:
    labels = {"app": "mine"}
    container = {"name": "c", "image": "i"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    foreign = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "edge-eu-0"}, "spec": spec}
    bench.kube.apply(foreign, namespace=bench.namespace)
    bench.region()
    bench.node("edge-eu", replicas=1)
    bench.start()
    stalled = bench.until_condition("cdnnodes", "edge-eu", ("Stalled", "True", "Refused"))
    assert "edge-eu-0 that is not ours" in stalled["message"]
    assert bench.read("deployments", "edge-eu-0")["spec"]["template"]["spec"]["containers"][0]["image"] == "i"


def test_nodes_of_another_region_are_not_made(bench: Bench) -> None:
    bench.region()
    bench.node("edge-us", region="us", replicas=1)
    bench.start()
    bench.until_condition("cdnnodes", "edge-us", ("Ready", "False", "NotThisRegion"))
    assert bench.slots("edge-us") == {}


def test_a_second_operator_of_the_region_waits_and_the_one_that_lost_the_lease_ends(bench: Bench) -> None:
    bench.region()
    first = bench.start()
    taken = {"spec": {"holderIdentity": "another", "renewTime": "2126-01-01T00:00:00.000000Z"}}
    bench.patch("leases", "rivulet-operator-eu", taken)
    assert first.wait(STOP_SECONDS) == 1


def _image(bench: Bench, slot: str) -> str:
    return str(bench.read("deployments", slot)["spec"]["template"]["spec"]["containers"][0]["image"])
