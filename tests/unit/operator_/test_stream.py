from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rivulet_operator.model import region as regions
from rivulet_operator.model import stream as streams
from rivulet_operator.model.conditions import find, rendered
from rivulet_operator.model.facts import Counts, Facts, NodeFact, StreamFact, Track
from rivulet_operator.plan.stream import Name, plan

EU = regions.parse({"metadata": {"name": "eu", "namespace": "cdn", "uid": "r"}, "spec": {"host": "eu.example"}})
URLS = {way: f"http://eu.example/{way}/s" for way in ("whip", "whep", "play")}


def _stream(name: str = "s", created: str = "2026-11-21T09:00:00Z", **changes: Any) -> streams.Stream:
    metadata = {"name": name, "namespace": "cdn", "uid": f"uid-{name}", "creationTimestamp": created}
    body = {"metadata": metadata, "spec": {"name": "s", "region": "eu"}, **changes}
    return streams.parse(body)


def _live(status: str, reason: str) -> dict[str, Any]:
    live = {"type": "Live", "status": status, "reason": reason, "message": "m", "lastTransitionTime": "t"}
    return {"status": {"conditions": [live], "origin": "origin-eu-0", "viewers": 3}}


LIVE = StreamFact(
    stream="s",
    incarnation="a",
    version=1,
    origin="origin-eu-0/77",
    region="eu",
    state="live",
    since=1_795_000_000.0,
    tracks=(Track(kind="video", codec="h264", fmtp="p=1"), Track(kind="audio", codec="opus")),
)
EDGE = NodeFact(
    slot="edge-eu-0",
    incarnation="b",
    version=1,
    role="edge",
    region="eu",
    state="up",
    counts=Counts(viewers=2, streams={"s": 2}),
)
ON_AIR = {
    "urls": URLS,
    "origin": "origin-eu-0",
    "startedAt": "2026-11-18T11:06:40Z",
    "tracks": [{"kind": "video", "codec": "h264", "detail": "p=1"}, {"kind": "audio", "codec": "opus"}],
    "codecs": "h264, opus",
    "viewers": 2,
}
OFF_AIR = {"urls": URLS, "viewers": 0}


def _name(stream: streams.Stream, *facts: StreamFact, fresh: bool = True) -> Name:
    said = Facts(told=True, fresh=fresh, streams=facts, nodes=(EDGE,))
    return Name(stream=stream, claims=[stream], own="eu", region=EU, facts=said)


OLDER = _stream("older", created="2026-11-21T08:00:00Z")
CASES: dict[str, tuple[Name, tuple[str, str], dict[str, Any]]] = {
    "published": (_name(_stream(), LIVE), ("Publishable", "Publishing"), ON_AIR),
    "its publisher is silent": (
        _name(_stream(), replace(LIVE, state="lost")),
        ("Publishable", "PublisherLost"),
        ON_AIR,
    ),
    "ended": (_name(_stream(), replace(LIVE, state="ended", reason="deleted")), ("Publishable", "Ended"), OFF_AIR),
    "live again beside its end": (
        _name(_stream(), replace(LIVE, incarnation="b", state="ended", since=1_795_000_100.0), LIVE),
        ("Publishable", "Publishing"),
        ON_AIR,
    ),
    "never published": (_name(_stream()), ("Publishable", "NotPublished"), OFF_AIR),
    "its origin is gone": (_name(_stream(**_live("True", "Publishing"))), ("Publishable", "Ended"), OFF_AIR),
    "no director answers": (
        _name(_stream(**_live("True", "Publishing")), fresh=False),
        ("Publishable", "Publishing"),
        {"urls": URLS, "origin": "origin-eu-0", "viewers": 3},
    ),
    "the older has the name": (
        replace(_name(_stream()), claims=[_stream(), OLDER]),
        ("NameTaken", "NotPublished"),
        {"urls": URLS},
    ),
    "of another region": (replace(_name(_stream()), own="us"), ("NotThisRegion", "NotPublished"), {"urls": URLS}),
    "no CDNRegion": (replace(_name(_stream()), region=None), ("RegionMissing", "NotPublished"), {}),
}


