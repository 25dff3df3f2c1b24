from dataclasses import replace
from typing import Any

import pytest

from entries import ORIGIN
from rivulet_media.director.pulls import orders
from rivulet_media.director.resources import Resources, parse_documents
from rivulet_media.table import NodeEntry, NodeState, StreamEntry, StreamState, Table
from rivulet_media.wire import PullOrder, StreamPolicy

URL = "https://cdn.example/whep/s?key=1"
SECRET = {"kind": "Secret", "metadata": {"name": "pull-cdn"}, "stringData": {"token": " t \n"}}


def resources(*more: dict[str, Any], region: str = "eu", **pull: Any) -> Resources:
    spec = {"name": "s", "region": region, "source": {"pull": {"url": URL, **pull}}}
    published = {"kind": "Stream", "metadata": {"name": "p"}, "spec": {"region": "eu", "source": {"publish": {}}}}
    parsed = parse_documents(
        [{"kind": "Stream", "metadata": {"name": "s"}, "spec": spec}, published, *more], fresh=True
    )
    assert parsed.problems == ()
    return parsed.resources


def origin(number: int, state: NodeState = "up") -> NodeEntry:
    return replace(ORIGIN, node=f"origin-{number}", incarnation=f"{number:012x}", state=state)


def table(*nodes: NodeEntry, holder: NodeEntry | None = None, state: StreamState = "live") -> Table:
    made = Table()
    made.merge(0, nodes=nodes)
    if holder is not None:
        entry = StreamEntry(stream="s", incarnation="a" * 12, version=1, origin=holder.ref, region="eu", state=state)
        made.merge(0, streams=[entry])
    return made


def chosen(nodes: Table) -> list[str]:
    return sorted(orders(resources(), nodes, "eu"))


ORIGINS = [origin(number) for number in range(4)]


def test_one_origin_pulls_a_stream_and_is_told_how() -> None:
    (found,) = orders(resources(SECRET, secretRef={"name": "pull-cdn", "key": "token"}), table(*ORIGINS), "eu").values()
    assert found == {"s": PullOrder(url=URL, policy=StreamPolicy(stream="s"), token="t")}
    assert "'t'" not in repr(found), "a token is in no log"


def test_directors_that_heard_in_another_order_choose_the_same() -> None:
    first = chosen(table(*ORIGINS))
    assert (len(first), chosen(table(*reversed(ORIGINS)))) == (1, first)


def test_a_region_pulls_its_own_streams_only() -> None:
    assert orders(resources(region="us"), table(*ORIGINS), "eu") == {}
    assert orders(resources(), table(), "eu") == {}


@pytest.mark.parametrize("state", ["live", "lost"])
def test_who_has_it_keeps_it_while_it_takes_sessions(state: StreamState) -> None:
    for holder in ORIGINS:
        assert chosen(table(*ORIGINS, holder=holder, state=state)) == [holder.ref]
    full = origin(9, "full")
    assert chosen(table(*ORIGINS, full, holder=full)) == [full.ref]


@pytest.mark.parametrize(
    ("state", "of_stream", "keeps"),
    [("draining", "live", True), ("draining", "lost", False), ("down", "live", False)],
)
def test_who_leaves_goes_on_until_the_next_one_has_it(state: NodeState, of_stream: StreamState, *, keeps: bool) -> None:
    leaving = origin(9, state)
    found = chosen(table(*ORIGINS, leaving, holder=leaving, state=of_stream))
    assert ((leaving.ref in found), len(found)) == (keeps, 2 if keeps else 1)
    assert chosen(table(leaving, holder=leaving, state=of_stream)) == ([leaving.ref] if keeps else [])


@pytest.mark.parametrize("secrets", [[], [{**SECRET, "stringData": {"other": "t"}}], [{**SECRET, "stringData": {}}]])
def test_a_token_that_is_not_there_is_said(secrets: list[dict[str, Any]]) -> None:
    (found,) = orders(
        resources(*secrets, secretRef={"name": "pull-cdn", "key": "token"}), table(*ORIGINS), "eu"
    ).values()
    assert (found["s"].token, found["s"].problem) == (
        None,
        "there is no Secret pull-cdn with a token under the key token: create it",
    )


@pytest.mark.parametrize(
    "pull",
    [
        {"url": "rtsp://cdn.example/s"},
        {"url": "https://me:pass@cdn.example/s"},
        {"url": "https:///s"},
        {"url": "https://cdn.example:port/s"},
        {"url": URL, "secretRef": {"name": "rivulet-join", "key": "token"}},
        {"url": URL, "secretRef": {"name": "pull-cdn"}},
        {},
    ],
)
def test_a_stream_that_would_give_a_token_away_or_leads_nowhere_is_left_out(pull: dict[str, Any]) -> None:
    spec = {"region": "eu", "source": {"pull": pull}}
    parsed = parse_documents([{"kind": "Stream", "metadata": {"name": "s"}, "spec": spec}], fresh=True)
    assert (parsed.resources.streams, len(parsed.problems)) == ({}, 1)
