"""Parts of a running CDN die, freeze and come back: what ought to go on goes on, tables agree again, nothing leaks."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from signal import SIGCONT, SIGSTOP
from typing import Any

import pytest

from descriptors import descriptors, grown
from light_viewers import LightViewers
from rivulet_scene.bare import BareCdn, Process, delete, metric
from rivulet_scene.clients import Client, probe
from rivulet_scene.http import Answer, get, request
from rivulet_scene.waiting import holds, until
from steps import (
    BRIEF_LINKS,
    CUT_MS,
    agreed,
    edge_relays,
    frozen,
    holder,
    live,
    logged,
    node_state,
    pictures,
    playable,
    publish,
    state,
)

pytestmark = pytest.mark.timeout(180)

STREAMS: dict[str, dict[str, Any]] = {
    name: {"region": "eu", "distribution": {"idleSeconds": 1}} for name in ("test_eu", "second_eu", "third_eu")
}
DIRECTORS = (("eu", 0), ("eu", 1), ("us", 0))
SLOTS = ("origin-eu-0", "edge-eu-0", "edge-eu-1", "edge-us-0")


@pytest.fixture(scope="module")
def cdn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BareCdn]:
    """eu: two directors, an origin, two edges; us: a director, an edge. Relays end 1 s after their last viewer."""
    with BareCdn(tmp_path_factory.mktemp("faults"), {"eu": 2, "us": 1}, STREAMS) as running:
        for region, number in DIRECTORS:
            running.director(region, number, ready=False)
        for slot in SLOTS:
            start(running, slot)
        for region, number in DIRECTORS:
            running.settled(region, number)
        yield running


@pytest.fixture(autouse=True)
def nothing_leaks(cdn: BareCdn) -> Iterator[None]:
    """After each scene: no session, no relay, one truth in all tables, and no file descriptor more than before."""
    for slot in SLOTS:  # what a scene that failed has left down
        if not cdn.processes[slot].running:
            start(cdn, slot)
    until(partial(agreed, cdn), "tables equal before", seconds=20)
    before = {process.popen.pid: descriptors(process) for process in cdn.processes.values() if process.running}
    yield
    until(lambda: not busy(cdn), "no session and no relay is left", seconds=25)
    until(partial(agreed, cdn), "tables equal afterwards", seconds=20)
    until(lambda: not grown(cdn, before), "no descriptor is left open", seconds=20)


def start(cdn: BareCdn, slot: str) -> Process:
    """Start a node, or start it again, under its name."""
    role, region, _ = slot.split("-")
    return cdn.node(slot, role, region, *BRIEF_LINKS)


def nodes(cdn: BareCdn) -> list[str]:
    return [name for name, process in cdn.processes.items() if process.running and not name.startswith("director")]


def busy(cdn: BareCdn) -> dict[str, float]:
    """Sessions and relays that there still are, by node."""
    names = ("rivulet_sessions", "rivulet_relays")
    found = {slot: sum(metric(cdn.processes[slot].http, name) for name in names) for slot in nodes(cdn)}
    return {slot: count for slot, count in found.items() if count}


def states(cdn: BareCdn, slots: list[str], name: str) -> set[str | None]:
    """What the tables of these nodes say of a node."""
    return {node_state(cdn.table(slot), name) for slot in slots}


@asynccontextmanager
async def viewers(cdn: BareCdn, *places: str, stream: str = "test_eu") -> AsyncIterator[LightViewers]:
    """One viewer per edge named, with media."""
    async with LightViewers() as all_viewers:
        for slot in places:
            until(partial(playable, cdn, slot, stream), f"{stream} playable by {slot}", seconds=10)
            door = cdn.regions[slot.split("-")[1]].public()
            await all_viewers.join(door, f"{door}/n/{slot}/whep/{stream}")
        await resumed(all_viewers, len(places))
        yield all_viewers
        await asyncio.to_thread(leave_quietly, all_viewers)


def leave_quietly(all_viewers: LightViewers) -> None:
    """DELETE what still stands; a session that has ended says 410, one of a dead node 404 or 410."""
    for location in all_viewers.sessions.values():
        assert delete(location).status in (200, 404, 410), location


async def resumed(all_viewers: LightViewers, count: int, seconds: float = 10) -> None:
    """Every one of `count` viewers gets a key frame that it has not had before."""
    before = all_viewers.key_frames()
    assert len(before) == count

    def grows() -> bool:
        now = all_viewers.key_frames()
        return now.keys() == before.keys() and all(now[session] > before[session] for session in now)

    await asyncio.to_thread(until, grows, "a picture for every viewer", seconds=seconds)


def assert_kept(all_viewers: LightViewers) -> None:
    """The sessions that were opened are those that play now."""
    for location in all_viewers.sessions.values():
        assert get(location).status == 200, location


async def test_a_killed_edge_costs_its_own_viewers_only(cdn: BareCdn) -> None:
    """D11 L4: the other edge plays on, the next POST lands there at once; down everywhere ≤ 10 s; then it is back."""
    door = cdn.regions["eu"].public()
    with publish(cdn, "test_eu"), probe(f"{door}/n/edge-eu-0/whep/test_eu", seconds=12) as kept:
        kept.line(0)
        relays = logged(cdn, "edge-eu-0", "relay opens")
        async with viewers(cdn, "edge-eu-1") as lost, LightViewers() as later:
            cdn.processes["edge-eu-1"].kill()
            killed = time.monotonic()
            await later.join(door, f"{door}/whep/test_eu", 4)
            assert all("/edge-eu-0/" in location for location in later.sessions.values())
            await resumed(later, 4)
            until(
                lambda: states(cdn, nodes(cdn), "edge-eu-1") <= {"down", None},
                "down everywhere",
                seconds=10 - (time.monotonic() - killed),
            )
            for location in lost.sessions.values():
                # 503 while the door's director has not heard what the nodes have.
                until(lambda location=location: get(location).status in (404, 410), "gone", seconds=5)  # type: ignore[misc]
            await later.leave()
        seen = kept.result()
        assert seen["video"]["longest_gap_ms"] < CUT_MS, seen
        assert logged(cdn, "edge-eu-0", "relay opens") == relays
        start(cdn, "edge-eu-1")
        until(partial(agreed, cdn), "tables equal", seconds=20)
        async with viewers(cdn, "edge-eu-1"):
            assert edge_relays(cdn, "edge-eu-1") == 1
            assert descriptors(cdn.processes["edge-eu-1"]).udp == 2  # its media port and its link's


async def test_a_publisher_whose_origin_died_goes_on_at_another(cdn: BareCdn) -> None:
    """D21: at once, before anybody has noticed; viewers in two regions keep their sessions and get the media again."""
    start(cdn, "origin-eu-1")
    try:
        with publish(cdn, "test_eu") as camera:
            async with viewers(cdn, "edge-eu-0", "edge-us-0") as kept:
                victim = holder(cdn, "test_eu")
                camera.kill()
                cdn.processes[victim].kill()
                with publish(cdn, "test_eu"):
                    until(lambda: holder(cdn, "test_eu") not in (victim, ""), "on another origin", seconds=10)
                    await resumed(kept, 2, 15)
                    assert_kept(kept)
                    start(cdn, victim)
                    until(partial(agreed, cdn), "tables equal", seconds=20)
    finally:
        cdn.processes["origin-eu-1"].stop()
    until(lambda: states(cdn, nodes(cdn), "origin-eu-1") == {None}, "goodbye", seconds=10)


async def test_an_origin_replaced_under_its_name_is_pulled_from_again(cdn: BareCdn) -> None:
    """D21: edges say lost and drop their relays; publisher and origin are back: the same sessions play on."""
    edges = ["edge-eu-0", "edge-us-0"]
    with publish(cdn, "test_eu") as camera:
        async with viewers(cdn, *edges) as kept:
            cdn.processes["origin-eu-0"].kill()
            camera.kill()
            until(lambda: {state(cdn, slot, "test_eu") for slot in edges} == {"lost"}, "lost", seconds=10)
            until(lambda: {edge_relays(cdn, slot) for slot in edges} == {0}, "relays dropped", seconds=10)
            assert_kept(kept)
            start(cdn, "origin-eu-0")
            with publish(cdn, "test_eu"):
                until(lambda: {edge_relays(cdn, slot) for slot in edges} == {1}, "relays back", seconds=10)
                await resumed(kept, 2)
                assert_kept(kept)
                until(partial(agreed, cdn), "tables equal", seconds=20)


async def test_one_director_is_enough_and_playing_needs_none(cdn: BareCdn) -> None:
    """D15: what was opened through the dead one lives on through the other; with none left pictures and edges go on."""
    first, second = (cdn.regions["eu"].public(number) for number in (0, 1))
    edge = cdn.processes["edge-eu-0"].http
    with publish(cdn, "test_eu"), probe(f"{first}/n/edge-eu-0/whep/test_eu", seconds=25) as picture:
        picture.line(0)
        relays = logged(cdn, "edge-eu-0", "relay opens")
        async with viewers(cdn, "edge-eu-1") as early, LightViewers() as later:
            cdn.processes["director-eu-0"].kill()
            for location in early.sessions.values():
                path = location.removeprefix(first)
                assert get(second + path).status == 200
                assert delete(second + path).status == 200
            await later.join(second, f"{second}/n/edge-eu-1/whep/test_eu")
            cdn.processes["director-eu-1"].kill()
            await later.join(edge, f"{edge}/whep/test_eu")
            await resumed(later, 2)
            holds(lambda: edge_relays(cdn, "edge-eu-0") == edge_relays(cdn, "edge-eu-1") == 1, "relays stay", seconds=7)
            for number in (0, 1):
                cdn.director("eu", number)
            until(partial(agreed, cdn), "tables equal", seconds=20)
            assert live(cdn, "eu", "test_eu")
            await resumed(later, 2)
            await later.leave()
        seen = picture.result()
        assert seen["video"]["longest_gap_ms"] < CUT_MS, seen
        assert logged(cdn, "edge-eu-0", "relay opens") == relays


@pytest.mark.parametrize("numbers", [(0,), (0, 1)], ids=["one", "both"])
def test_directors_that_stood_still_call_nobody_down(cdn: BareCdn, numbers: tuple[int, ...]) -> None:
    """D15: nodes spoke all the time while their directors' host paused; no relay drops."""
    door = cdn.regions["eu"].public()
    directors = [f"director-eu-{number}" for number in numbers]
    with publish(cdn, "test_eu"), probe(f"{door}/n/edge-eu-0/whep/test_eu", seconds=60) as viewer:
        until(lambda: pictures(viewer) > 0, "a picture", seconds=45)
        counted = [*((name, "nodes are down") for name in directors), ("edge-eu-0", "relay opens")]
        logs = [logged(cdn, *each) for each in counted]
        for seconds in (5, 9):
            for name in directors:
                cdn.processes[name].freeze()
            time.sleep(seconds)
            for name in directors:
                cdn.processes[name].thaw()
            until(partial(agreed, cdn), "tables equal", seconds=20)
            time.sleep(7)  # by then who has not come back would be down
            assert [logged(cdn, *each) for each in counted] == logs
        before = pictures(viewer)
        until(lambda: pictures(viewer) > before + 15, "it plays on", seconds=20)


