"""How publications, viewers, relays and nodes end, at real nodes with real media."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest

from attempts import one_of_three
from node.clients import SDP, Peer, let_in, publisher, session_url, viewer
from rivulet_scene.bare import START_SECONDS, BareCdn, metric
from rivulet_scene.http import get, request
from rivulet_scene.waiting import until

pytestmark = pytest.mark.timeout(150)


def entry_state(cdn: BareCdn, slot: str, stream: str) -> str | None:
    """The state that counts of a name in a node's own table."""
    states = {entry["state"] for entry in cdn.table(slot)["streams"] if entry["stream"] == stream}
    return next((state for state in ("live", "lost", "ended") if state in states), None)


def node_state(cdn: BareCdn, slot: str, seen_by: str) -> str | None:
    found = [entry["state"] for entry in cdn.table(seen_by)["nodes"] if entry["node"] == slot]
    return found[0] if found else None


async def publish(cdn: BareCdn, camera: Peer, stream: str, subject: str = "camera-1") -> str:
    origin = cdn.processes["origin-eu-0"].http
    answer = await camera.post(f"{origin}/whip/{stream}", let_in(cdn, subject))
    await camera.connect()
    await look(lambda: entry_state(cdn, "edge-eu-0", stream) == "live", f"{stream} live at the edge")
    return session_url(origin, answer)


async def play(cdn: BareCdn, player: Peer, stream: str, slot: str = "edge-eu-0") -> str:
    node = cdn.processes[slot].http
    answer = await player.post(f"{node}/whep/{stream}")
    await player.connect()
    return session_url(node, answer)


async def look(seen: Callable[[], bool], what: str, seconds: float = 15) -> None:
    """`until`, without blocking the clients of this loop."""
    await asyncio.to_thread(until, seen, what, seconds=seconds, pause=0.1)


def relays(cdn: BareCdn, slot: str, direction: str) -> float:
    return metric(cdn.processes[slot].http, "rivulet_relays", direction=direction)


async def test_delete_ends_viewers_and_relays(region: BareCdn) -> None:
    """D19 D16."""

    async def in_time() -> bool:
        async with publisher() as camera, viewer() as player:
            session = await publish(region, camera, "test_eu")
            watching = await play(region, player, "test_eu")
            await look(lambda: relays(region, "origin-eu-0", "out") == 1, "one relay")
            await asyncio.to_thread(request, "DELETE", session)
            deleted = time.monotonic()
            await ends(player)
            viewers_took = time.monotonic() - deleted
            gone = await asyncio.to_thread(get, watching)
            assert (gone.status, gone.json["reason"]) == (410, "stream-ended")
            await look(lambda: relays(region, "edge-eu-0", "in") == 0, "no relay at the edge")
            await look(lambda: relays(region, "origin-eu-0", "out") == 0, "no relay at the origin")
            assert entry_state(region, "edge-eu-0", "test_eu") == "ended"
            return viewers_took <= 2 and time.monotonic() - deleted <= 5

    assert await one_of_three(in_time)


async def test_ten_viewers_share_one_relay_which_ends_after_the_last(region: BareCdn) -> None:
    """D7 D8 D6."""
    async with publisher() as camera:
        session = await publish(region, camera, "test_eu")
        assert relays(region, "edge-eu-0", "in") == 0
        async with AsyncExitStack() as players:
            urls = [await play(region, await players.enter_async_context(viewer()), "test_eu") for _ in range(10)]
            await one_relay(region)
            for url in urls:
                assert (await asyncio.to_thread(request, "DELETE", url)).status == 200
        await look(lambda: relays(region, "edge-eu-0", "in") == 0, "the relay ended", seconds=12)
        await look(lambda: relays(region, "origin-eu-0", "out") == 0, "at the origin too")
        await asyncio.to_thread(request, "DELETE", session)


async def test_the_same_subject_takes_over_and_viewers_stay(region: BareCdn) -> None:
    """D23."""
    async with publisher() as first, publisher() as second, publisher() as stranger, viewer() as player:
        replaced = await publish(region, first, "test_eu")
        watching = await play(region, player, "test_eu")
        origin = region.processes["origin-eu-0"].http
        refused = await stranger.post(f"{origin}/whip/test_eu", let_in(region, "somebody-else"))
        assert (refused.status, refused.json["type"].rpartition("/")[2]) == (409, "name-in-use")
        session = await publish(region, second, "test_eu")
        gone = await asyncio.to_thread(get, replaced)
        assert (gone.status, gone.json["reason"]) == (410, "superseded")
        await plays_on(player)
        assert (await asyncio.to_thread(get, watching)).status == 200
        await one_relay(region)
        await asyncio.to_thread(request, "DELETE", session)


