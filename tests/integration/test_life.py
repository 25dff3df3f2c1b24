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
from steps import CUT_MS, edge_relays, live, logged, node_state, pictures, publish, state

# Anybody may take over from a publisher that has sent nothing for 3 s: of two POSTs that close one has to lose.
AT_ONCE_SECONDS = 2.5

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
        url = session if session.startswith("http") else door + session
        until(lambda: get(url).status == 410, "viewer's session over", seconds=2)
        assert get(url).json["reason"] == "stream-ended"
        left = 5 - (time.monotonic() - stopped)
        until(lambda: edge_relays(cdn, "edge-eu-0") + edge_relays(cdn, "edge-eu-1") == 0, "relays closed", seconds=left)
        # Who is not told finds out after 30 s.
        until(lambda: viewer.process.poll() is not None, "viewer told", seconds=15)
        for slot in SLOTS:
            until(partial(stream_is, cdn, slot, "test_eu", "ended", None), f"{slot} knows", seconds=5)


@pytest.mark.timeout(120)
def test_a_silent_publisher_is_waited_for_and_then_ended(cdn: BareCdn) -> None:
    """D22: viewers are kept, the picture resumes in the same session; silence beyond holdSeconds (20) ends."""
    door = cdn.regions["eu"].public()
    with (
        publish(cdn, "short_hold") as publisher,
        probe(f"{door}/whep/short_hold", "--until-ended", seconds=90) as viewer,
    ):
        session = viewer.line(0)["session"]
        url = session if session.startswith("http") else door + session
        publisher.kill()
        until(lambda: state(cdn, "edge-eu-0", "short_hold") == "lost", "lost after 3 s", seconds=10)
        assert get(url).status == 200
        with publish(cdn, "short_hold") as again:
            until(lambda: state(cdn, "edge-eu-0", "short_hold") == "live", "live again", seconds=10)
            before = pictures(viewer)
            until(lambda: pictures(viewer) > before + 3 * 15, "the picture resumes", seconds=20)
            assert get(url).status == 200
            again.kill()
        killed = time.monotonic()
        until(lambda: get(url).status == 410, "ended", seconds=27)
        assert time.monotonic() - killed > 19
        assert viewer.result(seconds=20)["ended"] not in (None, "duration")


def test_a_relay_of_another_region_s_stream_ends_by_that_stream_s_own_settings(cdn: BareCdn) -> None:
    """D8: idleSeconds is 1 in eu, so the us edge gives up its relay before the default of 10 s."""
    door = cdn.regions["us"].public()
    with publish(cdn, "short_hold"):
        until(lambda: live(cdn, "us", "short_hold"), "us knows short_hold", seconds=10)
        with probe(f"{door}/whep/short_hold", seconds=4) as viewer:
            viewer.line(0)
            until(lambda: edge_relays(cdn, "edge-us-0") == 1, "relay", seconds=10)
            viewer.result()
        until(lambda: edge_relays(cdn, "edge-us-0") == 0, "relay closed", seconds=8)


def test_an_encoder_that_crashed_gets_back_in(cdn: BareCdn) -> None:
    """D23: the same subject takes over at once, viewers kept."""
    door = cdn.regions["eu"].public()
    with publish(cdn, "test_eu") as first, probe(f"{door}/whep/test_eu", seconds=45) as viewer:
        until(lambda: pictures(viewer) > 0, "a picture", seconds=45)
        first.kill()
        time.sleep(2)
        asked = time.time()
        with camera(f"{door}/whip/test_eu", token=cdn.token("test_eu")) as second:
            second.line(0)
            posted = until(lambda: live_since(cdn, asked), "live anew", seconds=10)
            assert time.time() - posted < 3  # 1 s, and this look's own way there
            before = pictures(viewer)
            until(lambda: pictures(viewer) > before + 30, "the picture goes on", seconds=20)
            seen = viewer.result()
        assert seen["ended"] in (None, "duration")


def live_since(cdn: BareCdn, after: float) -> float | None:
    """When the publication that is live was POSTed (Unix time, seconds), if that was after `after`."""
    entry = get(f"{cdn.regions['eu'].public()}/v1/streams/test_eu").json
    return float(entry["since"]) if entry.get("state") == "live" and entry["since"] > after else None


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

    attempts = 0
    with ThreadPoolExecutor(2) as pool:
        while attempts < 100:
            began = time.monotonic()
            answers = list(pool.map(ask, (0, 1)))
            at_once = time.monotonic() - began < AT_ONCE_SECONDS
            assert not at_once or sorted(answer.status for answer in answers) == [201, 409], (attempts, answers)
            for winner in (answer for answer in answers if answer.status == 201):
                # The other one may have taken over by then.
                assert delete(cdn.regions["eu"].public() + winner.headers["Location"]).status in (200, 410)
            attempts += at_once


@pytest.mark.timeout(90)
def test_a_viewer_that_vanishes_is_gone_within_35_s(cdn: BareCdn) -> None:
    """Without DELETE: counted out, and its relay with it."""
    door = cdn.regions["eu"].public()
    edge = cdn.processes["edge-eu-1"].http

    with publish(cdn, "test_eu"):
        viewers = start_apart(door, f"{door}/n/edge-eu-1/whep/test_eu", 2)
        until(lambda: metric(edge, "rivulet_sessions", kind="viewer") == 2, "counted in", seconds=10)
        viewers.kill()
        viewers.wait(5)
        vanished = time.monotonic()
        until(lambda: metric(edge, "rivulet_sessions", kind="viewer") == 0, "counted out", seconds=35)
        assert time.monotonic() - vanished > 3
        until(lambda: edge_relays(cdn, "edge-eu-1") == 0, "its relay too", seconds=15)


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
        until(lambda: node_state(cdn.director_table("eu"), "edge-eu-1") in ("down", None), "at the director", seconds=5)
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
        relays = logged(cdn, "edge-eu-0", "relay opens")
        for numbers in ((0,), (1,), (0, 1)):
            for number in numbers:
                cdn.processes[f"director-eu-{number}"].kill()
            if len(numbers) == 2:
                waiting = cdn.node("late-eu-1", "edge", "eu", ready=False)
                until(partial(ready, waiting.http), "ready without a director", seconds=45)
                assert cdn.table("late-eu-1")["state"] == "waiting"
            for number in numbers:
                cdn.director("eu", number)
            until(lambda: len(cdn.table("edge-eu-0")["nodes"]) >= size, "table as large as before", seconds=5)
            assert edge_relays(cdn, "edge-eu-0") == 1
        until(lambda: cdn.table("late-eu-1")["state"] == "up", "joined", seconds=10)
        cdn.processes["late-eu-1"].stop()
        seen = viewer.result(seconds=60)
        assert seen["video"]["longest_gap_ms"] < CUT_MS, seen
        assert logged(cdn, "edge-eu-0", "relay opens") == relays