async def test_a_region_that_falls_silent_keeps_its_viewers_abroad(cdn: BareCdn) -> None:
    """D15 D20: what the other region carries plays on, also for new viewers; the rest is 503 for now; healed ≤ 10 s."""
    us = cdn.regions["us"].public()
    with publish(cdn, "test_eu"), publish(cdn, "second_eu", "--no-video"):
        until(lambda: playable(cdn, "edge-us-0", "test_eu"), "us knows test_eu", seconds=10)
        async with viewers(cdn, "edge-us-0") as kept, LightViewers() as later:
            with frozen(cdn.processes["director-eu-0"]), frozen(cdn.processes["director-eu-1"]):
                refused = until(lambda: unreachable(us, "second_eu"), "the region is not reached", seconds=10)
                assert int(refused.headers["Retry-After"]) > 0
                assert refused.headers["Content-Type"] == "application/problem+json"
                await later.join(us, f"{us}/whep/test_eu")
                await resumed(later, 1)
                await resumed(kept, 1)
            until(partial(agreed, cdn), "tables equal", seconds=20)
            assert_kept(kept)
            until(lambda: unreachable(us, "second_eu") is None, "the region is reached", seconds=10)
            await later.join(us, f"{us}/whep/second_eu")
            await later.leave()


def unreachable(door: str, stream: str) -> Answer | None:
    """The refusal for a stream of a region that is not reached; None while it is answered otherwise."""
    answer = request("POST", f"{door}/whep/{stream}", body="v=0", headers={"Content-Type": "application/sdp"})
    return answer if answer.status == 503 and answer.json["type"].endswith("/region-unreachable") else None


