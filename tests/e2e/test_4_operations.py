"""What an operator of live events does, under viewers."""

import contextlib
import statistics
import time
from collections.abc import Iterator
from typing import Any

import pytest

from attempts import ATTEMPTS
from newer_build import LABEL, load_operator_with_one_more_label
from rivulet_scene.clients import Client, camera, probe
from rivulet_scene.command import ROOT, TESTBED, output
from rivulet_scene.http import get, request
from rivulet_scene.region import SYSTEM_NAMESPACE, Region, on_testbed
from rivulet_scene.waiting import holds, until
from scene import Cdn, digests, metric, needs_testbed, nodes_ready, stream_is_live
from steps import CUT_MS

AWAY_SECONDS = 120
SECOND = {
    "apiVersion": "rivulet.dev/v1alpha1",
    "kind": "Stream",
    "metadata": {"name": "second-us"},
    "spec": {"name": "second_us", "region": "us", "source": {"publish": {}}},
}
# The node is not process 1 of its pod; the brackets keep the shell from finding itself.
KILL_NODE = "for each in /proc/[0-9]*; do grep -q rivulet-medi[a] $each/cmdline && kill -9 ${each#/proc/}; done; true"


@pytest.fixture(scope="module")
def five_minutes(cdn: Cdn) -> Iterator[Client]:
    """A viewer in us, at an edge of eu, while the tests of this file change what is in us."""
    with cdn.publish("test_eu"), for_five_minutes(cdn) as viewer:
        viewer.line(0)
        yield viewer


def for_five_minutes(cdn: Cdn) -> Client:
    door = f"{cdn.eu.door}/n/edge-eu-0/whep/test_eu"
    return probe(door, "--warm-up", "10", seconds=310, place=cdn.us.place)


def slots(region: Region, name: str) -> set[str]:
    return {slot for slot in region.uids() if slot.startswith(f"{name}-")}


@pytest.mark.timeout(400)
@pytest.mark.usefixtures("five_minutes")
def test_scale_up_and_down_cuts_no_viewer(cdn: Cdn) -> None:
    """O1: `kubectl scale` 2 → 3 → 2 under a viewer; down takes an empty one."""
    with (
        cdn.publish("test_us", region=cdn.us),
        probe(f"{cdn.us.door}/n/edge-us-1/whep/test_us", seconds=300, place=cdn.us.place) as viewer,
    ):
        viewer.line(0)
        cdn.us.kubectl("scale", "cdnnode", "edge-us", "--replicas=3")
        until(lambda: len(slots(cdn.us, "edge-us")) == 3 and nodes_ready(cdn.us), "three edges", seconds=90)
        cdn.us.kubectl("scale", "cdnnode", "edge-us", "--replicas=2")
        until(lambda: len(slots(cdn.us, "edge-us")) == 2, "two edges", seconds=60)
        assert "edge-us-1" in slots(cdn.us, "edge-us")
        viewer.stop()
        seen = viewer.result()
    assert seen["video"]["longest_gap_ms"] < CUT_MS, seen


@pytest.mark.timeout(400)
def test_scaling_away_a_busy_edge_waits_for_its_viewer(cdn: Cdn) -> None:
    """O1: the emptiest goes first; the busy one drains and goes when it is empty."""
    with (
        cdn.publish("test_us", region=cdn.us),
        probe(f"{cdn.us.door}/n/edge-us-1/whep/test_us", seconds=120, place=cdn.us.place) as viewer,
    ):
        viewer.line(0)
        cdn.us.kubectl("scale", "cdnnode", "edge-us", "--replicas=1")
        until(lambda: slots(cdn.us, "edge-us") == {"edge-us-1"}, "the empty one went", seconds=60)
        viewer.stop()
        seen = viewer.result()
    assert seen["video"]["longest_gap_ms"] < CUT_MS, seen
    cdn.us.kubectl("scale", "cdnnode", "edge-us", "--replicas=2")
    until(lambda: len(slots(cdn.us, "edge-us")) == 2 and nodes_ready(cdn.us), "two again", seconds=120)


@pytest.mark.timeout(700)
def test_a_new_edge_is_ready_within_15_s(cdn: Cdn) -> None:
    """P6: median of five, image present, nothing else starting."""
    taken = []
    for attempt in range(5):
        name = f"fast{attempt}"
        spec = {"role": "edge", "region": "us"}
        asked = time.monotonic()
        cdn.us.apply(
            {"apiVersion": "rivulet.dev/v1alpha1", "kind": "CDNNode", "metadata": {"name": name}, "spec": spec}
        )
        until(lambda name=name: pod_ready(cdn.us, f"{name}-0"), "ready", seconds=60)  # type: ignore[misc]
        taken.append(time.monotonic() - asked)
        cdn.us.kubectl("delete", "cdnnode", name)
        until(lambda name=name: f"{name}-0" not in cdn.us.uids(), "gone", seconds=60)  # type: ignore[misc]
    print("P6 seconds:", [round(seconds, 1) for seconds in taken])
    assert statistics.median(taken) <= 15, taken


