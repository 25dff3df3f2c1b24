import dataclasses
from typing import Any

import pytest

from rivulet_media.route import NoParent, Parent, Reason, RoutePolicy, route
from rivulet_media.table import Layer, NodeEntry, Pod, Role, StreamEntry, Table, Track


def node(slot: str, role: Role = "edge", region: str = "eu") -> NodeEntry:
    return NodeEntry(
        node=slot,
        incarnation="77aa00000001",
        version=1,
        role=role,
        region=region,
        state="up",
        address="192.0.2.1",
        media_port=7000,
        http="192.0.2.1:8080",
        pod=Pod(ip="192.0.2.1"),
    )


ORIGIN = node("origin-eu-0", "origin")
EDGE = node("edge-eu-0")
FAR_EDGE = node("edge-us-0", region="us")
FAR_ORIGIN = node("origin-us-0", "origin", "us")
STREAM = StreamEntry(stream="s", incarnation="aaaaaaaaaaaa", version=1, origin=ORIGIN.ref, region="eu", state="live")


def table(stream: StreamEntry = STREAM, origin: NodeEntry = ORIGIN) -> Table:
    made = Table()
    made.merge(0, nodes=[origin, EDGE, FAR_EDGE, FAR_ORIGIN], streams=[stream])
    return made


def test_an_edge_pulls_from_the_origin_of_its_region_directly() -> None:
    assert route("s", EDGE, table(), RoutePolicy()) == Parent(ORIGIN, STREAM, "direct")


def test_an_edge_of_another_region_asks_through_directors() -> None:
    assert route("s", FAR_EDGE, table(), RoutePolicy()) == Parent(ORIGIN, STREAM, "directors")


def test_an_origin_does_not_pull_unless_switched_on() -> None:
    """E13."""
    assert route("s", FAR_ORIGIN, table(), RoutePolicy()) == NoParent("not-here")
    assert isinstance(route("s", FAR_ORIGIN, table(), RoutePolicy(origin_relays=True)), Parent)


def test_nobody_pulls_from_itself() -> None:
    assert route("s", ORIGIN, table(), RoutePolicy(origin_relays=True)) == NoParent("not-here")


def video(codec: str, *rids: str, live: bool = False) -> tuple[Track, ...]:
    layers = tuple(Layer(rid=rid, live=live) for rid in rids)
    return (Track(kind="video", codec=codec, clock_rate=90000, layers=layers),)


def test_an_open_relay_serves_another_publication_but_no_other_transport_codec_or_layers() -> None:
    layered = dataclasses.replace(STREAM, tracks=video("h264", "h", "l"))
    here = Parent(ORIGIN, layered, "direct")
    changes: list[tuple[str, dict[str, Any], bool]] = [
        ("publication", {"incarnation": "bbbbbbbbbbbb", "version": 2}, True),
        ("transport", {"transport": "tcp"}, False),
        ("codec", {"tracks": video("vp8", "h", "l")}, False),
        ("layers by other names", {"tracks": video("h264", "0", "1")}, False),
        ("no layers", {"tracks": video("h264")}, False),
        ("layers that have come", {"tracks": video("h264", "l", "h", live=True)}, True),
    ]
    for what, change, same in changes:
        assert here.same_source(Parent(ORIGIN, dataclasses.replace(layered, **change), "direct")) is same, what


def test_a_lost_stream_keeps_its_parent() -> None:
    lost = dataclasses.replace(STREAM, state="lost")
    assert isinstance(route("s", EDGE, table(lost), RoutePolicy()), Parent)


@pytest.mark.parametrize(
    ("stream", "origin", "reason"),
    [
        (dataclasses.replace(STREAM, state="ended"), ORIGIN, "ended"),
        (dataclasses.replace(STREAM, stream="other"), ORIGIN, "unknown"),
        (STREAM, dataclasses.replace(ORIGIN, state="down"), "origin-down"),
        (STREAM, dataclasses.replace(ORIGIN, role="edge"), "origin-down"),
    ],
    ids=["ended", "unknown", "origin down", "an edge is never a parent (R5)"],
)
def test_without_a_parent_there_is_a_reason(stream: StreamEntry, origin: NodeEntry, reason: Reason) -> None:
    assert route("s", EDGE, table(stream, origin), RoutePolicy()) == NoParent(reason)
