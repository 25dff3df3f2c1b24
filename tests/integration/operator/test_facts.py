"""What the operator does about what directors say: a scripted director speaks, everything else is real."""

import base64
import itertools
import time
from collections.abc import Iterator
from functools import partial

import pytest

from attempts import ATTEMPTS
from operator_bench import Bench, condition
from scripted_director import ScriptedDirector, node, stream

pytestmark = pytest.mark.timeout(180)  # starts an API server
ADDRESSES = (f"127.0.77.{number}" for number in itertools.count(1))


@pytest.fixture
def director(bench: Bench) -> Iterator[ScriptedDirector]:
    """Region eu with an operator at work and one director that it is linked with."""
    bench.region(openPublishing={"maxStreams": 2, "keepSeconds": 0})
    bench.start()
    bench.until(lambda: bench.read("deployments", "rivulet-director"), "directors")
    scripted = ScriptedDirector(next(ADDRESSES))
    try:
        bench.run_pod("rivulet-director", address=scripted.address)
        bench.until(lambda: scripted.tokens, "the operator's link")
        yield scripted
    finally:
        scripted.close()


def _running(bench: Bench, count: int) -> None:
    bench.node("edge-eu", replicas=count)
    bench.until(lambda: len(bench.slots("edge-eu")) == count, "slots")
    for slot in bench.slots("edge-eu"):
        bench.run_pod(slot)


def _viewers(count: int) -> dict[str, object]:
    return {"counts": {"viewers": count, "publishers": 0, "relaysOut": 0, "streams": {"s": {"viewers": count}}}}


def test_the_operator_shows_its_token_and_says_whom_to_expect(bench: Bench, director: ScriptedDirector) -> None:
    token = base64.b64decode(bench.read("secrets", "rivulet-operator-link")["data"]["token"]).decode()
    assert director.tokens[-1] == f"Bearer {token}"
    bench.node("edge-eu", replicas=1)
    bench.until(lambda: director.orders.get("expected", {}).get("slots"), "expected slots")
    assert director.orders["expected"]["slots"] == {"edge-eu-0": {"role": "edge", "node": "edge-eu"}}
    bench.until_condition("cdnregions", "eu", ("DirectorReachable", "True", "Linked"))


def test_a_published_stream_is_live_within_two_seconds_r1(bench: Bench, director: ScriptedDirector) -> None:
    bench.stream("s")
    bench.until_condition("streams", "s", ("Live", "False", "NotPublished"))
    assert any(_live_in_time(bench, director, number) for number in range(ATTEMPTS))
    status = bench.read("streams", "s")["status"]
    status.pop("conditions")
    assert status == {
        "observedGeneration": 1,
        "origin": "origin-eu-0",
        "startedAt": "2026-11-21T09:06:50Z",
        "tracks": [
            {"kind": "video", "codec": "h264", "detail": "profile-level-id=42e01f"},
            {"kind": "audio", "codec": "opus"},
        ],
        "codecs": "h264, opus",
        "viewers": 0,
        "urls": {
            "whip": "http://eu.example:30080/whip/s",
            "whep": "http://eu.example:30080/whep/s",
            "play": "http://eu.example:30080/play/s",
        },
    }


def _live_in_time(bench: Bench, director: ScriptedDirector, number: int) -> bool:
    """Of a publication that is this one's own; it stays live if it was in time."""
    entry = stream("s", incarnation=f"a01b0000000{number}")
    director.say(nodes=[node("origin-eu-0")], streams=[entry])
    said = time.monotonic()
    bench.until_condition("streams", "s", ("Live", "True", "Publishing"))
    in_time = time.monotonic() - said <= 2
    if not in_time:
        director.say(streams=[{**entry, "version": 2, "state": "ended", "reason": "deleted"}])
        bench.until_condition("streams", "s", ("Live", "False", "Ended"))
    return in_time


