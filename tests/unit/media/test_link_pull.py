import asyncio
import dataclasses
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest

from entries import ORIGIN
from link_pull_scene import BASE, LINK, Scene, parent, passes, problem, settle
from rivulet_media.link_pull import WARM_SECONDS
from rivulet_media.links_in import WITHOUT_SECONDS
from rivulet_media.relay import Open, Relay
from rivulet_media.upstream import StreamOverError, UpstreamError
from rivulet_media.wire import BEAT_SECONDS


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    made = Scene()
    yield made
    made.close()


async def test_the_first_relay_opens_the_link_and_the_next_goes_by_it(scene: Scene) -> None:
    first = scene.subscribe("s")
    await first.answered()
    second = scene.subscribe("t")
    await second.answered()
    assert scene.engine.legs == {"leg-0": "link-0", "leg-1": "link-0"}
    assert scene.engine.answered == ["link-0", "leg-0", "leg-1"]
    assert scene.parent.asked == [("POST", BASE), ("POST", f"{BASE}/{LINK}/legs")]
    assert scene.parent.bodies[0]["leg"]["stream"] == "s"
    assert scene.parent.bodies[1]["stream"] == "t"
    assert scene.pull.count == 1


async def test_a_relay_that_comes_while_the_link_is_being_opened_waits_for_that(scene: Scene) -> None:
    scene.parent.held = asyncio.get_running_loop().create_future()
    asked = [asyncio.create_task(scene.subscribe(stream).answered()) for stream in ("s", "t")]
    await settle(lambda: len(scene.parent.asked) == 1)
    scene.parent.held.set_result(None)
    await asyncio.gather(*asked)
    assert scene.parent.asked == [("POST", BASE), ("POST", f"{BASE}/{LINK}/legs")]
    assert len(scene.engine.links) == 1


GONE = (410, problem("ended", reason="superseded"))
ELSEWHERE = (403, problem("not-here"))


@pytest.mark.parametrize("refused", [GONE, ELSEWHERE, (409, problem("not-live")), (422, problem("tcp-only"))])
async def test_a_stream_that_is_refused_while_its_leg_opens_the_link_leaves_the_opening_to_the_next(
    scene: Scene, refused: tuple[int, str]
) -> None:
    """What the parent says of one stream is no news of the others that wait for the link."""
    scene.parent.refused_streams["s"] = refused
    scene.parent.held = asyncio.get_running_loop().create_future()
    legs = [scene.subscribe(stream) for stream in ("s", "t", "u")]
    asked = [asyncio.create_task(leg.answered()) for leg in legs]
    await settle(lambda: len(scene.parent.asked) == 1)
    scene.parent.held.set_result(None)
    first, *others = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(first, UpstreamError)
    assert others == [None, None]
    assert scene.parent.asked == [("POST", BASE), ("POST", BASE), ("POST", f"{BASE}/{LINK}/legs")]
    assert (scene.engine.links, scene.engine.closed) == (["link-0"], [])


async def test_relays_that_wait_for_a_link_which_does_not_come_about_hear_only_that(scene: Scene) -> None:
    scene.parent.failing[BASE] = TimeoutError()
    scene.parent.refused_streams["s"] = GONE
    asked = [scene.subscribe(stream).answered() for stream in ("s", "t")]
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(error, UpstreamError) and not isinstance(error, StreamOverError) for error in outcomes)
    assert (len(scene.parent.asked), scene.engine.closed) == (1, ["link-0"])
    scene.parent.failing.clear()
    await scene.subscribe("t").answered()
    assert scene.engine.links == ["link-0", "link-1"]


async def test_a_relay_that_is_given_up_while_it_is_asked_for_is_taken_back_and_the_link_stays(scene: Scene) -> None:
    scene.parent.held = asyncio.get_running_loop().create_future()
    leg = scene.subscribe()
    asked = asyncio.create_task(leg.answered())
    await settle(lambda: len(scene.parent.asked) == 1)
    await leg.leave()
    scene.parent.held.set_result(None)
    await asked
    deleted = ("DELETE", f"http://192.0.2.1:8080/session/{ORIGIN.ref}/{1:016x}")
    assert scene.parent.asked[1:] == [deleted]
    assert (scene.engine.closed, scene.engine.answered) == (["leg-0"], ["link-0"])
    assert scene.pull.count == 1


