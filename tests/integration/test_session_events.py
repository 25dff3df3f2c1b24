"""What viewers are told while they watch, at real nodes: straight, through a director, and through another region's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from urllib.parse import urlsplit

import pytest

from event_reader import EventReader
from light_viewers import LightViewers
from rivulet_scene.bare import BareCdn, metric
from rivulet_scene.http import get, request
from rivulet_scene.waiting import until
from steps import publish

pytestmark = pytest.mark.timeout(90)

REL = 'rel="urn:ietf:params:whep:ext:core:server-sent-events"'


@asynccontextmanager
async def watching(cdn: BareCdn, slot: str, stream: str) -> AsyncIterator[str]:
    """The session's path of one viewer of `stream` at a node."""
    door = cdn.regions["eu"].public()
    async with LightViewers() as viewers:
        await viewers.join(door, f"{door}/n/{slot}/whep/{stream}")
        (location,) = viewers.sessions.values()
        yield urlsplit(location).path


async def test_a_session_s_story_is_told_through_directors_of_both_regions(cdn: BareCdn) -> None:
    """D19 D22: live, lost and waited for, live again, ended and why, as it happens; then nothing is left of it."""
    doors = (cdn.regions["eu"].public(1), cdn.regions["us"].public())
    with publish(cdn, "test_eu") as camera:
        async with watching(cdn, "edge-eu-0", "test_eu") as path:
            with EventReader(f"{doors[0]}{path}/events") as near, EventReader(f"{doors[1]}{path}/events") as far:
                for reader in (near, far):
                    reader.hears("active")
                    assert reader.headers["Content-Type"] == "text/event-stream"
                    assert reader.headers["Access-Control-Allow-Origin"] == "*"
                camera.kill()
                for reader in (near, far):
                    reader.hears("active", "inactive")
                with publish(cdn, "test_eu") as again:
                    for reader in (near, far):
                        reader.hears("active", "inactive", "active")
                    again.stop()
                for reader in (near, far):
                    reader.hears("active", "inactive", "active", "ended")
                    assert reader.events[-1] == ("ended", {"reason": "stream-ended"})
                    reader.ends()
        for door in doors:
            gone = get(f"{door}{path}/events")
            assert (gone.status, gone.json["reason"]) == (410, "stream-ended")
    edge = cdn.processes["edge-eu-0"].http
    for name in ("director-eu-1", "director-us-0"):
        until(partial(director_streams_over, cdn, name), f"none passes {name}", seconds=5)
    until(lambda: metric(edge, "rivulet_event_streams") == 0, "none is left at the node", seconds=5)


async def test_a_reader_that_goes_leaves_nothing_behind(cdn: BareCdn) -> None:
    """The director notices at once, and hangs up at the node, whose next comment tells it; who stays hears that one."""
    door, edge = cdn.regions["us"].public(), cdn.processes["edge-eu-0"].http
    with publish(cdn, "test_eu"):
        async with watching(cdn, "edge-eu-0", "test_eu") as path:
            with EventReader(f"{edge}{path}/events") as steady:
                with EventReader(f"{door}{path}/events") as reader:
                    reader.hears("active")
                    until(lambda: metric(edge, "rivulet_event_streams") == 2, "both are counted", seconds=5)
                until(lambda: director_streams(cdn, "director-us-0") == 0, "the director has hung up", seconds=10)
                until(lambda: metric(edge, "rivulet_event_streams") == 1, "the node has noticed", seconds=20)
                until(lambda: steady.comments > 0, "a comment every 15 s", seconds=20)
                assert not steady.over.is_set()


async def test_a_session_has_two_event_streams_and_the_newest_count(cdn: BareCdn) -> None:
    edge = cdn.processes["edge-eu-0"].http
    with publish(cdn, "test_eu"):
        async with watching(cdn, "edge-eu-0", "test_eu") as path:
            url = f"{edge}{path}/events"
            with EventReader(url) as first, EventReader(url) as second, EventReader(url) as third:
                first.ends()
                for reader in (second, third):
                    reader.hears("active")
                    assert not reader.over.is_set()


async def test_a_player_may_choose_its_events_as_the_draft_says(cdn: BareCdn) -> None:
    """POST an array, read at the Location; what nobody here knows is passed over."""
    door = cdn.regions["us"].public()
    headers = {"Content-Type": "application/json"}
    with publish(cdn, "test_eu") as camera:
        async with watching(cdn, "edge-eu-0", "test_eu") as path:
            url = f"{door}{path}/events"
            chosen = request("POST", url, body='["ended", "viewercount"]', headers=headers)
            assert (chosen.status, chosen.headers["Location"]) == (201, f"{path}/events?events=ended")
            assert request("POST", url).headers["Location"].endswith("=active,inactive,layers,reconnect,ended")
            for wrong in ("{}", "[1]", "nonsense"):
                assert request("POST", url, body=wrong, headers=headers).status == 400
            assert request("OPTIONS", url).headers["Access-Control-Allow-Origin"] == "*"
            with EventReader(f"{door}{chosen.headers['Location']}") as reader:
                camera.stop()
                reader.hears("ended")


async def test_only_viewers_have_events(cdn: BareCdn) -> None:
    door = cdn.regions["eu"].public()
    with publish(cdn, "test_eu") as camera:
        session = str(camera.line(0)["session"])
        answer = get(f"{session if session.startswith('http') else door + session}/events")
        assert (answer.status, answer.json["type"].rpartition("/")[2]) == (404, "not-found")
        assert get(f"{door}/session/edge-eu-0/000000000000/0123456789abcdef/events").status == 404


async def test_viewers_of_a_node_that_ends_are_asked_to_move(cdn: BareCdn) -> None:
    """O2 O5: asked, not cut; the node goes when the last one has moved."""
    door = cdn.regions["eu"].public()
    leaving = cdn.node("leaving-eu-0", "edge", "eu")
    with publish(cdn, "test_eu"):
        async with watching(cdn, "leaving-eu-0", "test_eu") as path:
            with EventReader(f"{door}{path}/events") as reader:
                reader.hears("active")
                leaving.terminate()
                reader.hears("active", "reconnect")
                assert get(f"{door}{path}").status == 200
                with EventReader(f"{door}{path}/events") as late:
                    late.hears("active", "reconnect")
                assert request("DELETE", f"{door}{path}").status == 200
                reader.hears("active", "reconnect", "ended")
                assert reader.events[-1] == ("ended", {"reason": "deleted"})
                until(lambda: not leaving.running, "the node has ended", seconds=20)


def director_streams_over(cdn: BareCdn, name: str) -> bool:
    """Whether no event stream passes through a director."""
    return director_streams(cdn, name) == 0


def director_streams(cdn: BareCdn, name: str) -> float:
    """Event streams that pass through a director now."""
    _, region, number = name.split("-")
    return metric(cdn.regions[region].internal(int(number)), "rivulet_director_links", peer="viewer")
