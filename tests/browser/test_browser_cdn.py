"""Browsers and the CDN: a camera page, player pages and the probe over bare processes on 127.0.0.1."""

from collections.abc import Iterator
from typing import Any

import pytest

from chromium import Chromium, Page
from flash_and_tone import wait_until_in_step, watch
from rivulet_scene.bare import BareCdn
from rivulet_scene.clients import camera, probe
from rivulet_scene.waiting import until

pytestmark = pytest.mark.timeout(240)  # processes and a browser start while two cores are busy


@pytest.fixture(scope="module")
def cdn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BareCdn]:
    streams: dict[str, dict[str, Any]] = {
        "test_eu": {"region": "eu"},
        "second_eu": {"region": "eu", "holdSeconds": 120},  # a camera's start on a busy machine is within it
    }
    with BareCdn(tmp_path_factory.mktemp("cdn"), {"eu": 1}, streams) as running:
        running.director("eu", ready=False)
        running.node("origin-eu-0", "origin", "eu")
        running.node("edge-eu-0", "edge", "eu")
        yield running


@pytest.fixture
def browser() -> Iterator[Chromium]:
    with Chromium() as running:
        yield running


def test_one_browser_publishes_another_and_the_probe_play(cdn: BareCdn, browser: Chromium) -> None:
    """R7 R12 R17 N1: fake camera and microphone, over an edge, UDP and no relay."""
    door = cdn.regions["eu"].public()
    publisher = browser.open(f"{door}/publish/test_eu#start&token={cdn.token('test_eu')}")
    publisher.until("rivulet.state === 'live'", 15)
    player = browser.open(f"{door}/play/test_eu")
    player.until("rivulet.framesDecoded > 60 && rivulet.audioPackets > 100", 30)
    assert player.evaluate("rivulet.pair().protocol") == "udp"
    assert player.evaluate("rivulet.pair().relayed") is False
    with probe(f"{door}/whep/test_eu", seconds=10) as viewer:
        seen = viewer.result()
    assert seen["video"]["frames"] > 30
    assert seen["audio"]["frames"] > 100
    publisher.evaluate("document.getElementById('stop').click()")
    player.until("rivulet.state === 'ended' && rivulet.detail === 'stream-ended'", 15)


def test_a_browser_plays_sound_and_picture_in_step(cdn: BareCdn, browser: Chromium) -> None:
    """R12 R17: flash and tone of the timer, through origin and edge, in Chromium."""
    door = cdn.regions["eu"].public()
    with camera(f"{door}/whip/test_eu", token=cdn.token("test_eu")) as publisher:
        publisher.line(0)
        page = browser.open(f"{door}/play/test_eu")
        page.until("rivulet.framesDecoded > 0", 20)
        watch(page)
        wait_until_in_step(page)


def test_the_player_says_live_lost_and_ended_as_the_session_s_events_do(cdn: BareCdn, browser: Chromium) -> None:
    """D19 D22: in one session; the page need not ask."""
    door = cdn.regions["eu"].public()
    with camera(f"{door}/whip/second_eu", token=cdn.token("second_eu")) as first:
        first.line(0)
        page = browser.open(f"{door}/play/second_eu")
        page.until("rivulet.state === 'playing' && rivulet.detail === 'live' && rivulet.framesDecoded > 0", 20)
        session = page.evaluate("rivulet.session")
        first.kill()
        page.until("rivulet.state === 'waiting' && rivulet.detail.includes('lost')", 20)
    with camera(f"{door}/whip/second_eu", token=cdn.token("second_eu")) as second:
        second.line(0)
        page.until("rivulet.state === 'playing'", 15)
        assert page.evaluate("rivulet.session") == session
        second.stop()
        page.until("rivulet.state === 'ended' && rivulet.detail === 'stream-ended'", 15)


def test_the_player_moves_when_its_node_asks_it_to(cdn: BareCdn, browser: Chromium) -> None:
    """O2 O5: the new session plays before the old one is let go, and the old node ends at once."""
    door = cdn.regions["eu"].public()
    cdn.node("edge-eu-1", "edge", "eu")
    with camera(f"{door}/whip/test_eu", token=cdn.token("test_eu")) as publisher:
        publisher.line(0)
        page = browser.open(f"{door}/play/test_eu")
        page.until("rivulet.framesDecoded > 0", 20)
        slot = slot_of(page)
        leaving = cdn.processes[slot]
        leaving.terminate()
        page.until("rivulet.moves === 1 && rivulet.state === 'playing' && rivulet.framesDecoded > 10", 20)
        assert {slot, slot_of(page)} == {"edge-eu-0", "edge-eu-1"}
        assert page.evaluate("rivulet.states.includes('ended')") is False
        until(lambda: not leaving.running, "the old node has ended", seconds=10)
    cdn.node(slot, "edge", "eu")


def slot_of(page: Page) -> str:
    """The node that a player's session is at."""
    return str(page.evaluate("rivulet.session")).partition("/session/")[2].partition("/")[0]
