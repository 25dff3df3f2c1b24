"""Nodes that pull by links, as bare processes: one session between two nodes, whatever goes by it."""

import contextlib
import itertools
import json
import time
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest

from rivulet_media.wire import BEAT_SECONDS
from rivulet_scene.bare import BareCdn, metric
from rivulet_scene.clients import Client, probe
from rivulet_scene.http import Answer, request
from rivulet_scene.waiting import until
from steps import CUT_MS, edge_relays, live, logged, pictures, publish

pytestmark = pytest.mark.timeout(120)

STREAMS = ("first", "second", "third")
KEEP_SECONDS = 3
# Rates are read with each beat, and of two readings comes one rate.
RATE_SECONDS = 3 * BEAT_SECONDS


@pytest.fixture
def cdn(tmp_path: Path) -> Iterator[BareCdn]:
    """One region and a leaf of another, whose links are soon given up when they carry nothing."""
    with BareCdn(tmp_path, {"eu": 1, "us": 1}, regional("eu")) as running:
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


def sockets_towards(cdn: BareCdn, slot: str, parent: str) -> set[str]:
    """UDP sockets of a node that are connected to another's media port, by their own addresses."""
    table = cdn.table(parent)
    own = table["self"].split("/")  # others of its name may still stand there
    port = next(each["mediaPort"] for each in table["nodes"] if [each["node"], each["incarnation"]] == own)
    inodes = {target.name for target in _descriptors(cdn, slot)}
    rows = (line.split() for line in Path("/proc/net/udp").read_text().splitlines()[1:])
    return {row[1] for row in rows if row[2].endswith(f":{port:04X}") and f"socket:[{row[9]}]" in inodes}


