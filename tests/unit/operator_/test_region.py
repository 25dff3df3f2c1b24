from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rivulet_operator.manifests import director
from rivulet_operator.manifests.auto_stream import auto_stream
from rivulet_operator.manifests.secrets import WANTED
from rivulet_operator.model import stream as streams
from rivulet_operator.model.facts import Counts, Facts, NodeFact, Peer, Undeclared
from rivulet_operator.model.instant import from_text, to_text
from rivulet_operator.model.kinds import STREAM
from rivulet_operator.model.region import OpenPublishing, Region, parse
from rivulet_operator.plan import auto_streams
from rivulet_operator.plan import region as region_plan
from rivulet_operator.plan.outcome import Removal
from rivulet_operator.plan.region import Home, LiveDirectors

NOW = 1_795_000_000.0
ALL_SECRETS = frozenset({"rivulet-join", "rivulet-operator-link", "rivulet-turn"})


def _region(name: str, **spec: Any) -> Region:
    metadata = {"name": name, "namespace": "cdn", "uid": f"uid-{name}", "generation": 1}
    return parse({"metadata": metadata, "spec": {"host": f"{name}.example", **spec}})


EU = _region("eu")
US = _region("us", mesh={"address": "us.example:7443"})
MADE = director.make(EU, "media:1", "cluster-1")
LIVE = LiveDirectors(revision=MADE.revision, template=MADE.template, ready=2)
HOME = Home(
    region=EU,
    image="media:1",
    cluster="cluster-1",
    facts=Facts(told=True, fresh=True),
    directors=LIVE,
    secrets=ALL_SECRETS,
    addresses={"h1": ("203.0.113.10",)},
)


def _conditions(home: Home) -> dict[str, tuple[bool | None, str]]:
    return {c.type: (c.status, c.reason) for c in region_plan.plan(home, NOW).status.conditions}


DONE = {
    "Ready": (True, "DirectorsReady"),
    "Stalled": (False, "Running"),
    "Reconciling": (False, "Done"),
    "DirectorReachable": (True, "Linked"),
    "MeshReady": (True, "NoPeers"),
}
WITH_TOKEN = ALL_SECRETS | {"mesh-us"}
LINKED = Facts(told=True, fresh=True, peers=(Peer(region="us", connected=True),))
CASES: dict[str, tuple[Home, dict[str, tuple[bool | None, str]]]] = {
    "all is well": (HOME, {}),
    "no directors yet": (
        replace(HOME, directors=None, facts=Facts()),
        {
            "Ready": (False, "DirectorsStarting"),
            "Reconciling": (True, "RollingOut"),
            "DirectorReachable": (False, "NoAnswer"),
        },
    ),
    "one director of two": (
        replace(HOME, directors=replace(LIVE, ready=1)),
        {"Reconciling": (True, "DirectorsStarting")},
    ),
    "an image that cannot be pulled": (
        replace(HOME, directors=replace(LIVE, trouble="p: ImagePullBackOff")),
        {"Stalled": (True, "PodCannotRun")},
    ),
    "a peer without its token": (replace(HOME, others=[US]), {"MeshReady": (False, "NoToken")}),
    "a peer that is not linked": (
        replace(HOME, others=[US], secrets=WITH_TOKEN),
        {"MeshReady": (False, "Disconnected")},
    ),
    "a peer that is linked": (
        replace(HOME, others=[US], secrets=WITH_TOKEN, facts=LINKED),
        {"MeshReady": (True, "Connected")},
    ),
    "a region without a mesh address is no peer": (replace(HOME, others=[_region("us")]), {}),
}


@pytest.mark.parametrize(("home", "changes"), CASES.values(), ids=CASES.keys())
def test_conditions_of_a_region(home: Home, changes: dict[str, tuple[bool | None, str]]) -> None:
    assert _conditions(home) == {**DONE, **changes}


def test_missing_secrets_are_wanted_and_those_that_exist_are_not() -> None:
    assert region_plan.plan(HOME, NOW).secrets == ()
    assert region_plan.plan(replace(HOME, secrets=frozenset({"rivulet-join"})), NOW).secrets == WANTED[1:]


def test_everything_of_a_region_is_applied_in_order() -> None:
    plan = region_plan.plan(HOME, NOW)
    assert [(body["kind"], body["metadata"]["name"]) for body in plan.apply] == [
        ("ServiceAccount", "rivulet-director"),
        ("Role", "rivulet-director"),
        ("RoleBinding", "rivulet-director"),
        ("Service", "rivulet-director"),
        ("Service", "rivulet-director-internal"),
        ("Service", "rivulet-directors"),
        ("Deployment", "rivulet-director"),
    ]


def test_an_operator_that_renders_directors_differently_restarts_none_of_them() -> None:
    older = replace(LIVE, template={"metadata": {"labels": {"of": "an older operator"}}})
    assert region_plan.plan(replace(HOME, directors=older), NOW).apply[-1]["spec"]["template"] == older.template
    newer = replace(HOME, directors=older, image="media:2")
    assert region_plan.plan(newer, NOW).apply[-1]["spec"]["template"] != older.template


