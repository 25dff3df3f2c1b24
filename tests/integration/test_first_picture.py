"""From POST to the first picture and to the live edge, by clients of our own. Figures: docs/benchmarks."""

import math
import random
import time
from collections.abc import Iterator, Sequence

import pytest

from attempts import ATTEMPTS
from rivulet_scene.first_pictures import FirstPictures, Start, first_pictures
from rivulet_scene.load import build

pytestmark = pytest.mark.timeout(400)

STARTS = 20
KEY_FRAME_MS = 60
LIVE_MS = 1000
PLI_MS = 200
# A request is answered with the next frame (33 ms), whose packets the source lets out over some 60 ms.
PLI_ROUND_TRIP_MS = 100
# After this long the last key frame, which was asked for too, is older than what is replayed.
KEY_FRAME_FORGOTTEN = 2.2


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FirstPictures]:
    build()
    with first_pictures(tmp_path_factory.mktemp("first")) as pictures:
        yield pictures


def p95(values: Sequence[float]) -> float:
    """Of 20 the second worst."""
    return sorted(values)[math.ceil(len(values) * 0.95) - 1]


def starts(scene: FirstPictures, gop_seconds: float, pauses: Sequence[float]) -> list[Start]:
    """A viewer after each of the pauses."""
    scene.publish(gop_seconds)
    found = []
    for pause in pauses:
        time.sleep(pause)
        found.append(scene.start())
    return found


def check(scene: FirstPictures, gop_seconds: float, pauses: Sequence[float], key_frame_ms: float) -> None:
    """Both p95s hold in one of three runs, for the machine may be busy; what was seen in each is shown."""
    runs: list[tuple[float, float, bool]] = []
    for _ in range(ATTEMPTS):
        found = starts(scene, gop_seconds, pauses)
        whole = all(start.missing == 0 and start.frames > 20 for start in found)
        key, live = p95([start.key for start in found]), p95([max(start.moving, start.live) for start in found])
        runs.append((key, live, whole))
        print(
            f"GOP {gop_seconds} s: p95 of {len(found)}: last packet of the key frame {key:.1f} ms, "
            f"moving and live {live:.0f} ms"
        )
        if key <= key_frame_ms and live <= LIVE_MS and whole:
            return
    raise AssertionError(f"p95 (key frame, live) in ms, all packets: {runs}; limits {key_frame_ms}, {LIVE_MS}")


@pytest.mark.timeout(900)  # the first in a tree builds the viewers' program
@pytest.mark.parametrize("gop_seconds", [1, 2])
def test_a_viewer_has_the_last_key_frame_at_once_and_is_live_within_a_second(
    scene: FirstPictures, gop_seconds: int
) -> None:
    """At moments spread over the group of pictures, the same in every run."""
    phases = random.Random(gop_seconds)  # noqa: S311 - no secret
    check(scene, gop_seconds, [phases.uniform(0, gop_seconds) for _ in range(STARTS)], KEY_FRAME_MS)


def test_without_a_key_frame_near_enough_the_publisher_is_asked_for_one(scene: FirstPictures) -> None:
    check(scene, 10, [KEY_FRAME_FORGOTTEN] * STARTS, PLI_ROUND_TRIP_MS + PLI_MS)