async def test_a_link_that_carries_nothing_is_closed_after_its_time(scene: Scene) -> None:
    leg = scene.subscribe()
    await leg.answered()
    await leg.leave()
    assert scene.pull.count == 1
    scene.clock.now = 61.0
    scene.pull._close_unused()  # what the loop's alarm would call
    assert (scene.pull.count, scene.engine.closed) == (0, ["leg-0", "link-0"])
    await scene.subscribe().answered()
    assert scene.engine.legs["leg-1"] == "link-1"


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_a_parent_without_links_is_asked_by_whep_for_a_while(scene: Scene, status: int) -> None:
    scene.parent.statuses[BASE] = (status, "")
    with pytest.raises(UpstreamError):
        await scene.subscribe().answered()
    assert (scene.engine.closed, scene.pull.count) == (["link-0"], 0)
    assert type(scene.way()).__name__ == "ParentWay"
    scene.clock.now = WITHOUT_SECONDS + 1
    assert type(scene.way()).__name__ == "LegWay"


async def test_a_stream_that_goes_by_tcp_has_a_session_of_its_own(scene: Scene) -> None:
    await scene.subscribe().answered()
    by_udp = parent("t")
    by_tcp = dataclasses.replace(by_udp, entry=dataclasses.replace(by_udp.entry, transport="tcp"))
    assert [type(scene.pull.open(each)).__name__ for each in (by_udp, by_tcp)] == ["LegWay", "ParentWay"]


async def test_a_link_that_does_not_come_about_is_done_without(scene: Scene) -> None:
    await scene.subscribe().answered()
    assert scene.pull.closed("link-0", "handshake-timeout")
    assert type(scene.way()).__name__ == "ParentWay"
    assert not scene.pull.closed("link-0", "handshake-timeout")
    assert not scene.pull.closed("another", "peer-closed")


async def test_a_link_that_breaks_is_opened_anew(scene: Scene) -> None:
    await scene.subscribe().answered()
    assert scene.pull.connected("link-0")
    assert scene.pull.closed("link-0", "consent-expired")
    await scene.subscribe().answered()
    assert scene.engine.legs["leg-1"] == "link-1"


async def test_a_link_that_the_engine_has_ended_unheard_of_is_opened_anew(scene: Scene) -> None:
    await scene.subscribe().answered()
    scene.engine.closed.append("link-0")
    await scene.subscribe().answered()
    assert scene.engine.legs["leg-1"] == "link-1"


CHECK_SECONDS, SILENCE_SECONDS, READ_SECONDS = 3.0, 3.0, BEAT_SECONDS


def retried_after() -> float:
    """When the relay of a path that died at 0 is opened again."""
    relay = Relay(idle_seconds=10.0, hold_seconds=30.0)
    relay.parent_is(parent(), -20.0)
    relay.viewers_are(1, -20.0)
    relay.connected(1, -19.0)
    relay.active(1)
    relay.silent(1, SILENCE_SECONDS)
    while (now := relay.deadline) is not None:
        if any(isinstance(output, Open) for output in relay.tick(now)):
            return now
    raise AssertionError("it is not opened again")


@pytest.mark.parametrize("last_check", [0.0, 1.5, CHECK_SECONDS])
@pytest.mark.parametrize("last_read", [0.0, 0.5, 1.0, 1.5])
async def test_a_relay_whose_path_has_died_is_opened_again_by_another_link_at_the_first_try(
    scene: Scene, last_check: float, last_read: float
) -> None:
    """Whenever the last check came before that, and whenever silence was last read."""
    await scene.subscribe().answered()
    again_at = retried_after()
    scene.clock.now = again_at - last_read
    scene.engine.silence["link-0"] = scene.clock.now + last_check
    scene.pull.read(cast("Any", scene.engine.stats()))
    scene.clock.now = again_at
    scene.engine.silence["link-0"] = again_at + last_check
    assert scene.engine.legs[scene.subscribe().session] == "link-1"


@pytest.mark.parametrize("last_check", [0.0, 1.5, CHECK_SECONDS, CHECK_SECONDS + 0.5])
@pytest.mark.parametrize("last_read", [0.0, READ_SECONDS / 2, READ_SECONDS])
async def test_a_relay_goes_by_the_link_that_is_there_as_long_as_its_parents_checks_come(
    scene: Scene, last_check: float, last_read: float
) -> None:
    await scene.subscribe().answered()
    scene.engine.silence["link-0"] = CHECK_SECONDS
    scene.pull.read(cast("Any", scene.engine.stats()))
    scene.clock.now += last_read
    scene.engine.silence["link-0"] = last_check
    assert scene.engine.legs[scene.subscribe("t").session] == "link-0"


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (503, problem("full"), UpstreamError),
        (404, problem("no-link"), UpstreamError),
        (409, problem("ssrc-used"), UpstreamError),
        (422, problem("tcp-only"), UpstreamError),
        (410, problem("ended", reason="superseded"), StreamOverError),
        (201, "[]", UpstreamError),
        (201, "{", UpstreamError),
        (201, '{"session": "x", "stream": {}}', UpstreamError),
    ],
)
async def test_a_refused_leg_fails_alone(scene: Scene, status: int, body: str, expected: type[Exception]) -> None:
    await scene.subscribe("s").answered()
    scene.parent.statuses[f"{BASE}/{LINK}/legs"] = (status, body)
    with pytest.raises(expected):
        await scene.subscribe("t").answered()
    kept = "no-link" not in body
    assert ("link-0" in scene.engine.closed, scene.pull.count) == (not kept, int(kept))
    again = scene.subscribe("t")
    new = "no-link" in body or "ssrc-used" in body
    assert scene.engine.legs[again.session] == ("link-1" if new else "link-0")


