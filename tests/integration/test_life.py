"""How streams, sessions and nodes end, are lost and come back, over bare processes."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection

from light_viewers import start_apart
from rivulet_scene.bare import BareCdn, delete, metric, ready
from rivulet_scene.clients import camera, probe
from rivulet_scene.http import Answer, get, request
from rivulet_scene.waiting import until
from steps import edge_relays, live, node_state, publish, state

SLOTS = ("origin-eu-0", "edge-eu-0", "edge-eu-1", "origin-us-0", "edge-us-0")


def stream_is(cdn: BareCdn, slot: str, stream: str, *states: str | None) -> bool:
    """Whether a stream is in one of those states (None: not there) in a node's own table."""
    return state(cdn, slot, stream) in states


def node_is(cdn: BareCdn, slot: str, name: str, *states: str | None) -> bool:
    """Whether a node is in one of those states (None: not there) in another's table."""
    return node_state(cdn.table(slot), name) in states


def test_a_publisher_that_stops_ends_its_viewers(cdn: BareCdn) -> None:
    """D19 D16: DELETE → viewers closed ≤ 2 s, their URLs say 410 and why, relays closed ≤ 5 s, tables agree."""
    door = cdn.regions["eu"].public()
    with publish(cdn, "test_eu") as publisher, probe(f"{door}/whep/test_eu", "--until-ended", seconds=40) as viewer:
        session = viewer.line(0)["session"]
        until(lambda: edge_relays(cdn, "edge-eu-0") + edge_relays(cdn, "edge-eu-1") == 1, "relay", seconds=10)
        publisher.stop()
        stopped = time.monotonic()
        until(lambda: viewer.process.poll() is not None, "viewer told", seconds=2)
        gone = get(session if session.startswith("http") else door + session)
        assert (gone.status, gone.json["reason"]) == (410, "stream-ended")
        until(lambda: edge_relays(cdn, "edge-eu-0") + edge_relays(cdn, "edge-eu-1") == 0, "relays closed", seconds=5)
        assert time.monotonic() - stopped < 7
        for slot in SLOTS:
            until(partial(stream_is, cdn, slot, "test_eu", "ended", None), f"{slot} knows", seconds=2)


@pytest.mark.timeout(120)
def test_a_silent_publisher_is_waited_for_and_then_ended(cdn: BareCdn) -> None:
    """D22: viewers are kept, the picture resumes in the same session; silence beyond holdSeconds (8) ends."""
    door = cdn.regions["eu"].public()
    with (
        publish(cdn, "short_hold") as publisher,
        probe(f"{door}/whep/short_hold", "--until-ended", seconds=60) as viewer,
    ):
        viewer.line(0)
        publisher.kill()
        until(lambda: state(cdn, "edge-eu-0", "short_hold") == "lost", "lost after 3 s", seconds=5)
        assert viewer.process.poll() is None
        with publish(cdn, "short_hold") as again:
            until(lambda: state(cdn, "edge-eu-0", "short_hold") == "live", "live again", seconds=5)
            time.sleep(4)
            assert viewer.process.poll() is None
            again.kill()
        killed = time.monotonic()
        seen = viewer.result(seconds=20)
        assert 7 < time.monotonic() - killed < 14
        assert seen["video"]["frames"] > 3 * 15, seen


def test_a_relay_of_another_region_s_stream_ends_by_that_stream_s_own_settings(cdn: BareCdn) -> None:
    """D8: idleSeconds is 1 in eu, so the us edge gives up its relay before the default of 10 s."""
    door = cdn.regions["us"].public()
    with publish(cdn, "short_hold"):
        with probe(f"{door}/whep/short_hold", seconds=4) as viewer:
            viewer.line(0)
            until(lambda: edge_relays(cdn, "edge-us-0") == 1, "relay", seconds=10)
            viewer.result()
        until(lambda: edge_relays(cdn, "edge-us-0") == 0, "relay closed", seconds=5)


def test_an_encoder_that_crashed_gets_back_in(cdn: BareCdn) -> None:
    """D23: the same subject takes over at once, viewers kept."""
    door = cdn.regions["eu"].public()
    with publish(cdn, "test_eu") as first, probe(f"{door}/whep/test_eu", seconds=16) as viewer:
        viewer.line(0)
        time.sleep(3)
        first.kill()
        time.sleep(2)
        asked = time.monotonic()
        with camera(f"{door}/whip/test_eu", token=cdn.token("test_eu")) as second:
            second.line(0)
            until(lambda: live(cdn, "eu", "test_eu"), "live", seconds=3)
            assert time.monotonic() - asked < 3  # ≤ 1 s after POST; the rest is the camera's own start
            seen = viewer.result(seconds=30)
        assert seen["ended"] in (None, "duration")
        assert seen["video"]["longest_gap_ms"] < 8000, seen


async def offer_of_a_camera() -> str:
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    peer.addTransceiver("audio", direction="sendonly")
    peer.addTransceiver("video", direction="sendonly")
    await peer.setLocalDescription(await peer.createOffer())
    text = peer.localDescription.sdp
    await peer.close()
    return str(text)


