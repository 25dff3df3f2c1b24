"""Nodes that pull by links, as bare processes: one session between two nodes, whatever goes by it."""

import contextlib
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from rivulet_scene.bare import BareCdn, metric
from rivulet_scene.clients import Client, probe
from rivulet_scene.waiting import until
from steps import edge_relays, live, publish

pytestmark = pytest.mark.timeout(120)

STREAMS = ("first", "second", "third")
KEEP_SECONDS = 3


@pytest.fixture
def cdn(tmp_path: Path) -> Iterator[BareCdn]:
    """One region and a leaf of another, whose links are soon given up when they carry nothing."""
    streams = {name: {"region": "eu", "distribution": {"idleSeconds": 1}} for name in STREAMS}
    with BareCdn(tmp_path, {"eu": 1, "us": 1}, streams) as running:
        for region in ("eu", "us"):
            running.director(region, ready=False)
        keep = ("--link-seconds", str(KEEP_SECONDS))
        running.node("origin-eu-0", "origin", "eu")
        running.node("edge-eu-0", "edge", "eu", *keep)
        running.node("edge-us-0", "edge", "us", *keep)
        for region in ("eu", "us"):
            running.settled(region)
        yield running


def links(cdn: BareCdn, slot: str, direction: str) -> float:
    return metric(cdn.processes[slot].http, "rivulet_links", direction=direction)


def sockets_towards(cdn: BareCdn, slot: str, parent: str) -> int:
    """UDP sockets of a node that are connected to another's media port."""
    port = next(entry["mediaPort"] for entry in cdn.table(parent)["nodes"] if entry["node"] == parent)
    inodes = {Path(link).readlink().name for link in _descriptors(cdn, slot)}
    rows = (line.split() for line in Path("/proc/net/udp").read_text().splitlines()[1:])
    return sum(row[2].endswith(f":{port:04X}") and f"socket:[{row[9]}]" in inodes for row in rows)


def _descriptors(cdn: BareCdn, slot: str) -> Iterator[Path]:
    for link in Path(f"/proc/{cdn.processes[slot].popen.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            link.readlink()
            yield link


@contextlib.contextmanager
def watched(cdn: BareCdn, region: str, *streams: str, seconds: int = 40) -> Iterator[list[Client]]:
    """Viewers in a region, all with a picture."""
    with contextlib.ExitStack() as stack:
        door = cdn.regions[region].public()
        viewers = [stack.enter_context(probe(f"{door}/whep/{name}", seconds=seconds)) for name in streams]
        for viewer in viewers:
            viewer.line(0)
        yield viewers


@pytest.mark.parametrize(("region", "edge"), [("eu", "edge-eu-0"), ("us", "edge-us-0")])
def test_many_streams_go_by_one_session_which_is_closed_when_it_carries_nothing(
    cdn: BareCdn, region: str, edge: str
) -> None:
    with contextlib.ExitStack() as stack:
        for name in STREAMS:
            stack.enter_context(publish(cdn, name))
        for name in STREAMS:
            until(partial(live, cdn, region, name), f"{name} known in {region}", seconds=10)
        with watched(cdn, region, *STREAMS, seconds=6) as viewers:
            until(lambda: edge_relays(cdn, edge) == 3, "three relays", seconds=10)
            seen = [viewer.result(seconds=30) for viewer in viewers]
            assert all(each["video"]["frames"] > 60 for each in seen), seen
            assert (links(cdn, edge, "in"), links(cdn, "origin-eu-0", "out")) == (1, 1)
            assert sockets_towards(cdn, edge, "origin-eu-0") == 1
        until(lambda: edge_relays(cdn, edge) == 0, "relays closed", seconds=10)
        relays_over = time.monotonic()
        until(lambda: links(cdn, edge, "in") == 0, "link closed", seconds=KEEP_SECONDS + 5)
        assert time.monotonic() - relays_over > KEEP_SECONDS - 2
        until(lambda: links(cdn, "origin-eu-0", "out") == 0, "the parent knows", seconds=2)
        assert sockets_towards(cdn, edge, "origin-eu-0") == 0


def test_a_parent_that_is_killed_and_comes_back_gets_a_new_link_and_viewers_go_on(cdn: BareCdn) -> None:
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(publish(cdn, "first"))
        with watched(cdn, "eu", "first") as [viewer]:
            watching = time.monotonic()
            until(lambda: links(cdn, "edge-eu-0", "in") == 1, "link", seconds=10)
            killed = time.monotonic()
            cdn.processes["origin-eu-0"].kill()
            first.kill()
            cdn.node("origin-eu-0", "origin", "eu")
            stack.enter_context(publish(cdn, "first"))
            until(lambda: edge_relays(cdn, "edge-eu-0") == 1, "a new relay", seconds=15)
            until(lambda: links(cdn, "origin-eu-0", "out") == 1, "a new link", seconds=10)
            # At 30 a second: more than there were before, and more.
            assert viewer.result(seconds=60)["video"]["frames"] > 30 * (killed - watching + 1) + 150


def test_an_edge_that_is_killed_is_forgotten_by_its_parent(cdn: BareCdn) -> None:
    with publish(cdn, "first"), watched(cdn, "eu", "first", seconds=8):
        until(lambda: links(cdn, "origin-eu-0", "out") == 1, "link", seconds=10)
        cdn.processes["edge-eu-0"].kill()
        until(lambda: links(cdn, "origin-eu-0", "out") == 0, "consent has expired", seconds=40)
        assert metric(cdn.processes["origin-eu-0"].http, "rivulet_relays", direction="out") == 0