def _descriptors(cdn: BareCdn, slot: str) -> Iterator[Path]:
    """What they stand for."""
    for link in Path(f"/proc/{cdn.processes[slot].popen.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            yield link.readlink()


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
        with watched(cdn, region, *STREAMS, seconds=60) as viewers:
            for viewer in viewers:
                until(lambda viewer=viewer: pictures(viewer) > 60, "it plays", seconds=30)  # type: ignore[misc]
            assert edge_relays(cdn, edge) == 3
            assert open_links(cdn, edge) == (1, 1, 1)
        until(lambda: edge_relays(cdn, edge) == 0, "relays closed", seconds=10)
        until(lambda: links(cdn, edge, "in") == 0, "link closed", seconds=KEEP_SECONDS + 5)
        (closed,), relays_closed = logged_at(cdn, edge, "link closes"), logged_at(cdn, edge, "relay closes")
        assert closed - relays_closed[-1] >= KEEP_SECONDS - 0.2
        until(lambda: links(cdn, "origin-eu-0", "out") == 0, "the parent knows", seconds=10)
        assert not sockets_towards(cdn, edge, "origin-eu-0")


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
    with publish(cdn, "first"), watched(cdn, "eu", "first"):
        until(lambda: links(cdn, "origin-eu-0", "out") == 1, "link", seconds=10)
        cdn.processes["edge-eu-0"].kill()
        until(lambda: links(cdn, "origin-eu-0", "out") == 0, "consent has expired", seconds=40)
        origin = cdn.processes["origin-eu-0"].http
        until(lambda: metric(origin, "rivulet_relays", direction="out") == 0, "and its relays", seconds=5)


@pytest.mark.timeout(300)
def test_a_fast_link_splits_in_two_and_the_next_relay_goes_by_the_one_that_carries_less(tmp_path: Path) -> None:
    edge, keep_seconds = "edge-eu-0", 20
    with BareCdn(tmp_path, {"eu": 1}, regional("eu")) as cdn, contextlib.ExitStack() as stack:
        cdn.director("eu")
        cdn.node("origin-eu-0", "origin", "eu")
        cdn.node(edge, "edge", "eu", "--link-seconds", str(keep_seconds), "--link-mbps", "2")
        for name, rate in zip(STREAMS, ("3M", "500k", "200k"), strict=True):
            stack.enter_context(publish(cdn, name, "--bitrate", rate))

        fast = stack.enter_context(watched(cdn, "eu", "first", seconds=180))[0]
        until(lambda: open_links(cdn, edge) == (1, 1, 1), "one link", seconds=10)
        first_link = sockets_towards(cdn, edge, "origin-eu-0")
        for tries in itertools.count(1):
            time.sleep(RATE_SECONDS)
            slow = stack.enter_context(watched(cdn, "eu", "second", seconds=180))[0]
            if tries == 3 or is_split(cdn, edge):
                break
            slow.stop()  # the first stream's camera paused, and it was not fast just then
            until(lambda: edge_relays(cdn, edge) == 1, "the fast one's relay alone", seconds=10)
        assert open_links(cdn, edge) == (2, 2, 2), "the second stream goes by another"
        time.sleep(RATE_SECONDS)
        with watched(cdn, "eu", "third") as [third]:
            until(lambda: pictures(third) > 0, "a third picture", seconds=20)
            assert open_links(cdn, edge) == (2, 2, 2), "the third goes by the one that is not full"
            fast.stop()
            assert seen(fast, "longest_gap_ms") < CUT_MS
        until(lambda: edge_relays(cdn, edge) == 1, "the fast one's relay and the third's are over", seconds=10)
        time.sleep(RATE_SECONDS - BEAT_SECONDS)
        with watched(cdn, "eu", "third", seconds=90) as [last]:
            until(lambda: pictures(last) > 0, "it has a picture again", seconds=20)
            slow.stop()
            assert seen(slow, "longest_gap_ms") < CUT_MS
            until(lambda: open_links(cdn, edge) == (1, 1, 1), "the second one's link is over", seconds=keep_seconds + 8)
            assert sockets_towards(cdn, edge, "origin-eu-0") == first_link, "the last one went by what carried nothing"
            last.stop()
            assert seen(last, "longest_gap_ms") < CUT_MS
        assert logged(cdn, edge, "relay opens") == 3 + tries, "none was cut"
        until(lambda: open_links(cdn, edge) == (0, 0, 0), "nothing is left", seconds=keep_seconds + 8)


@pytest.mark.parametrize(("region", "edge"), [("eu", "edge-eu-0"), ("us", "edge-us-0")])
def test_a_parent_without_links_is_pulled_from_stream_by_stream_until_one_with_links_has_its_name(
    cdn: BareCdn, region: str, edge: str
) -> None:
    """Straight and through both regions' directors."""
    replace_origin(cdn, "--link-seconds", "0")
    assert (ask_for_link(cdn, "wrong").status, ask_for_link(cdn).status) == (401, 404)
    assert ask_for_link(cdn).json["type"].endswith("/not-found")
    with contextlib.ExitStack() as stack:
        cameras = [stack.enter_context(publish(cdn, name)) for name in ("first", "second")]
        for name in ("first", "second"):
            until(partial(live, cdn, region, name), f"{name} known in {region}", seconds=10)
        with watched(cdn, region, "first", seconds=90) as [first]:
            until(lambda: pictures(first) > 0, "a picture without a link", seconds=20)
            assert logged(cdn, edge, "link opens") == logged(cdn, edge, "relays go without a link") == 1
            with watched(cdn, region, "second") as [second]:
                until(lambda: pictures(second) > 0, "and another", seconds=20)
                assert logged(cdn, edge, "link opens") == 1, "within a minute nothing is tried"
                assert edge_relays(cdn, edge) == len(sockets_towards(cdn, edge, "origin-eu-0")) == 2
                assert links(cdn, edge, "in") == links(cdn, "origin-eu-0", "out") == 0
            before = pictures(first)
            for camera in cameras:
                camera.kill()
            replace_origin(cdn)
            stack.enter_context(publish(cdn, "first"))
            until(lambda: links(cdn, edge, "in") == links(cdn, "origin-eu-0", "out") == 1, "a link", seconds=20)
            assert (logged(cdn, edge, "link opens"), edge_relays(cdn, edge)) == (2, 1)
            until(lambda: pictures(first) > before + 60, "the viewer's picture goes on", seconds=20)


def ask_for_link(cdn: BareCdn, token: str | None = None) -> Answer:
    join = token or cdn.regions["eu"].join_token
    headers = {"Authorization": f"Bearer {join}", "Rivulet-Node": "edge-eu-9/77aa00000009"}
    return request("POST", f"{cdn.processes['origin-eu-0'].http}/links", body="{}", headers=headers)


def replace_origin(cdn: BareCdn, *options: str) -> None:
    cdn.processes["origin-eu-0"].kill()
    cdn.node("origin-eu-0", "origin", "eu", *options)


def regional(region: str) -> dict[str, dict[str, object]]:
    return {name: {"region": region, "distribution": {"idleSeconds": 1}} for name in STREAMS}


def open_links(cdn: BareCdn, edge: str) -> tuple[float, float, int]:
    """As the edge and the origin count them; sockets."""
    origin = "origin-eu-0"
    return links(cdn, edge, "in"), links(cdn, origin, "out"), len(sockets_towards(cdn, edge, origin))


def is_split(cdn: BareCdn, edge: str) -> bool:
    """Whether both of them have two links before long."""
    with contextlib.suppress(AssertionError):
        until(lambda: open_links(cdn, edge) == (2, 2, 2), "two links", seconds=8)
        return True
    return False


def logged_at(cdn: BareCdn, slot: str, message: str) -> list[float]:
    """When a process has logged that (Unix time, seconds)."""
    lines = map(json.loads, cdn.processes[slot].log.read_text().splitlines())
    return [datetime.fromisoformat(line["time"]).timestamp() for line in lines if line["message"] == message]


def seen(viewer: Client, figure: str) -> float:
    return float(viewer.result()["video"][figure])