async def test_a_region_that_has_frozen_is_given_up_before_a_publisher_gives_up(cdn: BareCdn) -> None:
    """OBS waits 8 s: whatever is asked through another region is answered by then; thawed, publishers get in again."""
    us = cdn.regions["us"].public()
    headers = {"Authorization": f"Bearer {cdn.token('second_eu')}", "Content-Type": "application/sdp"}
    with publish(cdn, "test_eu") as camera:
        session = "/session/" + camera.line(0)["session"].partition("/session/")[2]
        asked = (
            ("POST", "/whip/second_eu"),
            ("POST", "/n/edge-eu-0/whep/test_eu"),
            ("POST", f"{session}/layer"),
            ("GET", session),
            ("GET", f"{session}/events"),
        )

        def answer(method: str, path: str) -> tuple[Answer, float]:
            began = time.monotonic()
            body = "v=0" if method == "POST" else None
            return request(method, us + path, body=body, headers=headers, seconds=30), time.monotonic() - began

        for _ in range(2):  # the machine may pause meanwhile
            with frozen(cdn.processes["director-eu-0"]):
                answers = await asyncio.gather(*(asyncio.to_thread(answer, *each) for each in asked))
            until(partial(agreed, cdn), "tables equal", seconds=20)
            if all(seconds < 8 for _, seconds in answers):
                break
        for refused, seconds in answers:
            assert (refused.status, refused.json["type"].rpartition("/")[2]) == (503, "region-unreachable"), refused
            assert int(refused.headers["Retry-After"]) > 0
            assert seconds < 8
        with publish(cdn, "second_eu", region="us"):
            assert get(us + session).status == 200