def pod_ready(region: Region, slot: str) -> bool:
    """One that is being deleted may still say so of itself."""
    return any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for pod in region.get("pods", selector=f"rivulet.dev/slot={slot}")
        if "deletionTimestamp" not in pod["metadata"]
        for condition in pod.get("status", {}).get("conditions", [])
    )


@pytest.mark.timeout(400)
def test_a_change_waits_for_viewers_and_rolls_only_what_it_changes(cdn: Cdn) -> None:
    """E3 P14: a slot with a viewer keeps its template until it is empty; no pod outside the CDNNode changes."""
    others = {slot: uid for slot, uid in cdn.us.uids().items() if not slot.startswith("edge-us-")}
    before = cdn.us.uids()
    limits = '{"spec": {"pod": {"resources": {"limits": {"memory": "%s"}}}}}'
    with (
        cdn.publish("test_us", region=cdn.us),
        probe(f"{cdn.us.door}/n/edge-us-1/whep/test_us", seconds=180, place=cdn.us.place) as viewer,
    ):
        viewer.line(0)
        cdn.us.kubectl(
            "patch", "cdnnode", "edge-us", "--type=merge", "-p", limits % f"{800 + int(time.time()) % 100}Mi"
        )
        until(
            lambda: cdn.us.uids().get("edge-us-0") not in (None, before["edge-us-0"]), "the empty one rolls", seconds=90
        )
        assert cdn.us.uids()["edge-us-1"] == before["edge-us-1"]
        message = until(lambda: rollout_pending(cdn.us, "edge-us"), "RolloutPending", seconds=30)
        assert "1 of 2" in message
        assert "drain" in message
        viewer.stop()
        seen = viewer.result()
    assert seen["video"]["longest_gap_ms"] < CUT_MS, seen
    until(lambda: cdn.us.uids().get("edge-us-1") not in (None, before["edge-us-1"]), "rolls when empty", seconds=90)
    until(lambda: not rollout_pending(cdn.us, "edge-us"), "done", seconds=90)
    assert {slot: uid for slot, uid in cdn.us.uids().items() if slot in others} == others


def rollout_pending(region: Region, name: str) -> str | None:
    condition = region.condition("cdnnode", name, "RolloutPending")
    return condition["message"] if condition is not None and condition["status"] == "True" else None


@pytest.mark.timeout(400)
def test_a_deleted_pod_finishes_its_work(cdn: Cdn) -> None:
    """O5: the viewer of a deleted pod plays on; its DELETE gets 200."""
    with (
        cdn.publish("test_us", region=cdn.us),
        probe(f"{cdn.us.door}/n/edge-us-0/whep/test_us", seconds=120, place=cdn.us.place) as viewer,
    ):
        session = viewer.line(0)["session"]
        time.sleep(3)
        cdn.us.kubectl("delete", "pod", "-l", "rivulet.dev/slot=edge-us-0", "--wait=false")
        time.sleep(12)
        assert get(session if session.startswith("http") else cdn.us.door + session).status == 200
        viewer.stop()
        seen = viewer.result()
    assert seen["video"]["longest_gap_ms"] < CUT_MS, seen
    assert seen["deleted"] == 200
    until(lambda: pod_ready(cdn.us, "edge-us-0"), "its successor", seconds=120)


@pytest.mark.timeout(600)
def test_the_cdn_works_while_the_operator_is_away(cdn: Cdn) -> None:
    """O6 D10: 2 min in which a node is killed, a stream starts, one ends; back: nothing cut, statuses true ≤ 10 s."""
    cdn.us.apply(SECOND)
    try:
        with (
            cdn.publish("second_us", region=cdn.us) as ending,
            operator_away(cdn.us) as operator,
            publish_unseen(cdn, "test_us"),
            probe(f"{cdn.us.door}/n/edge-us-0/whep/test_us", seconds=400, place=cdn.us.place) as viewer,
        ):
            viewer.line(0)
            ending.stop()
            victim = cdn.us.get("pods", selector="rivulet.dev/slot=edge-us-1")[0]["metadata"]["name"]
            cdn.us.kubectl("exec", victim, "--", "sh", "-c", KILL_NODE)
            time.sleep(AWAY_SECONDS)
            until(lambda: len(digests(cdn.eu, cdn.us)) == 1, "equal tables without an operator", seconds=5)
            operator.start()
            until(lambda: operator_ready(cdn.us), "operator back", seconds=120)
            until(
                lambda: stream_is_live(cdn.us, "test_us") and not stream_is_live(cdn.us, "second_us"),
                "true statuses",
                seconds=10,
            )
            viewer.stop()
            seen = viewer.result()
        assert seen["video"]["longest_gap_ms"] < CUT_MS, seen
        until(lambda: nodes_ready(cdn.us), "nodes ready", seconds=120)
    finally:
        cdn.us.kubectl("delete", "stream", "second-us")


