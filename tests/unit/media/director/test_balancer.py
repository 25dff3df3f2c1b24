from dataclasses import replace

import pytest

from entries import ORIGIN
from rivulet_media.director.balancer import RoundRobin, server_list, split_host
from rivulet_media.director.resources import Balancer, CDNRegion, Metadata, RegionSpec
from rivulet_media.table import NodeEntry


def edge(slot: str) -> NodeEntry:
    return replace(ORIGIN, node=slot, role="edge")


def answers(turns: RoundRobin, slots: str, count: int) -> str:
    chosen = (turns.next([edge(slot) for slot in slots]) for _ in range(count))
    return "".join(entry.node for entry in chosen if entry is not None)


def test_answers_alternate_strictly() -> None:
    """L7."""
    assert answers(RoundRobin(), "ba", 10) == "ababababab"


def test_the_turn_goes_on_when_edges_come_and_go() -> None:
    turns = RoundRobin()
    assert answers(turns, "abc", 2) == "ab"
    assert answers(turns, "ac", 3) == "cac"
    assert answers(turns, "abc", 3) == "abc"
    assert answers(turns, "", 3) == ""
    assert answers(turns, "bd", 3) == "dbd"


@pytest.mark.parametrize(
    ("host", "node_names", "server", "ws"),
    [
        ("eu.example", False, "eu.example/n/edge-eu-0", "8080"),
        ("eu.example:30080", False, "eu.example:30080/n/edge-eu-0", "30080"),
        ("eu.example:30080", True, "edge-eu-0.eu.example", "30080"),
    ],
)
def test_the_classic_answer(host: str, server: str, ws: str, *, node_names: bool) -> None:
    """L8: exactly four texts."""
    spec = RegionSpec(host=host, balancer=Balancer(enabled=True, node_names=node_names))
    sheet = CDNRegion(metadata=Metadata(name="eu"), spec=spec)
    expected = {"server": server, "flash": "1935", "ws": ws, "wss": "443"}
    assert server_list(sheet, "edge-eu-0").as_json() == expected


def test_a_host_and_its_port() -> None:
    assert split_host("[2001:db8::1]:80") == ("[2001:db8::1]", "80")
    assert split_host("[2001:db8::1]") == ("[2001:db8::1]", "")