def test_a_pulled_stream_says_why_nothing_comes_and_when_it_does(bench: Bench, director: ScriptedDirector) -> None:
    """As soon as directors tell, and without another change of anything."""
    bench.stream("s", source={"pull": {"url": "https://cdn.example/whep/s"}})
    bench.until_condition("streams", "s", ("Live", "False", "WaitingForOrigin"))
    bench.until_condition("streams", "s", ("Ready", "True", "Pulled"))
    cases = (("no connection", "SourceUnreachable"), ("answers 404", "SourceUnreachable"), ("", "Connecting"))
    for error, reason in cases:
        pulls = {"s": {"error": error} if error else {}}
        counts = {"viewers": 0, "publishers": 0, "relaysOut": 0, "streams": {}, "pulls": pulls}
        director.say(nodes=[node("origin-eu-0", role="origin", counts=counts)])
        bench.until_condition("streams", "s", ("Live", "False", reason))
        message = f"origin-eu-0: {error}." if error else "origin-eu-0 asks cdn.example for it."
        bench.until(partial(_says, bench, message), message)
    director.say(nodes=[node("origin-eu-0", role="origin")], streams=[stream("s")])
    bench.until_condition("streams", "s", ("Live", "True", "Pulling"))
    assert "whip" not in bench.read("streams", "s")["status"]["urls"]


def _says(bench: Bench, message: str) -> bool:
    return bool(condition(bench.read("streams", "s"), "Live").get("message") == message)


def test_directors_may_read_the_secret_of_a_pulled_stream_while_it_names_it(
    bench: Bench, director: ScriptedDirector
) -> None:
    def names() -> set[str]:
        rules = bench.read("roles", "rivulet-director")["rules"]
        return {name for rule in rules for name in rule.get("resourceNames", [])}

    pull = {"url": "https://cdn.example/s", "secretRef": {"name": "pull-cdn", "key": "token"}}
    bench.stream("s", source={"pull": pull})
    bench.until(lambda: "pull-cdn" in names(), "may be read")
    bench.stream("s", source={"pull": {"url": "https://cdn.example/s"}})
    bench.until(lambda: "pull-cdn" not in names(), "need not be read any more")
    assert director.tokens


def test_scaling_down_takes_the_emptiest_first_and_each_when_it_drains_and_is_empty_o1(
    bench: Bench, director: ScriptedDirector
) -> None:
    _running(bench, 3)
    director.say(nodes=[node("edge-eu-0"), node("edge-eu-1", **_viewers(2)), node("edge-eu-2", **_viewers(1))])
    bench.until(lambda: bench.read("cdnnodes", "edge-eu")["status"].get("joinedReplicas") == 3, "joined")
    bench.kube.kubectl("-n", bench.namespace, "scale", "cdnnode/edge-eu", "--replicas=1")
    wanted = {"edge-eu-0", "edge-eu-2"}
    bench.until(lambda: director.orders.get("drain", {}).get("slots", {}).keys() == wanted, "two drained")
    assert not _leaving(bench, "edge-eu-0")
    director.say(nodes=[node("edge-eu-0", version=2, state="draining")])
    bench.until(lambda: _leaving(bench, "edge-eu-0"), "the empty slot deleted")
    assert director.orders["drain"]["slots"].keys() == wanted, "a process that has not heard of its end takes nobody"
    marks = bench.read("deployments", "edge-eu-2")["metadata"]["annotations"]
    assert marks["rivulet.dev/drain-for"] == "scale-down"
    assert not _leaving(bench, "edge-eu-1")
    assert not _leaving(bench, "edge-eu-2")
    director.say(nodes=[node("edge-eu-2", version=2, state="draining", **_viewers(0))])
    bench.until(lambda: _leaving(bench, "edge-eu-2"), "gone when empty")


def test_growing_again_takes_the_drain_back_o1(bench: Bench, director: ScriptedDirector) -> None:
    _running(bench, 2)
    director.say(nodes=[node("edge-eu-0", **_viewers(2)), node("edge-eu-1", **_viewers(1))])
    bench.until(lambda: bench.read("cdnnodes", "edge-eu")["status"].get("joinedReplicas") == 2, "joined")
    bench.node("edge-eu", replicas=1)
    bench.until(lambda: "edge-eu-1" in director.orders.get("drain", {}).get("slots", {}), "drained")
    bench.node("edge-eu", replicas=2)
    bench.until(lambda: director.orders["drain"]["slots"] == {}, "taken back")
    assert "rivulet.dev/drain" not in bench.read("deployments", "edge-eu-1")["metadata"]["annotations"]


