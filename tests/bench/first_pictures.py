"""The second half of `make bench-start`: how soon viewers on loopback have a picture that moves and is live.

Our own full-ICE client at one node, for several lengths of the group of pictures, and Chromium at an edge: its first
`requestVideoFrameCallback`, and by how much its `estimatedPlayoutTimestamp` drifts against its clock. The last line is
JSON.
"""

import argparse
import json
import random
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from chromium import Chromium, Page
from fanout import about
from rivulet_scene.bare import BareCdn
from rivulet_scene.clients import camera
from rivulet_scene.first_pictures import FirstPictures, Start, first_pictures
from rivulet_scene.load import build
from start import percentile

STREAM = "browser_eu"
STEPS = {
    "connected": "DTLS finished",
    "waited": "of that the server's part, and loopback's",
    "key_begins": "first packet of the first key frame",
    "key": "its last packet",
    "moving": "the frame after it",
    "live": "from then on at most 300 ms behind a witness",
    "missing": "packets missing",
}
# A page's buffers have found their size after this.
SETTLE_SECONDS = 8.0
# From the click on to the first picture that the page is told of. A promise.
FIRST = """new Promise((seen) => {
  const video = document.getElementById("picture"), began = performance.now();
  video.requestVideoFrameCallback((now) => seen(now - began));
  document.getElementById("play").click();
})"""
# Of both tracks: the estimate (NTP, ms) less the page's clock at the same moment.
LAG = """rivulet.figures().then(({video, audio}) => [video, audio].map(
  (track) => track?.estimatedPlayoutTimestamp - (performance.timeOrigin + performance.now())))"""

Figures = dict[str, dict[str, float]]


def own_client(scene: FirstPictures, gop_seconds: float, count: int) -> Figures:
    """Starts at moments spread over the group of pictures, the same in every run."""
    phases = random.Random(int(gop_seconds))  # noqa: S311 - no secret
    scene.publish(gop_seconds)
    found = []
    for _ in range(count):
        time.sleep(phases.uniform(0, gop_seconds))
        found.append(scene.start())
    return summary(found)


def summary(found: list[Start]) -> Figures:
    """p50 and p95 of each step, ms after POST."""
    columns = {step: [float(getattr(start, step)) for start in found] for step in STEPS}
    return {
        step: {"p50": statistics.median(values), "p95": percentile(values, 0.95)} for step, values in columns.items()
    }


def in_chromium(folder: Path, count: int, watched: float) -> dict[str, Any]:
    """A page at an edge, watched for a while, then others beside it, one after another."""
    streams = {STREAM: {"region": "eu", "access": {"publish": "open"}}}
    with BareCdn(folder, {"eu": 1}, streams) as cdn, Chromium() as browser:
        cdn.director("eu", ready=False)
        cdn.node("origin-eu-0", "origin", "eu")
        cdn.node("edge-eu-0", "edge", "eu")
        cdn.settled("eu")
        door = cdn.regions["eu"].public()
        with camera(f"{door}/whip/{STREAM}") as publisher:
            publisher.line(0)
            page, _ = opened(browser, door)  # so that the edge has the stream
            drifts = drift(page, watched)
            firsts = []
            for _ in range(count):
                another, milliseconds = opened(browser, door)
                firsts.append(milliseconds)
                another.close()
    first = {"p50": statistics.median(firsts), "p95": percentile(firsts, 0.95)}
    return {"first_frame_ms": first, "watched_seconds": watched, "drift_ms": drifts}


def opened(browser: Chromium, door: str) -> tuple[Page, float]:
    """A player that has shown a picture, and after how many ms."""
    page = browser.open(f"{door}/play/{STREAM}#manual")
    return page, float(page.evaluate(FIRST))


def drift(page: Page, seconds: float) -> dict[str, float]:
    """By how much the estimates have moved against the page's clock, in ms."""
    time.sleep(SETTLE_SECONDS)
    before = page.evaluate(LAG)
    time.sleep(seconds)
    after = page.evaluate(LAG)
    return {name: round(b - a, 1) for name, a, b in zip(("video", "audio"), before, after, strict=True)}


def report(own: dict[str, Figures], browser: dict[str, Any]) -> str:
    """For a person."""
    lines = [f"{'ms after POST, loopback':<48}" + "".join(f"{f'GOP {gop} s p50':>14}{'p95':>9}" for gop in own)]
    for step, words in STEPS.items():
        cells = (own[gop][step] for gop in own)
        lines.append(f"{words:<48}" + "".join(f"{cell['p50']:>14.1f}{cell['p95']:>9.1f}" for cell in cells))
    first, drifts = browser["first_frame_ms"], browser["drift_ms"]
    lines.append(f"Chromium, first requestVideoFrameCallback: p50 {first['p50']:.0f} ms, p95 {first['p95']:.0f}")
    words = ", ".join(f"{name} {value:+.1f} ms" for name, value in drifts.items())
    lines.append(f"Chromium, drift of estimatedPlayoutTimestamp in {browser['watched_seconds']:g} s: {words}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="first pictures on loopback: own client and Chromium")
    parser.add_argument("--starts", type=int, default=20, help="of each kind (default: %(default)s)")
    parser.add_argument("--gops", default="1,2,10", help="seconds between key frames (default: %(default)s)")
    parser.add_argument("--watched", type=float, default=30.0, metavar="S", help="drift over so long (default: 30)")
    arguments = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    build()
    conditions = about()
    print(", ".join(f"{name} {value}" for name, value in conditions.items()), flush=True)
    with tempfile.TemporaryDirectory(prefix="rivulet-bench-") as name:
        own_folder, page_folder = Path(name) / "own", Path(name) / "page"
        own_folder.mkdir()
        page_folder.mkdir()
        with first_pictures(own_folder) as scene:
            own = {gop: own_client(scene, float(gop), arguments.starts) for gop in arguments.gops.split(",")}
        browser = in_chromium(page_folder, arguments.starts, arguments.watched)
    print(report(own, browser))
    print(json.dumps({**conditions, "own": own, "chromium": browser}))


if __name__ == "__main__":
    main()
