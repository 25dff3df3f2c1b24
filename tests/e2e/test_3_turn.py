"""Weak networks: a browser from which no UDP gets out, and coturn."""

import time
from collections.abc import Iterator

import pytest

from chromium import Chromium, Page
from rivulet_scene.clients import probe
from rivulet_scene.command import TESTBED, output
from rivulet_scene.http import get
from rivulet_scene.waiting import until
from scene import Cdn, needs_testbed

PLACE = "hotel"


@pytest.fixture
def hotel() -> Iterator[str]:
    """A place behind the WAN: all UDP from it is dropped, and TCP to the media ports, so that only a relay helps."""
    output([TESTBED, "up", f"place:{PLACE}"])
    drop = ["iptables", "-A", "OUTPUT", "!", "-o", "lo", "-p", "udp", "-j", "DROP"]
    output([TESTBED, "exec", PLACE, "--", *drop])
    media = ["iptables", "-A", "OUTPUT", "-p", "tcp", "--dport", "7000:7999", "-j", "DROP"]
    output([TESTBED, "exec", PLACE, "--", *media])
    try:
        yield PLACE
    finally:
        output([TESTBED, "down", PLACE])


@needs_testbed
@pytest.mark.timeout(180)
def test_without_udp_a_browser_plays_over_a_tcp_relay(cdn: Cdn, hotel: str) -> None:
    """N2 N4 R12: headless Chromium, iceTransportPolicy `all`; playing ≤ 10 s; coturn's log shows the allocation."""
    with cdn.publish("test_eu"), Chromium(place=hotel) as browser:
        url = f"{cdn.eu.door}/play/test_eu"
        page = browser.open(url)
        if until_it_plays(page) > 10:  # of a machine that others use too, once more
            page.close()
            page = browser.open(url)
            assert until_it_plays(page) <= 10
        pair = page.evaluate("window.rivulet.pair()")
        assert pair["relayed"] is True
        assert pair["relayProtocol"] == "tcp"
    turn = cdn.eu.pods("turn")[0]["metadata"]["name"]
    assert "ALLOCATE processed, success" in cdn.eu.kubectl("logs", turn, "-c", "coturn")


def until_it_plays(page: Page) -> float:
    """Seconds."""
    asked = time.monotonic()
    until(lambda: page.evaluate("window.rivulet.framesDecoded > 0"), "playing", seconds=45)
    return time.monotonic() - asked


@needs_testbed
@pytest.mark.timeout(180)
def test_without_udp_a_browser_publishes_over_a_tcp_relay(cdn: Cdn, hotel: str) -> None:
    """N2 N4: the same browser with its camera; a viewer elsewhere gets picture and sound."""
    token = cdn.keys.token("test_eu")
    with Chromium(place=hotel) as browser:
        page = browser.open(f"{cdn.eu.door}/publish/test_eu?token={token}&start=1")
        until(lambda: page.evaluate("window.rivulet.state") == "live", "publishing", seconds=45)
        with probe(f"{cdn.eu.door}/whep/test_eu", seconds=8, place=cdn.eu.place) as viewer:
            seen = viewer.result(seconds=60)
        pair = page.evaluate("window.rivulet.pair()")
    assert (pair["relayed"], pair["relayProtocol"]) == (True, "tcp")
    assert seen["video"]["frames"] > 60, seen
    assert seen["audio"]["frames"] > 100, seen


@pytest.mark.timeout(180)
def test_a_forced_relay_over_udp_works_too(cdn: Cdn) -> None:
    """N4: only relay candidates; the pair is relayed, both tracks play."""
    assert get(f"{cdn.eu.door}/v1/ice-servers").json["iceServers"][0]["username"]
    with (
        cdn.publish("test_eu"),
        probe(f"{cdn.eu.door}/whep/test_eu", "--relay-only", seconds=10, place=cdn.eu.place) as viewer,
    ):
        seen = viewer.result(seconds=60)
    assert seen["pair"]["relayed"] is True
    assert seen["video"]["frames"] > 60


@pytest.mark.timeout(180)
def test_a_browser_publishes_and_another_plays(cdn: Cdn) -> None:
    """R7 R12 R17: fake camera and microphone in Chromium, watched in Chromium and by the probe."""
    token = cdn.keys.token("test_us")
    with Chromium(place=cdn.us.place) as publisher, Chromium(place=cdn.us.place) as viewer:
        page = publisher.open(f"{cdn.us.door}/publish/test_us?token={token}&start=1")
        until(lambda: page.evaluate("window.rivulet.state") == "live", "publishing", seconds=45)
        watched = viewer.open(f"{cdn.us.door}/play/test_us")
        until(lambda: watched.evaluate("window.rivulet.framesDecoded > 60"), "sixty frames", seconds=45)
        until(lambda: watched.evaluate("window.rivulet.audioPackets > 50"), "sound", seconds=15)