@pytest.mark.parametrize(("name", "reasons", "fields"), CASES.values(), ids=CASES.keys())
def test_a_status_tells_what_the_directors_say(name: Name, reasons: tuple[str, str], fields: dict[str, Any]) -> None:
    status = plan(name).status
    by_type = {condition.type: condition for condition in status.conditions}
    assert (by_type["Ready"].reason, by_type["Live"].reason) == reasons
    assert by_type["Live"].status == (reasons[1] == "Publishing")
    assert by_type["Stalled"].status == (reasons[0] != "Publishable")
    assert status.fields == fields


PULLED_URLS = {way: url for way, url in URLS.items() if way != "whip"}


def _pulled(*facts: StreamFact, error: str | None = None, state: str = "up", **changes: Any) -> Name:
    """Pulled from cdn.example; `error`: what the origin says of it, None: no origin pulls it."""
    spec = {"name": "s", "region": "eu", "source": {"pull": {"url": "https://cdn.example/whep/s?key=secret"}}}
    name = _name(_stream(spec=spec, **changes), *facts)
    if error is None:
        return name
    origin = replace(EDGE, slot="origin-eu-0", incarnation="77", role="origin", state=state)
    said = replace(name.facts, nodes=(EDGE, replace(origin, counts=Counts(pulls={"s": error}))))
    return replace(name, facts=said)


PULLED: dict[str, tuple[Name, str, str]] = {
    "it comes": (_pulled(LIVE, error=""), "Pulling", "origin-eu-0 pulls it from cdn.example."),
    "it came until now": (
        _pulled(replace(LIVE, state="lost"), error="cdn.example answers 404"),
        "SourceLost",
        "The source fell silent; its viewers are kept for a while. origin-eu-0: cdn.example answers 404.",
    ),
    "it came until now, and nothing is known": (
        _pulled(replace(LIVE, state="lost")),
        "SourceLost",
        "The source fell silent; its viewers are kept for a while.",
    ),
    "nobody pulls it": (_pulled(), "WaitingForOrigin", "No origin pulls it yet: is one up?"),
    "who pulled it is down": (
        _pulled(error="", state="down"),
        "WaitingForOrigin",
        "No origin pulls it yet: is one up?",
    ),
    "it is asked for": (_pulled(error=""), "Connecting", "origin-eu-0 asks cdn.example for it."),
    "it does not come": (_pulled(error="no connection"), "SourceUnreachable", "origin-eu-0: no connection."),
    "it came once": (
        _pulled(replace(LIVE, state="ended", reason="publisher-lost"), error="no connection"),
        "SourceUnreachable",
        "origin-eu-0: no connection.",
    ),
}


@pytest.mark.parametrize(("name", "reason", "message"), PULLED.values(), ids=PULLED.keys())
def test_a_pulled_stream_says_why_it_comes_or_not(name: Name, reason: str, message: str) -> None:
    status = plan(name).status
    by_type = {condition.type: condition for condition in status.conditions}
    assert (by_type["Live"].reason, by_type["Live"].message) == (reason, message)
    assert by_type["Live"].status == (reason == "Pulling")
    assert (by_type["Ready"].reason, by_type["Ready"].message) == ("Pulled", "Pulled from cdn.example.")
    assert status.fields["urls"] == PULLED_URLS, "nobody publishes it"


def test_a_condition_keeps_the_time_at_which_its_status_changed() -> None:
    wanted = plan(_name(_stream(), LIVE)).status.conditions
    first = rendered(wanted, [], 1, 1000.0)
    later = rendered(wanted, first, 2, 2000.0)
    assert [c["lastTransitionTime"] for c in later] == ["1970-01-01T00:16:40Z"] * 4
    assert {c["observedGeneration"] for c in later} == {2}
    ended = rendered(plan(_name(_stream(), replace(LIVE, state="ended"))).status.conditions, later, 2, 3000.0)
    live = find(ended, "Live")
    assert live is not None
    assert live["lastTransitionTime"] == "1970-01-01T00:50:00Z"
