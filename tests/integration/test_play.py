"""What publishers and viewers get, over bare processes: two regions on 127.0.0.1."""

import asyncio
import itertools
import time
from functools import partial
from typing import Any

import pytest

from attempts import ATTEMPTS, best_look
from light_viewers import LightViewers
from rivulet_scene.bare import BareCdn, metric
from rivulet_scene.clients import probe
from rivulet_scene.http import get, request
from rivulet_scene.waiting import holds, until
from steps import LONG_NAME, edge_relays, live, publish

FPS = 15


def both_tracks_play(seen: dict[str, Any], seconds: float) -> bool:
    """R12, and less than a second behind (T1)."""
    return bool(
        seen["video"]["frames"] >= 0.95 * FPS * (seconds - 1)
        and seen["video"]["fps"] >= 0.95 * FPS
        and seen["audio"]["frames"] >= 0.9 * 50 * (seconds - 1)
        and seen["latency_ms"]["p95"] < 1000
    )


def played(url: str, seconds: float) -> dict[str, Any]:
    with probe(url, seconds=seconds) as viewer:
        return viewer.result()


@pytest.mark.timeout(240)  # a minute without viewers
def test_pull_on_demand_then_one_relay_per_stream_and_edge_then_none(cdn: BareCdn) -> None:
    """R7 R12 R17 R19 D6 D7 D8: from a minute without a viewer through one and ten back to none."""
    origin = cdn.processes["origin-eu-0"].http
    door = cdn.regions["eu"].public()
    with publish(cdn, "test_eu") as first, publish(cdn, "second_eu", "--codec", "vp8") as second:
        assert first.process.poll() is None
        assert second.process.poll() is None
        holds(
            lambda: edge_relays(cdn, "edge-eu-0") == 0 and edge_relays(cdn, "edge-eu-1") == 0,
            "no relay without a viewer",
            seconds=60,
        )
        assert metric(cdn.processes["edge-eu-1"].http, "rivulet_bytes_received_total") == 0

        with probe(f"{door}/n/edge-eu-1/whep/test_eu", seconds=12) as viewer:
            viewer.line(0)
            until(lambda: edge_relays(cdn, "edge-eu-1") == 1, "one relay for the first viewer", seconds=10)
            assert edge_relays(cdn, "edge-eu-0") == 0
            until(lambda: metric(origin, "rivulet_relays", direction="out") == 1, "and one at its parent", seconds=5)
            route = cdn.director_table("eu")
            assert {entry["role"] for entry in route["nodes"]} == {"origin", "edge"}
            seen = viewer.result()
        if not both_tracks_play(seen, 12):
            url = f"{door}/n/edge-eu-1/whep/test_eu"
            seen = best_look(partial(played, url, 12), partial(both_tracks_play, seconds=12), ATTEMPTS - 1)
        assert both_tracks_play(seen, 12), seen
        assert seen["video"]["codec"].lower().endswith("h264"), seen
        assert (seen["video"]["width"], seen["video"]["height"]) == (640, 360)
        assert seen["lip_sync_ms"]["p95"] < 100, seen

        asyncio.run(ten_viewers_share_one_relay(cdn))
        until(lambda: edge_relays(cdn, "edge-eu-1") == 0, "the relay ends with the last viewer", seconds=20)
        until(lambda: metric(origin, "rivulet_relays", direction="out") == 0, "origin free again", seconds=5)


async def ten_viewers_share_one_relay(cdn: BareCdn) -> None:
    door = cdn.regions["eu"].public()
    origin = cdn.processes["origin-eu-0"].http
    async with LightViewers() as viewers:
        await viewers.join(door, f"{door}/n/edge-eu-1/whep/test_eu", 10)
        await wait_for(lambda: viewers.connected() == 10)
        assert metric(origin, "rivulet_relays", direction="out") == 1
        await viewers.join(door, f"{door}/n/edge-eu-1/whep/second_eu", codec="vp8")
        await wait_for(lambda: viewers.connected() == 11 and min(viewers.received()) > 50)
        assert metric(origin, "rivulet_relays", direction="out") == 2
        await viewers.leave()


