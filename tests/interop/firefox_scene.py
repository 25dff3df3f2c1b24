"""Firefox publishes and plays; run in a network of its own, where a CDN can have an address that Firefox would check.

Firefox gathers no loopback candidate, and the CDNs of tests are on loopback: so this is a program of its own, which
test_firefox.py starts in a network namespace. It prints the table's rows.
"""

import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Final

from firefox import Firefox
from interop_scene import SOUNDS, bare_cdn, our_player_sees, publishing, version, whip
from interop_table import Row
from rivulet_scene.bare import BareCdn
from rivulet_scene.clients import camera

ADDRESS = sys.argv[1]
PICTURES = 20
STREAMS: Final[dict[str, tuple[str, ...]]] = {"published": (), "played": ()}


def publish(cdn: BareCdn, name: str) -> Row:
    with Firefox() as browser:
        browser.open(f"{cdn.regions['eu'].public()}/play/published#manual")
        made = browser.evaluate(publishing(cdn, "published", codec="vp8"))
        seen = our_player_sees(cdn, "published")
        assert browser.evaluate("interop.stop()") == 200
    return Row(name, "publishes", "VP8, Opus", "ECDSA", made["connect_ms"], seen)


def play(cdn: BareCdn, name: str) -> Row:
    with (
        camera(whip(cdn, "played"), "--codec", "vp8", token=cdn.token("played")) as publisher,
        Firefox() as browser,
    ):
        publisher.line(0, seconds=40)
        browser.open(f"{cdn.regions['eu'].public()}/play/played")
        browser.until(f"rivulet.framesDecoded > {PICTURES} && rivulet.audioPackets > {SOUNDS}", 40)
    return Row(name, "plays", "VP8, Opus", "ECDSA", None, "picture and sound, decoded by itself")


def main() -> None:
    name = f"Firefox {version('firefox-esr', '--version')}"
    with (
        tempfile.TemporaryDirectory() as directory,
        bare_cdn(Path(directory), STREAMS, ADDRESS) as cdn,
    ):
        for does in (publish, play):
            print(json.dumps(asdict(does(cdn, name))), flush=True)


if __name__ == "__main__":
    main()
