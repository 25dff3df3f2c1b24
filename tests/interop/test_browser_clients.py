"""Browsers publish what the project's own page does not: each codec, stereo, layers."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from chromium import Chromium, Page
from interop_scene import SOUNDS, bare_cdn, our_player_sees, publishing, version
from interop_table import Row, note
from rivulet_scene.bare import BareCdn
from rivulet_scene.http import request
from rivulet_scene.waiting import until

pytestmark = pytest.mark.timeout(240)  # processes and a browser start while two cores are busy

STREAMS = ("c_h264", "c_vp8", "c_vp9", "c_av1", "c_descriptors", "c_simulcast")
DESCRIPTOR = "#dependency-descriptor-rtp-header-extension"
# What an application may ask of a browser: Chromium knows the extension and does not offer it by itself.
OFFER_DESCRIPTORS = """((uri) => {
  const add = RTCPeerConnection.prototype.addTransceiver;
  RTCPeerConnection.prototype.addTransceiver = function (...given) {
    const transceiver = add.apply(this, given);
    const extensions = transceiver.getHeaderExtensionsToNegotiate();
    for (const extension of extensions) if (extension.uri.endsWith(uri)) extension.direction = "sendrecv";
    transceiver.setHeaderExtensionsToNegotiate(extensions);
    return transceiver;
  };
})"""
PICTURES = 20  # frames: codecs without hardware on two busy cores


@pytest.fixture(scope="module")
def cdn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BareCdn]:
    with bare_cdn(tmp_path_factory.mktemp("cdn"), dict.fromkeys(STREAMS, ())) as running:
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with Chromium() as running:
        yield running


def publish(page: Page, cdn: BareCdn, stream: str, **options: Any) -> dict[str, Any]:
    """Publish from a page; the descriptions and how long it took. Skips where the browser has no such codec."""
    made = page.evaluate(publishing(cdn, stream, **options))
    if made is None:
        pytest.skip(f"this browser cannot send {options['codec']}")
    return dict(made)


def play(page: Page) -> None:
    """The player page decodes both tracks."""
    page.until(f"rivulet.framesDecoded > {PICTURES} && rivulet.audioPackets > {SOUNDS}", 40)


def door(cdn: BareCdn) -> str:
    return cdn.regions["eu"].public()


def stop(page: Page) -> None:
    assert page.evaluate("interop.stop()") == 200


@pytest.mark.parametrize("codec", ["h264", "vp8", "vp9", "av1"])
def test_chromium_publishes_and_plays(cdn: BareCdn, chromium: Chromium, codec: str) -> None:
    """Each codec, with stereo sound."""
    stream = f"c_{codec}"
    publisher = chromium.open(f"{door(cdn)}/play/{stream}#manual")
    made = publish(publisher, cdn, stream, codec=codec, stereo=True)
    assert "stereo=1" in made["answer"]
    player = chromium.open(f"{door(cdn)}/play/{stream}")
    play(player)
    stop(publisher)
    player.close()
    publisher.close()
    name, codecs = f"Chromium {version('chromium', '--product-version')}", f"{codec.upper()}, Opus (stereo)"
    note(Row(name, "publishes", codecs, "ECDSA", made["connect_ms"], "picture and sound by Chromium"))
    note(Row(name, "plays", codecs, "ECDSA", None, "picture and sound, decoded by itself"))


def test_av1_plays_by_its_dependency_descriptors(cdn: BareCdn, chromium: Chromium) -> None:
    """Where both sides offer the extension it is agreed on, and the player goes by what comes in it."""
    publisher = chromium.open(f"{door(cdn)}/play/c_descriptors#manual")
    publisher.evaluate(f"{OFFER_DESCRIPTORS}('{DESCRIPTOR}')")
    made = publish(publisher, cdn, "c_descriptors", codec="av1")
    assert DESCRIPTOR in made["offer"]
    assert DESCRIPTOR in made["answer"]
    player = chromium.open(f"{door(cdn)}/play/c_descriptors#manual")
    player.evaluate(f"{OFFER_DESCRIPTORS}('{DESCRIPTOR}')")
    player.evaluate("document.getElementById('play').click()")
    play(player)
    agreed = player.evaluate("rivulet.connection.remoteDescription.sdp")
    (number,) = re.findall(rf"a=extmap:(\d+) \S*{DESCRIPTOR}", agreed)
    session = player.evaluate("rivulet.session").rpartition("/")[2]
    edge, token = cdn.processes["edge-eu-0"].http, cdn.regions["eu"].join_token

    def traced() -> bool:
        url, headers = f"{edge}/v1/trace/{session}?seconds=2", {"Authorization": f"Bearer {token}"}
        return f'"{number}":"' in request("POST", url, headers=headers, seconds=20).body

    until(traced, "a packet to the player has one", seconds=30)
    stop(publisher)
    player.close()
    publisher.close()
    name, sees = f"Chromium {version('chromium', '--product-version')}", "picture and sound, decoded by itself"
    note(Row(name, "plays", "AV1, Opus", "ECDSA", None, sees, "dependency descriptors"))


def test_chromium_s_layers_are_taken(cdn: BareCdn, chromium: Chromium) -> None:
    """An offer of three layers is answered with all of them, and the best is played."""
    page = chromium.open(f"{door(cdn)}/play/c_simulcast#manual")
    made = publish(page, cdn, "c_simulcast", codec="vp8", simulcast=True)
    assert "a=simulcast:send" in made["offer"]
    assert "a=simulcast:recv q;h;f" in made["answer"]
    seen = our_player_sees(cdn, "c_simulcast")
    stop(page)
    page.close()
    name = f"Chromium {version('chromium', '--product-version')}"
    note(Row(name, "publishes three layers", "VP8, Opus", "ECDSA", made["connect_ms"], seen))
