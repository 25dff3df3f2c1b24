"""Sound and picture in step for who watches on: over what befalls a publisher, its origin and its codec. R17."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from rivulet_scene.bare import BareCdn
from rivulet_scene.clients import Client, probe
from rivulet_scene.waiting import until
from steps import publish

pytestmark = pytest.mark.timeout(180)

STEP_MS = 100
PAIRS = 5  # of flash and tone, one a second


@pytest.fixture
def cdn(tmp_path: Path) -> Iterator[BareCdn]:
    """Two origins, so that one may die, and an edge."""
    with BareCdn(tmp_path, {"eu": 1}, {"test_eu": {"region": "eu"}}) as running:
        running.director("eu", ready=False)
        for slot in ("origin-eu-0", "origin-eu-1"):
            running.node(slot, "origin", "eu")
        running.node("edge-eu-0", "edge", "eu")
        running.settled("eu")
        yield running


class Steps:
    """How far a viewer's sound is behind its picture."""

    def __init__(self, viewer: Client) -> None:
        self._viewer = viewer

    def late_ms(self) -> float:
        """The mean of the next pairs (ms); negative where the sound comes first. What was seen till now is left out."""
        before, sum_before = self._figures()
        until(lambda: self._figures()[0] >= before + PAIRS, "flashes and tones", seconds=40)
        count, total = self._figures()
        return (total - sum_before) / (count - before)

    def _figures(self) -> tuple[int, float]:
        figures = next((line["lip_sync_ms"] for line in reversed(self._viewer.lines) if line.get("lip_sync_ms")), None)
        return (int(figures["samples"]), figures["late"] * figures["samples"]) if figures else (0, 0.0)


def newest(cdn: BareCdn) -> dict[str, Any]:
    """The entry of the latest publication that is live."""
    entries = [entry for entry in cdn.director_table("eu")["streams"] if entry["state"] == "live"]
    return dict(max(entries, key=lambda entry: float(entry["since"]), default={}))


def holder(cdn: BareCdn) -> str:
    """The slot that the stream is published on."""
    return str(newest(cdn).get("origin", "")).partition("/")[0]


def codecs(cdn: BareCdn) -> set[str]:
    """Of all its tracks."""
    return {track["codec"] for track in newest(cdn).get("tracks", ())}


def test_a_viewers_sound_and_picture_stay_in_step_when_its_publisher_and_its_origin_are_killed_and_come_back(
    cdn: BareCdn,
) -> None:
    """In one session. A publisher that comes back with its sound 300 ms late shows that it would be seen."""
    door = cdn.regions["eu"].public()
    with ExitStack() as stack:
        camera = stack.enter_context(publish(cdn, "test_eu"))
        viewer = stack.enter_context(probe(f"{door}/whep/test_eu", seconds=150))
        steps = Steps(viewer)
        assert abs(steps.late_ms()) < STEP_MS

        camera.kill()
        camera = stack.enter_context(publish(cdn, "test_eu"))
        assert abs(steps.late_ms()) < STEP_MS, "the publisher was killed and is back"

        victim = holder(cdn)
        camera.kill()
        cdn.processes[victim].kill()
        camera = stack.enter_context(publish(cdn, "test_eu"))
        until(lambda: holder(cdn) not in ("", victim), "on another origin", seconds=20)
        assert abs(steps.late_ms()) < STEP_MS, "the origin was killed, another one has the stream"

        camera.kill()
        stack.enter_context(publish(cdn, "test_eu", "--skew-ms", "300"))
        assert steps.late_ms() > 2 * STEP_MS
        assert viewer.process.poll() is None, "it is the same session"


def test_a_viewers_sound_and_picture_stay_in_step_when_its_publisher_changes_the_codec(cdn: BareCdn) -> None:
    """In one session, which has agreed to both; there and back."""
    door = cdn.regions["eu"].public()
    with ExitStack() as stack:
        camera = stack.enter_context(publish(cdn, "test_eu", "--codec", "h264"))
        viewer = stack.enter_context(probe(f"{door}/whep/test_eu", seconds=120))
        steps = Steps(viewer)
        assert abs(steps.late_ms()) < STEP_MS
        for codec in ("vp8", "h264"):
            camera.kill()
            camera = stack.enter_context(publish(cdn, "test_eu", "--codec", codec))
            until(lambda codec=codec: codec in codecs(cdn), "the other codec", seconds=20)  # type: ignore[misc]
            frames = viewer.lines[-1]["video"]["frames"]
            assert abs(steps.late_ms()) < STEP_MS, codec
            assert viewer.lines[-1]["video"]["frames"] > frames + 30, "its picture moves"
        assert viewer.process.poll() is None, "it is the same session"