@pytest.mark.parametrize(
    ("status", "body"), [(201, "{}"), (201, b"\xff"), (201, " " * 1024 * 1025), (503, ""), GONE, ELSEWHERE]
)
async def test_a_link_that_is_refused_is_forgotten_and_the_parent_asked_again(
    scene: Scene, status: int, body: str | bytes
) -> None:
    scene.parent.statuses[BASE] = (status, body)
    with pytest.raises(UpstreamError):
        await scene.subscribe().answered()
    assert (scene.engine.closed, scene.pull.count) == (["link-0"], 0)
    assert type(scene.way()).__name__ == "LegWay"


async def test_a_parent_of_another_region_is_asked_through_the_directors_in_turn() -> None:
    directors = ("http://192.0.2.8:7443", "http://192.0.2.9:7443")
    scene = Scene(directors)
    scene.parent.failing[directors[0]] = aiohttp.ClientConnectionError()
    leg = scene.subscribe("s", "directors")
    await leg.answered()
    await leg.leave()
    path = f"/v1/links/eu/{ORIGIN.ref}"
    session = f"/v1/relay/eu/session/{ORIGIN.ref}/{1:016x}"
    both = [(method, each + to) for method, to in (("POST", path), ("DELETE", session)) for each in directors]
    assert scene.parent.asked == both
    scene.close()


PORT = SimpleNamespace(host="192.0.2.8", port=7443, ssl=False)
UNREACHED = aiohttp.ClientConnectorError(cast("Any", PORT), OSError("refused"))


@pytest.mark.parametrize(
    ("failure", "next_link"),
    [(TimeoutError(), "link-0"), (aiohttp.ServerDisconnectedError(), "link-0"), (UNREACHED, "link-1")],
    ids=["timeout", "lost", "not reached"],
)
async def test_a_link_is_not_worn_by_ssrcs_that_its_parent_may_have_from_a_try_before(
    failure: Exception, next_link: str
) -> None:
    directors = ("http://192.0.2.8:7443", "http://192.0.2.9:7443")
    scene = Scene(directors)
    await scene.subscribe("s", "directors").answered()
    scene.parent.failing[directors[0]] = failure
    legs = f"{directors[1]}/v1/links/eu/{ORIGIN.ref}/{LINK}/legs"
    scene.parent.statuses[legs] = (409, problem("ssrc-used"))
    with pytest.raises(UpstreamError):
        await scene.subscribe("t", "directors").answered()
    assert scene.engine.legs[scene.subscribe("t", "directors").session] == next_link
    scene.close()


async def test_a_parents_endless_answer_by_whep_is_not_read_to_its_end(scene: Scene) -> None:
    by_tcp = dataclasses.replace(parent(), entry=dataclasses.replace(parent().entry, transport="tcp"))
    scene.parent.statuses["http://192.0.2.1:8080/relay/s"] = (201, "v" * 1024 * 1025)
    with pytest.raises(UpstreamError, match="larger than"):
        await scene.pull.open(by_tcp).subscribe().answered()


async def test_a_link_is_looked_at_now_and_then_and_dropped_when_the_parent_has_lost_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    turns: asyncio.Queue[None] = asyncio.Queue()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await turns.get()

    monkeypatch.setattr("rivulet_media.link_pull.asyncio.sleep", sleep)
    await scene.subscribe().answered()
    looks = ("GET", f"{BASE}/{LINK}")
    scene.parent.statuses[looks[1]] = (503, "")
    await turns.put(None)
    await asyncio.wait_for(passes(lambda: len(slept) == 2), 1)
    assert scene.pull.count == 1, "a parent that is too busy to say so has not lost it"
    scene.parent.statuses[looks[1]] = (404, problem("no-link"))
    await turns.put(None)
    await asyncio.wait_for(passes(lambda: scene.pull.count == 0), 1)
    assert (slept, scene.parent.asked[1:]) == ([WARM_SECONDS] * 2, [looks] * 2)
    assert scene.engine.closed == ["link-0"]