async def test_a_silent_publisher_is_lost_resumes_and_at_last_is_ended(region: BareCdn) -> None:
    """D22: here holdSeconds is 10."""
    door = region.regions["eu"].public()
    token = {"Authorization": f"Bearer {region.token('short_hold')}"}
    async with publisher() as first, publisher() as second, viewer() as player:
        await first.post(f"{door}/whip/short_hold", token)
        await first.connect()
        await look(lambda: entry_state(region, "edge-eu-0", "short_hold") == "live", "live")
        watching = await play(region, player, "short_hold")
        await first.connection.close()
        await look(lambda: entry_state(region, "edge-eu-0", "short_hold") == "lost", "lost")
        assert (await asyncio.to_thread(get, watching)).status == 200
        late = await asyncio.to_thread(request, "POST", f"{door}/whep/short_hold", body="v=0", headers=SDP)
        assert late.status == 409
        await second.post(f"{door}/whip/short_hold", token)
        await second.connect()
        await look(lambda: entry_state(region, "edge-eu-0", "short_hold") == "live", "live again")
        assert (await asyncio.to_thread(get, watching)).status == 200
        heard = time.monotonic()
        await second.connection.close()
        silent = time.monotonic()
        await ends(player)
        ended = time.monotonic()
        assert ended - heard > 9
        assert ended - silent < 15
        gone = await asyncio.to_thread(get, watching)
        assert (gone.status, gone.json["reason"]) == (410, "publisher-lost")


async def test_an_origin_that_dies_and_comes_back_gets_its_viewers_back(region: BareCdn) -> None:
    """D21."""
    async with publisher() as first, publisher() as second, viewer() as player:
        await publish(region, first, "other_eu")
        watching = await play(region, player, "other_eu")
        region.processes["origin-eu-0"].kill()
        await look(lambda: relays(region, "edge-eu-0", "in") == 0, "the relay is dropped")
        assert (await asyncio.to_thread(get, watching)).status == 200
        await asyncio.to_thread(region.node, "origin-eu-0", "origin", "eu")
        session = await publish(region, second, "other_eu")
        await look(lambda: relays(region, "edge-eu-0", "in") == 1, "the relay is back", seconds=5)
        await plays_on(player)
        assert (await asyncio.to_thread(get, watching)).status == 200
        await asyncio.to_thread(request, "DELETE", session)


async def test_sigterm_lets_viewers_finish(region: BareCdn) -> None:
    """O5: told as draining, nothing new, the viewer plays on, its DELETE gets 200, then the process exits at once."""
    edge = region.node("leaving-eu-0", "edge", "eu")
    async with publisher() as camera, viewer() as player, viewer() as late:
        session = await publish(region, camera, "third_eu")
        await look(lambda: entry_state(region, "leaving-eu-0", "third_eu") == "live", "live there")
        watching = await play(region, player, "third_eu", "leaving-eu-0")
        edge.terminate()
        await look(lambda: node_state(region, "leaving-eu-0", "edge-eu-0") == "draining", "draining")
        refused = await late.post(f"{edge.http}/whep/third_eu")
        assert (refused.status, int(refused.headers["Retry-After"]) > 0) == (503, True)
        assert (await asyncio.to_thread(get, watching)).status == 200
        assert (await asyncio.to_thread(request, "DELETE", watching)).status == 200
        await look(lambda: not edge.running, "the process exits", seconds=20)
        assert edge.popen.returncode == 0
        await look(lambda: node_state(region, "leaving-eu-0", "edge-eu-0") is None, "goodbye")
        await asyncio.to_thread(request, "DELETE", session)


async def test_a_drain_ends_at_its_deadline(region: BareCdn) -> None:
    """O5."""
    edge = region.node("short-eu-0", "edge", "eu", "--drain-seconds", "3")
    async with publisher() as camera, viewer() as player:
        session = await publish(region, camera, "third_eu")
        await look(lambda: entry_state(region, "short-eu-0", "third_eu") == "live", "live there")
        await play(region, player, "third_eu", "short-eu-0")
        edge.terminate()
        asked = time.monotonic()
        await look(lambda: not edge.running, "the process exits", seconds=20)
        assert time.monotonic() - asked > 2.5
        await ends(player)
        await asyncio.to_thread(request, "DELETE", session)


def test_a_node_with_a_wrong_token_or_no_director_waits(region: BareCdn) -> None:
    """S2 D14: ready all the same, and not in any table."""
    stranger = region.node("stranger-eu-0", "edge", "eu", "--join-token", "wrong", ready=False)
    try:
        until(lambda: answers(f"{stranger.http}/readyz"), "ready", seconds=START_SECONDS)
        time.sleep(2)
        assert region.table("stranger-eu-0")["state"] == "waiting"
        assert node_state(region, "stranger-eu-0", "edge-eu-0") is None
        refused = request("POST", f"{stranger.http}/whep/test_eu", body="v=0", headers=SDP)
        assert refused.status == 503
    finally:
        stranger.stop()