async def test_a_frozen_parent_is_waited_for(cdn: BareCdn) -> None:
    """D22's other side: 9 s of silence, down in all tables; thawed, it is up and the same sessions play on."""
    edges = ["edge-eu-0", "edge-us-0"]
    with publish(cdn, "test_eu"):
        async with viewers(cdn, *edges) as kept:
            with frozen(cdn.processes["origin-eu-0"]):
                began = time.monotonic()
                until(lambda: states(cdn, edges, "origin-eu-0") == {"down"}, "down at the edges", seconds=10)
                until(lambda: {state(cdn, slot, "test_eu") for slot in edges} == {"lost"}, "lost", seconds=10)
                assert_kept(kept)
                await asyncio.sleep(max(0, 9 - (time.monotonic() - began)))
            until(lambda: states(cdn, edges, "origin-eu-0") == {"up"}, "up again", seconds=10)
            await resumed(kept, 2, 15)
            assert_kept(kept)
            until(partial(agreed, cdn), "tables equal", seconds=20)


def signal_camera(camera: Client, number: int) -> None:
    os.killpg(camera.process.pid, number)


async def test_a_publisher_may_say_goodbye_while_it_is_being_lost(cdn: BareCdn) -> None:
    """D19 D22: a DELETE just before, at and after the moment of loss ends the stream for good, with one reason."""
    door = cdn.regions["eu"].public()
    delays = {"test_eu": 2.8, "second_eu": 3.0, "third_eu": 3.3}
    with publish(cdn, "test_eu") as one, publish(cdn, "second_eu") as two, publish(cdn, "third_eu") as three:
        cameras = dict(zip(delays, (one, two, three), strict=True))
        async with viewers(cdn, "edge-eu-0", "edge-us-0") as told, viewers(cdn, "edge-eu-1", stream="third_eu") as late:
            silent = time.monotonic()
            for camera in cameras.values():
                signal_camera(camera, SIGSTOP)
            for stream, delay in delays.items():
                await asyncio.sleep(max(0, delay - (time.monotonic() - silent)))
                session = cameras[stream].line(0)["session"]
                assert delete(session if session.startswith("http") else door + session).status == 200
            for slot in nodes(cdn):
                until(
                    lambda slot=slot: {state(cdn, slot, stream) for stream in delays} <= {"ended", None},  # type: ignore[misc]
                    f"ended at {slot}",
                    seconds=10,
                )
            for location in (*told.sessions.values(), *late.sessions.values()):
                until(lambda location=location: get(location).status == 410, "viewers are told", seconds=5)  # type: ignore[misc]
                assert get(location).json["reason"] == "stream-ended"
            for camera in cameras.values():
                signal_camera(camera, SIGCONT)
        holds(lambda: not any(live(cdn, "eu", stream) for stream in delays), "nothing comes back", seconds=2)


