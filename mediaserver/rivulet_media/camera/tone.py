"""The test sound: a burst of 1 kHz at the start of every second of the timeline, silence between. Pure."""

from typing import Final

import numpy as np
import numpy.typing as npt

SAMPLE_RATE: Final = 48_000  # Hz
BURST_SECONDS: Final = 0.1
TONE_HZ: Final = 1_000
_AMPLITUDE: Final = 12_000  # of 32,767

Samples = npt.NDArray[np.int16]


def burst_samples(first: int, count: int) -> Samples:
    """`count` mono samples of the timeline from sample `first` on."""
    position = np.arange(first, first + count) % SAMPLE_RATE
    wave = _AMPLITUDE * np.sin(2 * np.pi * TONE_HZ * position / SAMPLE_RATE)
    return np.where(position < BURST_SECONDS * SAMPLE_RATE, wave, 0).astype(np.int16)