class Operator:
    """The operator of a region, stopped and started by its scale."""

    def __init__(self, region: Region) -> None:
        self._region = region

    def stop(self) -> None:
        self._scale(0)
        until(lambda: not self._region.get("pods", namespace=SYSTEM_NAMESPACE), "operator gone", seconds=60)

    def start(self) -> None:
        self._scale(1)

    def _scale(self, replicas: int) -> None:
        words = ["scale", "deployment", "--all", f"--replicas={replicas}"]
        self._region.kubectl(*words, namespace=SYSTEM_NAMESPACE)


@contextlib.contextmanager
def operator_away(region: Region) -> Iterator[Operator]:
    operator = Operator(region)
    try:
        operator.stop()
        yield operator
    finally:
        operator.start()


def publish_unseen(cdn: Cdn, stream: str) -> Client:
    """A camera whose liveness is read from the director: nobody writes the Stream's status now."""
    client = camera(f"{cdn.us.door}/whip/{stream}", token=cdn.keys.token(stream), place=cdn.us.place)
    client.line(0)
    until(lambda: get(f"{cdn.us.door}/v1/streams/{stream}").json["state"] == "live", "live", seconds=30)
    return client


def operator_ready(region: Region) -> bool:
    found = region.get("deployments", namespace=SYSTEM_NAMESPACE)
    return all(each.get("status", {}).get("readyReplicas") == 1 for each in found)


@pytest.mark.timeout(1200)
def test_latency_spreads_little_over_five_minutes(cdn: Cdn, five_minutes: Client) -> None:
    """T2: p95 less p50 ≤ 150 ms, while scaling, roll-outs and a killed node go on in the other region.

    All that goes on on this machine too: when it was more, once or twice again with nothing beside.
    """

    def again() -> bool:
        with for_five_minutes(cdn) as viewer:
            return spreads_little(viewer)

    assert spreads_little(five_minutes) or any(again() for _ in range(ATTEMPTS - 1))


def spreads_little(viewer: Client) -> bool:
    latency = viewer.result(seconds=360)["latency_ms"]
    print("T2:", latency)
    assert latency["p50"] >= 42 or not on_testbed(), "faster than its WAN"
    return bool(latency["samples"] >= 4000 and latency["p95"] - latency["p50"] <= 150)


@pytest.mark.timeout(400)
def test_an_origin_s_pod_replaced_under_its_name_is_pulled_from_again(cdn: Cdn) -> None:
    """D21: edges drop the relay; Ready again, the publisher back: relays back ≤ 5 s, the session plays on."""
    door = cdn.us.door
    with (
        held(cdn, seconds=120),
        cdn.publish("test_us", region=cdn.us) as publisher,
        probe(f"{door}/whep/test_us", seconds=240, place=cdn.us.place) as viewer,
    ):
        session = viewer.line(0)["session"]
        edge = session.partition("/session/")[2].partition("/")[0]
        publisher.kill()
        cdn.us.kubectl("delete", "pod", "-l", "rivulet.dev/slot=origin-us-0", "--grace-period=0", "--force")
        until(lambda: relays(cdn.us, edge) == 0, "relay dropped", seconds=30)
        seen = frames(viewer)
        token = cdn.keys.token("test_us")
        with camera(f"{door}/whip/test_us", "--wait", "120", token=token, place=cdn.us.place) as successor:
            until(lambda: pod_ready(cdn.us, "origin-us-0"), "its successor", seconds=90)
            successor.line(0)
            until(lambda: relays(cdn.us, edge) == 1, "relay back", seconds=5)
            until(lambda: frames(viewer) > seen, "pictures again", seconds=20)
            assert get(session if session.startswith("http") else door + session).status == 200
            viewer.stop()
            viewer.result()