@pytest.mark.parametrize("seconds", [1.5, 6.5], ids=["parent answers late", "nobody waits for the answer"])
async def test_a_viewer_may_leave_while_its_relay_is_connecting(cdn: BareCdn, seconds: float) -> None:
    """D8: whether the parent answers when nobody wants the relay any more, or when nobody even listens."""
    edge = cdn.processes["edge-eu-0"].http
    with publish(cdn, "test_eu"):
        async with LightViewers() as hasty:
            with frozen(cdn.processes["origin-eu-0"]):
                began = time.monotonic()
                await hasty.join(edge, f"{edge}/whep/test_eu")
                assert edge_relays(cdn, "edge-eu-0") == 1
                await hasty.leave()
                until(lambda: edge_relays(cdn, "edge-eu-0") == 0, "given up", seconds=5)
                await asyncio.sleep(max(0, seconds - (time.monotonic() - began)))
            origin = cdn.processes["origin-eu-0"].http
            await asyncio.to_thread(
                until, lambda: metric(origin, "rivulet_relays", direction="out") == 0, "not kept", seconds=20
            )
        until(lambda: states(cdn, nodes(cdn), "origin-eu-0") == {"up"}, "up again", seconds=10)
        async with viewers(cdn, "edge-eu-0"):
            assert edge_relays(cdn, "edge-eu-0") == 1


@pytest.mark.parametrize("first", ["the end", "the relay"])
async def test_a_stream_may_end_while_a_relay_is_connecting(cdn: BareCdn, first: str) -> None:
    """D19: the viewer hears of it, whichever of the two requests its origin reads first."""
    door, edge = cdn.regions["eu"].public(), cdn.processes["edge-eu-0"].http
    with publish(cdn, "test_eu") as camera:
        session = camera.line(0)["session"]
        url = session if session.startswith("http") else door + session
        async with LightViewers() as viewer:
            with frozen(cdn.processes["origin-eu-0"]):
                ending = asyncio.create_task(asyncio.to_thread(delete, url)) if first == "the end" else None
                await asyncio.sleep(0.3)
                await viewer.join(edge, f"{edge}/whep/test_eu")
                ending = ending or asyncio.create_task(asyncio.to_thread(delete, url))
                await asyncio.sleep(0.3)
            assert (await ending).status == 200
            (location,) = viewer.sessions.values()
            await asyncio.to_thread(until, lambda: get(location).status == 410, "told", seconds=10)
            assert get(location).json["reason"] == "stream-ended"
            assert edge_relays(cdn, "edge-eu-0") == 0
