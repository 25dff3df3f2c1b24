import numpy as np
import pytest

from rivulet_media.camera.picture import DIGITS_BOTTOM, DIGITS_TOP, FLASH_TOP, Moment, TimerPicture, countdown, is_flash
from rivulet_media.camera.stamp import ROW_HEIGHT, ROWS, read_stamp

NOW_MS = 1_795_252_000_123


@pytest.mark.parametrize(
    ("elapsed_ms", "shown"),
    [
        (0, "10:00.000"),
        (1, "09:59.999"),
        (59_999, "09:00.001"),
        (599_999, "00:00.001"),
        (600_000, "10:00.000"),
        (1_234_567, "09:25.433"),
    ],
)
def test_the_countdown_runs_from_ten_minutes_to_zero_and_again(elapsed_ms: int, shown: str) -> None:
    """E4."""
    assert countdown(elapsed_ms) == shown


def test_every_picture_carries_its_moment_and_its_flash() -> None:
    picture = TimerPicture(640, 360)
    dark = picture.draw(Moment(1000, NOW_MS, flash=False))
    bright = picture.draw(Moment(1000, NOW_MS + 1, flash=True))
    assert (read_stamp(dark[:360]), is_flash(dark[:360])) == (NOW_MS, False)
    assert (read_stamp(bright[:360]), is_flash(bright[:360])) == (NOW_MS + 1, True)


def test_the_stamp_and_the_flash_have_places_of_their_own() -> None:
    assert ROWS * ROW_HEIGHT < FLASH_TOP


def test_ten_digits_look_different_from_each_other() -> None:
    picture = TimerPicture(640, 360)
    glyphs = {picture._glyphs[digit].tobytes() for digit in "0123456789:."}
    assert len(glyphs) == 12


def test_only_the_digits_that_change_are_drawn_differently() -> None:
    picture = TimerPicture(640, 360)
    rows = slice(round(360 * DIGITS_TOP), round(360 * DIGITS_BOTTOM))
    before = picture.draw(Moment(0, NOW_MS, flash=False))[rows]  # 10:00.000
    after = picture.draw(Moment(60_000, NOW_MS, flash=False))[rows]  # 09:00.000
    changed = np.flatnonzero((before != after).any(axis=0))
    assert 32 <= changed.min() < changed.max() < 32 + 2 * 64


def test_the_grain_changes_from_picture_to_picture() -> None:
    picture = TimerPicture(640, 360)
    first, second = (picture.draw(Moment(0, NOW_MS + step, flash=False))[300:360] for step in (0, 67))
    assert (first != second).mean() > 0.5