def test_a_drained_slot_takes_the_pending_change_when_it_is_empty_and_serves_again_o3(
    bench: Bench, director: ScriptedDirector
) -> None:
    _running(bench, 1)
    director.say(nodes=[node("edge-eu-0", **_viewers(1))])
    bench.node("edge-eu", replicas=1, pod={"image": "media:2"})
    bench.until_condition("cdnnodes", "edge-eu", ("RolloutPending", "True", "RolloutPending"))
    bench.kube.kubectl("-n", bench.namespace, "annotate", "deployment", "edge-eu-0", "rivulet.dev/drain=now")
    bench.until(lambda: "edge-eu-0" in director.orders.get("drain", {}).get("slots", {}), "the order to drain")
    assert bench.read("deployments", "edge-eu-0")["metadata"]["annotations"]["rivulet.dev/drain"].startswith("20")
    assert _image(bench, "edge-eu-0") == "media:1"
    director.say(nodes=[node("edge-eu-0", version=2, state="draining", **_viewers(0))])
    bench.until(lambda: _image(bench, "edge-eu-0") == "media:2", "the new template")
    bench.until_condition("cdnnodes", "edge-eu", ("RolloutPending", "False", "UpToDate"))
    assert "edge-eu-0" in director.orders["drain"]["slots"], "the old process has not ended"
    _end_pod(bench, "edge-eu-0")
    bench.until(lambda: director.orders["drain"]["slots"] == {}, "the drain over")


def test_a_slot_that_seems_empty_drains_before_it_takes_a_change_e3(bench: Bench, director: ScriptedDirector) -> None:
    _running(bench, 1)
    director.say(nodes=[node("edge-eu-0")])
    bench.until(lambda: bench.read("cdnnodes", "edge-eu")["status"].get("joinedReplicas") == 1, "joined")
    bench.node("edge-eu", replicas=1, pod={"image": "media:2"})
    bench.until(lambda: "edge-eu-0" in director.orders.get("drain", {}).get("slots", {}), "asked to drain")
    assert bench.read("deployments", "edge-eu-0")["metadata"]["annotations"]["rivulet.dev/drain-for"] == "rollout"
    bench.until_condition("cdnnodes", "edge-eu", ("RolloutPending", "True", "RolloutPending"))
    director.say(nodes=[node("edge-eu-0", version=2, state="draining", **_viewers(1))])
    bench.until(lambda: director.orders["drain"]["slots"] == {}, "taken back, as somebody was in")
    assert _image(bench, "edge-eu-0") == "media:1"
    director.say(nodes=[node("edge-eu-0", version=3, **_viewers(1))])
    pending = bench.until_condition("cdnnodes", "edge-eu", ("RolloutPending", "True", "RolloutPending"))
    assert "1 of 1 nodes wait" in pending["message"]
    director.say(nodes=[node("edge-eu-0", version=3)])
    bench.until(lambda: "edge-eu-0" in director.orders["drain"]["slots"], "asked again when empty")
    director.say(nodes=[node("edge-eu-0", version=4, state="draining")])
    bench.until(lambda: _image(bench, "edge-eu-0") == "media:2", "the new template")
    _end_pod(bench, "edge-eu-0")
    bench.until(lambda: director.orders["drain"]["slots"] == {}, "the next process is not drained")
    marks = bench.read("deployments", "edge-eu-0")["metadata"]["annotations"]
    assert not {"rivulet.dev/drain", "rivulet.dev/drain-for"} & marks.keys()


def test_removing_the_annotation_takes_a_drain_back_o2(bench: Bench, director: ScriptedDirector) -> None:
    _running(bench, 1)
    director.say(nodes=[node("edge-eu-0", **_viewers(1))])
    bench.kube.kubectl("-n", bench.namespace, "annotate", "deployment", "edge-eu-0", "rivulet.dev/drain=now")
    bench.until(lambda: "edge-eu-0" in director.orders.get("drain", {}).get("slots", {}), "the order to drain")
    bench.kube.kubectl("-n", bench.namespace, "annotate", "deployment", "edge-eu-0", "rivulet.dev/drain-")
    bench.until(lambda: director.orders["drain"]["slots"] == {}, "taken back")


def test_lost_directors_leave_facts_and_slots_as_they_are_d15(bench: Bench, director: ScriptedDirector) -> None:
    _running(bench, 2)
    bench.stream("s")
    director.say(nodes=[node("edge-eu-0"), node("edge-eu-1"), node("origin-eu-0")], streams=[stream("s")])
    bench.until_condition("streams", "s", ("Live", "True", "Publishing"))
    director.close()
    bench.until_condition("cdnregions", "eu", ("DirectorReachable", "False", "NoAnswer"))
    bench.node("edge-eu", replicas=1, pod={"image": "media:2"})
    bench.until_condition("cdnnodes", "edge-eu", ("RolloutPending", "True", "RolloutPending"))
    assert not any(_leaving(bench, slot) for slot in bench.slots("edge-eu"))
    assert condition(bench.read("streams", "s"), "Live")["status"] == "True"