@contextlib.contextmanager
def held(cdn: Cdn, *, seconds: int) -> Iterator[None]:
    """Viewers of test_us are kept for longer than the usual 30 s, which a pod's start may take."""
    change = '{"spec": {"holdSeconds": %s}}'
    cdn.us.kubectl("patch", "stream", "test-us", "--type=merge", "-p", change % seconds)
    try:
        yield
    finally:
        cdn.us.kubectl("patch", "stream", "test-us", "--type=merge", "-p", change % "null")


def frames(viewer: Client) -> int:
    """Pictures that a probe has shown so far."""
    return int(viewer.lines[-1].get("video", {}).get("frames", 0))


def relays(region: Region, slot: str) -> int:
    """How many streams a slot's node pulls."""
    (pod,) = region.get("pods", selector=f"rivulet.dev/slot={slot}")
    return int(metric(region, pod, "rivulet_relays", direction="in"))


@needs_testbed
@pytest.mark.timeout(400)
def test_the_wan_is_cut_for_10_s_and_heals(cdn: Cdn) -> None:
    """What ought to go on goes on; viewers resume in the same session; tables equal again ≤ 10 s."""
    with cdn.publish("test_eu"), probe(f"{cdn.us.door}/whep/test_eu", seconds=50, place=cdn.us.place) as viewer:
        viewer.line(0)
        time.sleep(5)
        output([TESTBED, "wan", "cut", "eu", "us"])
        try:
            time.sleep(10)
        finally:
            output([TESTBED, "wan", "heal", "eu", "us"])
        until(lambda: get(f"{cdn.us.door}/v1/streams/test_eu").json["state"] == "live", "us knows again", seconds=10)
        seen = viewer.result(seconds=90)
    assert seen["video"]["frames"] > 20 * 15, seen
    assert seen["video"]["longest_gap_ms"] < 25_000, seen


@needs_testbed
@pytest.mark.timeout(400)
def test_an_apiserver_restarted_under_a_stream(cdn: Cdn) -> None:
    """Nobody notices; a node made afterwards joins."""
    with (
        cdn.publish("test_us", region=cdn.us),
        probe(f"{cdn.us.door}/whep/test_us", seconds=30, place=cdn.us.place) as viewer,
    ):
        viewer.line(0)
        output([TESTBED, "restart", "us", "kube-apiserver"])
        seen = viewer.result(seconds=60)
    assert seen["video"]["longest_gap_ms"] < CUT_MS, seen
    until(lambda: nodes_ready(cdn.us), "all well", seconds=120)


@needs_testbed
@pytest.mark.timeout(900)  # builds an image
def test_a_chart_with_one_more_label_changes_no_pod(cdn: Cdn) -> None:
    """The chart upgraded to a build whose manifests add a label: 0 pod UIDs change."""
    tag = load_operator_with_one_more_label("us")
    before = cdn.us.uids()
    upgrade = ["upgrade", "rivulet", str(ROOT / "charts" / "rivulet"), "--reuse-values", "--wait", "--timeout", "2m"]
    cdn.us.helm(*upgrade, "--set-string", f"images.operator.tag={tag}", seconds=150)
    until(lambda: all(LABEL in found["metadata"]["labels"] for found in slot_deployments(cdn.us)), "label", seconds=90)
    holds(lambda: cdn.us.uids() == before, "no pod changed", seconds=5)
    cdn.us.helm("rollback", "rivulet", "--wait", "--timeout", "2m", seconds=150)


def slot_deployments(region: Region) -> list[dict[str, Any]]:
    return list(region.get("deployments", selector="rivulet.dev/role"))


@needs_testbed
@pytest.mark.timeout(240)
def test_both_directors_gone_under_a_stream(cdn: Cdn) -> None:
    """D15: what plays goes on; a viewer that asks the edge directly gets in."""
    with (
        cdn.publish("test_us", region=cdn.us),
        probe(f"{cdn.us.door}/n/edge-us-0/whep/test_us", seconds=120, place=cdn.us.place) as viewer,
    ):
        viewer.line(0)
        cdn.us.kubectl("delete", "pod", "-l", "app.kubernetes.io/component=director", "--grace-period=0", "--force")
        pod = cdn.us.get("pods", selector="rivulet.dev/slot=edge-us-0")[0]["status"]["podIP"]
        with probe(f"http://{pod}:8080/whep/test_us", seconds=6, place=cdn.us.place) as direct:
            assert direct.result()["video"]["frames"] > 30
        viewer.stop()
        seen = viewer.result()
    assert seen["video"]["longest_gap_ms"] < CUT_MS, seen
    until(lambda: request("GET", f"{cdn.us.door}/readyz").status == 200, "directors back", seconds=90)
