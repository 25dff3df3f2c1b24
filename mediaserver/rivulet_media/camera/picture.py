"""The test picture: a countdown that a person can read, a stamp that a machine can read, a flash once per second.

From top to bottom: stamp (1/9 of the height), flash panel, digits, grain. The grain changes with every picture and
keeps the encoder at its bit rate, as a real camera's picture would. Pure: same arguments, same picture.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from rivulet_media.camera.stamp import Luma, draw_stamp

LOOP_MS: Final = 600_000  # 10:00.000
FLASH_TOP: Final = 0.15  # the flash panel, as fractions of the height; all of the width
FLASH_BOTTOM: Final = 0.30
DIGITS_TOP: Final = 0.38
DIGITS_BOTTOM: Final = 0.72
GRAIN_TOP: Final = 0.80

_BACKGROUND: Final = 40
_DIGIT: Final = 220
_FLASH: Final = 235
_DARK: Final = 16
_GRAINS: Final = 16

# Segments a…g as (left, top, right, bottom) in a digit's unit box.
_SEGMENTS: Final = {
    "a": (0.1, 0.0, 0.9, 0.12),
    "b": (0.76, 0.0, 0.9, 0.5),
    "c": (0.76, 0.5, 0.9, 1.0),
    "d": (0.1, 0.88, 0.9, 1.0),
    "e": (0.1, 0.5, 0.24, 1.0),
    "f": (0.1, 0.0, 0.24, 0.5),
    "g": (0.1, 0.44, 0.9, 0.56),
    ":": (0.4, 0.25, 0.6, 0.37),
    ";": (0.4, 0.63, 0.6, 0.75),
    ".": (0.4, 0.88, 0.6, 1.0),
}
_SHAPES: Final = {
    "0": "abcdef",
    "1": "bc",
    "2": "abged",
    "3": "abgcd",
    "4": "fgbc",
    "5": "afgcd",
    "6": "afgedc",
    "7": "abc",
    "8": "abcdefg",
    "9": "abcdfg",
    ":": ":;",
    ".": ".",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """What one picture shows: time since the start (ms), wall clock (ms since 1970), whether it flashes."""

    elapsed_ms: int
    wall_ms: int
    flash: bool


class TimerPicture:
    """Draws pictures of one size (both sides even) as I420 planes in one array of (3/2 of the height, width)."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        rng = np.random.default_rng(1)
        grain_height = height - round(height * GRAIN_TOP)
        self._grains = rng.integers(60, 180, (_GRAINS, grain_height, width), dtype=np.uint8)
        self._ground = np.full((height * 3 // 2, width), 128, dtype=np.uint8)
        self._ground[:height] = _BACKGROUND
        self._glyphs = {char: self._glyph(char) for char in _SHAPES}

    def draw(self, moment: Moment) -> npt.NDArray[np.uint8]:
        """A fresh picture of the moment."""
        picture = self._ground.copy()
        luma = picture[: self.height]
        draw_stamp(luma, moment.wall_ms)
        luma[round(self.height * FLASH_TOP) : round(self.height * FLASH_BOTTOM)] = _FLASH if moment.flash else _DARK
        luma[round(self.height * GRAIN_TOP) :] = self._grains[moment.wall_ms % _GRAINS]
        self._write(luma, countdown(moment.elapsed_ms))
        return picture

    def _write(self, luma: Luma, text: str) -> None:
        top = round(self.height * DIGITS_TOP)
        glyph_height, glyph_width = self._glyphs["0"].shape
        left = (self.width - glyph_width * len(text)) // 2
        for index, char in enumerate(text):
            x = left + index * glyph_width
            luma[top : top + glyph_height, x : x + glyph_width] = self._glyphs[char]

    def _glyph(self, char: str) -> Luma:
        width, height = self.width // 10, round(self.height * (DIGITS_BOTTOM - DIGITS_TOP))
        glyph = np.full((height, width), _BACKGROUND, dtype=np.uint8)
        for segment in _SHAPES[char]:
            left, top, right, bottom = _SEGMENTS[segment]
            glyph[round(top * height) : round(bottom * height), round(left * width) : round(right * width)] = _DIGIT
        return glyph


def countdown(elapsed_ms: int) -> str:
    """`10:00.000` at the start, down to `00:00.001`, and from the top again."""
    minutes, rest = divmod(LOOP_MS - elapsed_ms % LOOP_MS, 60_000)
    return f"{minutes:02}:{rest // 1000:02}.{rest % 1000:03}"


def is_flash(luma: Luma) -> bool:
    """Whether a received picture flashes."""
    height, width = luma.shape
    panel = luma[round(height * FLASH_TOP) : round(height * FLASH_BOTTOM), width // 4 : width * 3 // 4]
    return bool(panel.mean() > (_FLASH + _DARK) / 2)