def answers(url: str) -> bool:
    try:
        return get(url).status == 200
    except OSError:
        return False


async def test_a_director_that_restarts_drops_nothing(region: BareCdn) -> None:
    """D15."""
    async with publisher() as camera, viewer() as player, viewer() as second:
        session = await publish(region, camera, "test_eu")
        watching = await play(region, player, "test_eu")
        digest = region.table("edge-eu-0")["digest"]
        region.processes["director-eu-0"].kill()
        await asyncio.sleep(7)
        assert region.table("edge-eu-0")["digest"] == digest
        await play(region, second, "test_eu")
        await asyncio.to_thread(region.director, "eu")
        await look(lambda: region.table("edge-eu-0")["directors"][0]["state"] == "linked", "linked again", seconds=20)
        await look(lambda: agree(region), "equal tables, and all nodes up")
        assert (await asyncio.to_thread(get, watching)).status == 200
        await one_relay(region)
        await asyncio.to_thread(request, "DELETE", session)


async def test_an_origin_that_freezes_and_thaws_feeds_its_viewers_again(region: BareCdn) -> None:
    """D11 D21: called down meanwhile, it objects, and the edge pulls again."""
    async with publisher() as camera, viewer() as player:
        session = await publish(region, camera, "other_eu")
        watching = await play(region, player, "other_eu")
        origin = region.processes["origin-eu-0"]
        origin.freeze()
        try:
            await look(lambda: node_state(region, "origin-eu-0", "edge-eu-0") == "down", "down", seconds=10)
            await look(lambda: relays(region, "edge-eu-0", "in") == 0, "the relay is dropped")
            assert entry_state(region, "edge-eu-0", "other_eu") == "lost"
        finally:
            origin.thaw()
        await look(lambda: node_state(region, "origin-eu-0", "edge-eu-0") == "up", "up again", seconds=20)
        await plays_on(player)
        await one_relay(region)
        assert (await asyncio.to_thread(get, watching)).status == 200
        await asyncio.to_thread(request, "DELETE", session)


async def test_a_publisher_that_comes_back_with_another_codec_plays_on(region: BareCdn) -> None:
    """D23: the relay is opened anew for it, and viewers stay who have it; the others are told why they cannot."""
    async with (
        publisher("VP8") as first,
        publisher("H264") as second,
        viewer() as player,
        viewer("VP8") as unable,
    ):
        await publish(region, first, "other_eu")
        watching, told = [await play(region, each, "other_eu") for each in (player, unable)]
        await look(lambda: video_codecs(region, "other_eu") == ["vp8"], "published as VP8")
        session = await publish(region, second, "other_eu")
        await look(lambda: video_codecs(region, "other_eu") == ["h264"], "published as H.264")
        await one_relay(region)
        await ends(unable)
        gone = await asyncio.to_thread(get, told)
        assert (gone.status, gone.json["reason"]) == (410, "codec-changed")
        await plays_on(player)
        assert (await asyncio.to_thread(get, watching)).status == 200
        await asyncio.to_thread(request, "DELETE", session)


async def ends(player: Peer) -> None:
    """Its connection is closed by the other side."""
    async with asyncio.timeout(25):
        await player.ended.wait()


async def one_relay(cdn: BareCdn) -> None:
    """Counted at both its ends."""
    await look(lambda: relays(cdn, "edge-eu-0", "in") == relays(cdn, "origin-eu-0", "out") == 1, "one relay")


def agree(cdn: BareCdn) -> bool:
    """The edge's table is the director's, and all nodes are up in it."""
    table = cdn.table("edge-eu-0")
    all_up = all(each["state"] == "up" for each in table["nodes"])
    return all_up and table["digest"] == cdn.director_table("eu")["digest"]


async def plays_on(player: Peer) -> None:
    """Video goes on coming."""
    before = await player.video_packets()
    async with asyncio.timeout(25):
        while await player.video_packets() < before + 30:  # noqa: ASYNC110 - aiortc has no event for it
            await asyncio.sleep(0.1)


def video_codecs(cdn: BareCdn, stream: str) -> list[str]:
    """As the edge knows them, of the publication that is live."""
    live = [item for item in cdn.table("edge-eu-0")["streams"] if (item["stream"], item["state"]) == (stream, "live")]
    return [track["codec"] for item in live for track in item["tracks"] if track["kind"] == "video"]