@pytest.mark.timeout(180)
def test_of_two_subjects_at_once_exactly_one_wins(cdn: BareCdn) -> None:
    """D23: through two directors, 100 times."""
    offer = asyncio.run(offer_of_a_camera())
    tokens = [cdn.token("second_eu", subject=subject) for subject in ("one", "two")]

    def ask(number: int) -> Answer:
        headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {tokens[number]}"}
        return request("POST", f"{cdn.regions['eu'].public(number)}/whip/second_eu", body=offer, headers=headers)

    with ThreadPoolExecutor(2) as pool:
        for attempt in range(100):
            answers = list(pool.map(ask, (0, 1)))
            assert sorted(answer.status for answer in answers) == [201, 409], (attempt, answers)
            (winner,) = (answer for answer in answers if answer.status == 201)
            assert delete(cdn.regions["eu"].public() + winner.headers["Location"]).status == 200


@pytest.mark.timeout(90)
def test_a_viewer_that_vanishes_is_gone_within_35_s(cdn: BareCdn) -> None:
    """Without DELETE: counted out, and its relay with it."""
    door = cdn.regions["eu"].public()
    edge = cdn.processes["edge-eu-1"].http

    with publish(cdn, "test_eu"):
        viewers = start_apart(door, f"{door}/n/edge-eu-1/whep/test_eu", 2)
        until(lambda: metric(edge, "rivulet_sessions", kind="viewer") == 2, "counted in", seconds=5)
        viewers.kill()
        viewers.wait(5)
        vanished = time.monotonic()
        until(lambda: metric(edge, "rivulet_sessions", kind="viewer") == 0, "counted out", seconds=35)
        assert time.monotonic() - vanished > 3
        until(lambda: edge_relays(cdn, "edge-eu-1") == 0, "its relay too", seconds=12)


def test_every_table_has_the_same_digest(cdn: BareCdn) -> None:
    """D9 D10 D12 D13: five nodes, two regions, one truth; a node knows its entry point only."""
    with publish(cdn, "test_eu"):
        until(lambda: len({cdn.table(slot)["digest"] for slot in SLOTS}) == 1, "equal digests", seconds=5)
        late = cdn.node("late-eu-0", "edge", "eu")
        assert state(cdn, "late-eu-0", "test_eu") == "live"
        late.stop()
        for slot in SLOTS:
            until(partial(node_is, cdn, slot, "late-eu-0", None), f"goodbye at {slot}", seconds=5)


@pytest.mark.timeout(90)
def test_a_killed_and_a_frozen_node_are_down_everywhere_within_10_s(cdn: BareCdn) -> None:
    """D11 L4: killed, or its network silent; while it is down the balancer names the other edge 100 times of 100."""
    others = [slot for slot in SLOTS if slot != "edge-eu-1"]
    door = cdn.regions["eu"].public()
    victim = cdn.processes["edge-eu-1"]
    for silence in (victim.freeze, victim.kill):
        silence()
        for slot in others:
            until(partial(node_is, cdn, slot, "edge-eu-1", "down", None), f"down at {slot}", seconds=10)
        named = {get(f"{door}/?action=server_list").json["server"] for _ in range(100)}
        assert len(named) == 1
        assert "edge-eu-0" in named.pop()
        if victim.running:
            victim.thaw()
            until(lambda: node_state(cdn.table("edge-eu-0"), "edge-eu-1") == "up", "back", seconds=10)
    cdn.node("edge-eu-1", "edge", "eu")
    until(
        lambda: len({get(f"{door}/?action=server_list").json["server"] for _ in range(4)}) == 2,
        "used again",
        seconds=10,
    )


@pytest.mark.timeout(120)
def test_directors_restarted_in_turn_and_at_once_cut_nothing(cdn: BareCdn) -> None:
    """D15 D14: no relay drops, no table shrinks, the picture goes on; a node that starts now waits, then joins."""
    door = cdn.regions["eu"].public()
    with publish(cdn, "test_eu"), probe(f"{door}/n/edge-eu-0/whep/test_eu", seconds=40) as viewer:
        viewer.line(0)
        until(lambda: edge_relays(cdn, "edge-eu-0") == 1, "relay", seconds=10)
        size = len(cdn.table("edge-eu-0")["nodes"])
        for numbers in ((0,), (1,), (0, 1)):
            for number in numbers:
                cdn.processes[f"director-eu-{number}"].kill()
            if len(numbers) == 2:
                waiting = cdn.node("late-eu-1", "edge", "eu", ready=False)
                until(partial(ready, waiting.http), "ready without a director", seconds=10)
                assert cdn.table("late-eu-1")["state"] == "waiting"
            for number in numbers:
                cdn.director("eu", number)
            until(lambda: len(cdn.table("edge-eu-0")["nodes"]) >= size, "table as large as before", seconds=5)
            assert edge_relays(cdn, "edge-eu-0") == 1
        until(lambda: cdn.table("late-eu-1")["state"] == "up", "joined", seconds=10)
        cdn.processes["late-eu-1"].stop()
        seen = viewer.result(seconds=60)
        assert seen["video"]["longest_gap_ms"] < 1000, seen