async def wait_for(look: Any, seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not look():  # noqa: ASYNC110 - the engine has no event for it
            await asyncio.sleep(0.1)


def test_a_publisher_skewed_by_300_ms_fails_the_lip_sync_check(cdn: BareCdn) -> None:
    """R17: the check can fail."""
    door = cdn.regions["eu"].public()
    with publish(cdn, "test_eu", "--skew-ms", "300"), probe(f"{door}/whep/test_eu", seconds=10) as viewer:
        assert viewer.result()["lip_sync_ms"]["p50"] > 200


def test_a_stream_of_one_region_plays_in_the_other(cdn: BareCdn) -> None:
    """E12 D3: the us edge pulls from the eu origin through both regions' directors; nobody restarts anything."""
    with publish(cdn, "test_eu"):
        us = cdn.regions["us"].public()
        until(lambda: live(cdn, "us", "test_eu"), "us knows test_eu", seconds=10)
        seen = best_look(partial(played, f"{us}/whep/test_eu", 10), partial(both_tracks_play, seconds=10))
        assert both_tracks_play(seen, 10), seen


@pytest.mark.parametrize(
    ("option", "has", "lacks"), [("--no-audio", "video", "audio"), ("--no-video", "audio", "video")]
)
def test_one_track_is_enough(cdn: BareCdn, option: str, has: str, lacks: str) -> None:
    """R20: a player that offers both kinds plays what there is."""
    door = cdn.regions["eu"].public()
    with publish(cdn, "test_eu", option), probe(f"{door}/whep/test_eu", seconds=6) as viewer:
        seen = viewer.result()
    assert seen[has]["frames"] > 30
    assert not seen.get(lacks) or seen[lacks]["frames"] == 0


def test_any_fair_name_works(cdn: BareCdn) -> None:
    """R21: `_`, capitals, 128 characters."""
    door = cdn.regions["eu"].public()
    with publish(cdn, LONG_NAME), probe(f"{door}/whep/{LONG_NAME}", seconds=6) as viewer:
        assert viewer.result()["video"]["frames"] > 30


def test_an_origin_plays_its_own_streams_only(cdn: BareCdn) -> None:
    """R2 E13: by the node's own path; another origin's stream is refused with the reason."""
    door, us = cdn.regions["eu"].public(), cdn.regions["us"].public()
    with publish(cdn, "test_eu"):
        with probe(f"{door}/n/origin-eu-0/whep/test_eu", seconds=5) as viewer:
            assert viewer.result()["video"]["frames"] > 30
        until(lambda: live(cdn, "us", "test_eu"), "us knows test_eu", seconds=10)
        answer = request(
            "POST", f"{us}/n/origin-us-0/whep/test_eu", body="v=0", headers={"Content-Type": "application/sdp"}
        )
        assert answer.status == 403
        assert answer.json["type"].endswith("/not-here")


def test_unknown_and_not_live_streams_are_refused_at_once(cdn: BareCdn) -> None:
    """D20: 404, or 409 with Retry-After; no relay, no hang."""
    door = cdn.regions["eu"].public()
    sdp = {"Content-Type": "application/sdp"}
    unknown = request("POST", f"{door}/whep/nobody", body="v=0", headers=sdp)
    assert (unknown.status, unknown.json["type"].rsplit("/", 1)[1]) == (404, "not-found")
    idle = request("POST", f"{door}/whep/short_hold", body="v=0", headers=sdp)
    assert (idle.status, idle.json["type"].rsplit("/", 1)[1]) == (409, "not-live")
    assert int(idle.headers["Retry-After"]) > 0
    # The last test's may still be kept.
    until(lambda: edge_relays(cdn, "edge-eu-0") == edge_relays(cdn, "edge-eu-1") == 0, "no relay", seconds=20)


def test_a_relay_is_refused_without_the_join_token_and_by_edges(cdn: BareCdn) -> None:
    """R5 S2: an edge is a leaf; only our nodes pull."""
    token = cdn.regions["eu"].join_token
    sdp = {"Content-Type": "application/sdp", "Rivulet-Node": "edge-eu-0/000000000000", "Rivulet-Cluster": "eu"}
    for slot, authorization, status in (
        ("origin-eu-0", {}, 401),
        ("origin-eu-0", {"Authorization": "Bearer wrong"}, 401),
        ("edge-eu-1", {"Authorization": f"Bearer {token}"}, 403),
    ):
        answer = request("POST", f"{cdn.processes[slot].http}/relay/test_eu", body="v=0", headers=sdp | authorization)
        assert answer.status == status, (slot, answer)


def test_publishing_needs_a_good_token(cdn: BareCdn) -> None:
    """Publish needs a right by default: none, expired, for another stream, for another action."""
    door = cdn.regions["eu"].public()
    sdp = {"Content-Type": "application/sdp"}
    cases = {
        "none": ({}, 401),
        "garbage": ({"Authorization": "Bearer x.y.z"}, 401),
        "expired": ({"Authorization": f"Bearer {cdn.token('test_eu', expires='1s')}"}, 401),
        "another stream": ({"Authorization": f"Bearer {cdn.token('test_us')}"}, 403),
        "another action": ({"Authorization": f"Bearer {cdn.token('test_eu', action='play')}"}, 403),
    }
    time.sleep(1.5)  # the second token expires
    for name, (headers, status) in cases.items():
        answer = request("POST", f"{door}/whip/test_eu", body="v=0", headers=sdp | headers)
        assert answer.status == status, (name, answer)


def test_the_balancer_alternates_and_answers_plain_json(cdn: BareCdn) -> None:
    """L1 L7 L13: ten requests to one director alternate strictly."""
    door = cdn.regions["eu"].public()
    answers = [get(f"{door}/?action=server_list") for _ in range(10)]
    servers = [answer.json["server"] for answer in answers]
    assert len(set(servers)) == 2
    assert all(one != other for one, other in itertools.pairwise(servers)), servers
    assert set(answers[0].json) == {"server", "flash", "ws", "wss"}
    assert all(isinstance(value, str) for value in answers[0].json.values())
    assert answers[0].headers["Access-Control-Allow-Origin"] == "*"