def _pulled(name: str, region: str, secret: str | None) -> streams.Stream:
    pull = {"url": "https://cdn.example/s", **({"secretRef": {"name": secret, "key": "token"}} if secret else {})}
    spec = {"region": region, "source": {"pull": pull}}
    return streams.parse({"metadata": {"name": name, "namespace": "cdn", "uid": name}, "spec": spec})


def test_directors_may_read_tokens_by_name_and_no_other_secret() -> None:
    """Those of the mesh, and those that Streams of this region name for what is pulled."""

    def rules(home: Home) -> list[Any]:
        role = next(item for item in region_plan.plan(home, NOW).apply if item["kind"] == "Role")
        return list(role["rules"])

    alone = rules(replace(HOME, others=[]))
    assert [rule["resources"] for rule in alone] == [["cdnregions", "cdnnodes", "streams"]]
    pulled = [
        _pulled("a", "eu", "pull-b"),
        _pulled("b", "eu", "pull-a"),
        _pulled("c", "eu", "pull-a"),
        _pulled("d", "eu", None),
        _pulled("e", "us", "pull-us"),
        _pulled("f", "eu", "rivulet-join"),
    ]
    meshed = rules(replace(HOME, others=[_region("us"), _region("ap")], streams=pulled))
    assert meshed[1]["resourceNames"] == ["mesh-ap", "mesh-us", "pull-a", "pull-b"]


def test_a_status_counts_own_nodes_and_keeps_what_was_said_until_the_first_word() -> None:
    own = NodeFact(
        slot="edge-eu-0", incarnation="a", version=1, role="edge", region="eu", state="full", counts=Counts(viewers=4)
    )
    down = replace(own, slot="edge-eu-1", state="down", counts=None)
    fields = region_plan.plan(replace(HOME, facts=replace(HOME.facts, nodes=(own, down))), NOW).status.fields
    assert fields == {
        "nodes": 2,
        "nodesReady": 1,
        "streams": 0,
        "viewers": 4,
        "nodeAddresses": {"h1": "203.0.113.10"},
        "peers": [],
        "directors": {"replicas": 2, "ready": 2},
    }
    dual = replace(HOME, addresses={"h1": ("203.0.113.10", "2001:db8::10"), "h2": ("203.0.113.11",)})
    told = region_plan.plan(dual, NOW).status.fields
    assert told["nodeAddresses"] == {"h1": "203.0.113.10", "h2": "203.0.113.11"}
    assert told["nodeAddressesAlso"] == {"h1": ["2001:db8::10"]}
    untold = replace(HOME, region=replace(EU, status={"viewers": 7}), facts=Facts())
    assert region_plan.plan(untold, NOW).status.fields["viewers"] == 7


OPEN = replace(EU, open_publishing=OpenPublishing(max_streams=2, keep_seconds=60))
CREATED = to_text(NOW - 1000)


def _auto(name: str, reason: str, since: float) -> streams.Stream:
    live = {"type": "Live", "status": "False", "reason": reason, "message": "", "lastTransitionTime": to_text(since)}
    metadata = {
        "name": f"auto-{name}",
        "uid": name,
        "creationTimestamp": CREATED,
        "labels": {"rivulet.dev/auto": "true"},
    }
    body = {"metadata": metadata, "spec": {"name": name, "region": "eu"}, "status": {"conditions": [live]}}
    return streams.parse(body)


def _asked(*names: str, fresh: bool = True) -> Facts:
    return Facts(told=True, fresh=fresh, undeclared=tuple(Undeclared(stream=name) for name in names))


def test_undeclared_names_become_streams_up_to_the_limit() -> None:
    assert auto_streams.plan(EU, [], _asked("a"), NOW).apply == ()
    full = auto_streams.plan(OPEN, [_auto("x", "Publishing", NOW)], _asked("a", "b"), NOW)
    assert full.apply == (auto_stream(OPEN, "a"),)
    assert auto_streams.plan(OPEN, [_auto("a", "NotPublished", NOW)], _asked("a"), NOW).apply == ()


@pytest.mark.parametrize(
    ("stream", "facts", "gone"),
    [
        (_auto("s", "Ended", NOW - 61), _asked(), True),
        (_auto("s", "Ended", NOW - 59), _asked(), False),
        (_auto("s", "Ended", NOW - 61), _asked(fresh=False), False),
        (_auto("s", "Ended", NOW - 61), _asked("s"), False),
        (_auto("s", "PublisherLost", NOW - 61), _asked(), False),
        (_auto("s", "NotPublished", NOW), _asked(), True),
    ],
    ids=["ended for long", "just ended", "no director", "asked for again", "publisher lost", "never published"],
)
def test_an_auto_stream_is_removed_a_while_after_it_ended(stream: streams.Stream, facts: Facts, *, gone: bool) -> None:
    wanted = (Removal(kind=STREAM, name="auto-s", uid="s"),) if gone else ()
    assert auto_streams.plan(OPEN, [stream], facts, NOW).remove == wanted


def test_times_are_read_as_they_are_written() -> None:
    assert from_text(to_text(NOW)) == NOW
    assert from_text("now") is None
    assert from_text("2026-11-21T10:00:00") is None
