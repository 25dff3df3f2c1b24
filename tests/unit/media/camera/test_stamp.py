import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rivulet_media.camera.stamp import Luma, draw_stamp, read_stamp

NOW_MS = 1_795_252_000_123


def stamped(milliseconds: int, width: int = 640, height: int = 360) -> Luma:
    luma = np.full((height, width), 128, dtype=np.uint8)
    draw_stamp(luma, milliseconds)
    return luma


@given(st.integers(0, 2**48 - 1))
def test_what_is_drawn_is_what_is_read(milliseconds: int) -> None:
    assert read_stamp(stamped(milliseconds)) == milliseconds


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (640, 360), (426, 240), (320, 180), (160, 90)])
def test_a_stamp_is_readable_in_every_usual_size(width: int, height: int) -> None:
    assert read_stamp(stamped(NOW_MS, width, height)) == NOW_MS


@pytest.mark.parametrize("level", [0, 16, 128, 235, 255])
def test_a_plain_picture_has_no_stamp(level: int) -> None:
    assert read_stamp(np.full((360, 640), level, dtype=np.uint8)) is None


def test_a_damaged_stamp_is_no_time() -> None:
    luma = stamped(NOW_MS)
    luma[:20, 100:120] = 251 - luma[:20, 100:120]
    assert read_stamp(luma) is None


def test_a_picture_too_small_for_a_stamp_has_none() -> None:
    assert read_stamp(np.zeros((16, 16), dtype=np.uint8)) is None


def test_noise_and_low_contrast_do_not_hurt() -> None:
    rng = np.random.default_rng(7)
    noisy = np.clip(stamped(NOW_MS).astype(int) * 0.6 + 50 + rng.normal(0, 25, (360, 640)), 0, 255).astype(np.uint8)
    assert read_stamp(noisy) == NOW_MS
