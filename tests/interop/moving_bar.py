"""What the clients of this folder that bring pixels and samples themselves send: a bar that moves, and a tone."""

from fractions import Fraction
from typing import Final

import av
import numpy as np

FRAMES_PER_SECOND: Final = 30
SAMPLES: Final = 960  # 20 ms
RATE: Final = 48_000
WIDTH, HEIGHT = 640, 360


def picture(number: int) -> av.VideoFrame:
    """A bar that moves."""
    pixels = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
    pixels[:HEIGHT] = 16
    left = number * 8 % (WIDTH - 80)
    pixels[:HEIGHT, left : left + 80] = 235
    frame = av.VideoFrame.from_ndarray(pixels, "yuv420p")
    frame.pts, frame.time_base = number, Fraction(1, FRAMES_PER_SECOND)
    return frame


def sound(number: int) -> av.AudioFrame:
    """20 ms of a tone of 440 Hz on both channels."""
    at = np.arange(number * SAMPLES, (number + 1) * SAMPLES) / RATE
    tone = (8000 * np.sin(2 * np.pi * 440 * at)).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(np.repeat(tone, 2).reshape(1, -1), "s16", "stereo")
    frame.sample_rate, frame.pts, frame.time_base = RATE, number * SAMPLES, Fraction(1, RATE)
    return frame