def test_an_operator_that_is_back_says_what_is_without_a_detour_o6(bench: Bench, director: ScriptedDirector) -> None:
    _running(bench, 1)
    bench.stream("s")
    director.say(nodes=[node("edge-eu-0", **_viewers(3)), node("origin-eu-0")], streams=[stream("s")])
    bench.until_condition("streams", "s", ("Live", "True", "Publishing"))
    meanwhile = iter(
        (
            (stream("s", version=2, state="ended", reason="deleted"), ("Live", "False", "Ended")),
            (stream("s", incarnation="a01b00000001"), ("Live", "True", "Publishing")),
            (stream("s", incarnation="a01b00000001", version=2, state="ended"), ("Live", "False", "Ended")),
        )
    )

    def kept() -> bool:
        """No detour: one that hears no director for 3 s makes one."""
        bench.until_condition("cdnnodes", "edge-eu", ("Ready", "True", "NodesReady"))
        bench.until_condition("cdnnodes", "edge-eu", ("Reconciling", "False", "Done"))
        bench.stop_all()
        entry, told = next(meanwhile)
        director.say(streams=[entry])
        before = bench.read("cdnnodes", "edge-eu")["status"]["conditions"]
        bench.start()
        bench.until_condition("streams", "s", told)
        bench.until_condition("cdnregions", "eu", ("DirectorReachable", "True", "Linked"))
        return bool(bench.read("cdnnodes", "edge-eu")["status"]["conditions"] == before)

    assert any(kept() for _ in range(ATTEMPTS))


def test_a_ready_slot_that_no_director_names_waits_for_one_d14(bench: Bench, director: ScriptedDirector) -> None:
    _running(bench, 1)
    bench.until_condition("cdnnodes", "edge-eu", ("Ready", "False", "WaitingForDirector"))
    director.say(nodes=[node("edge-eu-0")])
    bench.until_condition("cdnnodes", "edge-eu", ("Ready", "True", "NodesReady"))
    done = bench.until_condition("cdnnodes", "edge-eu", ("Reconciling", "False", "Done"))
    assert done["observedGeneration"] == bench.read("cdnnodes", "edge-eu")["metadata"]["generation"]


def test_an_undeclared_name_becomes_a_stream_until_it_has_ended(bench: Bench, director: ScriptedDirector) -> None:
    def made_in_time() -> bool:
        """Directors wait 3 s."""
        director.say(undeclared=[])
        bench.kube.kubectl("-n", bench.namespace, "delete", "streams.rivulet.dev", "--all")
        director.say(undeclared=[{"stream": "Any_Name", "subject": "camera-1"}])
        said = time.monotonic()
        bench.until(lambda: bench.read("streams")["items"], "the auto-Stream")
        return time.monotonic() - said <= 3

    assert any(made_in_time() for _ in range(ATTEMPTS))
    made = bench.read("streams")["items"]
    assert made[0]["spec"]["name"] == "Any_Name"
    assert made[0]["metadata"]["labels"]["rivulet.dev/auto"] == "true"
    name = made[0]["metadata"]["name"]
    director.say(undeclared=[], nodes=[node("origin-eu-0")], streams=[stream("Any_Name")])
    bench.until_condition("streams", name, ("Live", "True", "Publishing"))
    director.say(streams=[stream("Any_Name", version=2, state="ended", reason="deleted")])
    bench.until(lambda: not bench.read("streams")["items"], "removed after it ended")


def _end_pod(bench: Bench, slot: str) -> None:
    """Play kubelet: the pod has ended and is gone."""
    path = f"/api/v1/namespaces/{bench.namespace}/pods/{slot}-pod?gracePeriodSeconds=0"
    answer = bench.kube.request("DELETE", path)
    assert answer.ok, answer.message


def _leaving(bench: Bench, slot: str) -> bool:
    body = bench.read("deployments", slot)
    return not body or "deletionTimestamp" in body["metadata"]


def _image(bench: Bench, slot: str) -> str:
    return str(bench.read("deployments", slot)["spec"]["template"]["spec"]["containers"][0]["image"])
