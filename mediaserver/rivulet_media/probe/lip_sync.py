"""Flash and tone: where they begin in RTP timestamps, and how far apart they are on the sender's clock. Pure."""

from collections import deque
from statistics import median
from typing import Final

import numpy as np
import numpy.typing as npt

from rivulet_media.camera.tone import SAMPLE_RATE, TONE_HZ
from rivulet_media.probe.sender_clock import SenderClock

NEAR_SECONDS: Final = 0.5  # flash and tone come once per second: what is farther apart is another pair's
_PERIOD: Final = SAMPLE_RATE // TONE_HZ
_LOUD: Final = 2_000.0  # amplitude at 1 kHz; the burst has 12,000
_QUIET_PERIODS: Final = 100
_WAVE: Final = np.exp(-2j * np.pi * np.arange(_PERIOD) / _PERIOD)


class FlashOnsets:
    """Finds the first picture of each flash."""

    def __init__(self) -> None:
        self._last: tuple[int, bool] | None = None
        # The latest distances: those of a start that catches up with the live edge are shorter and soon forgotten.
        self._steps: deque[int] = deque(maxlen=9)

    def add(self, rtp_timestamp: int, *, flashes: bool) -> int | None:
        """The RTP timestamp if a flash begins here; None also where a lost picture leaves it uncertain."""
        last, self._last = self._last, (rtp_timestamp, flashes)
        if last is None:
            return None
        step = rtp_timestamp - last[0]
        self._steps.append(step)
        begins = flashes and not last[1] and step <= 1.5 * median(self._steps)
        return rtp_timestamp if begins else None


class ToneOnsets:
    """Finds the first sample of each burst, to the millisecond."""

    def __init__(self) -> None:
        self._quiet = 0  # periods in a row, up to now

    def add(self, rtp_timestamp: int, samples: npt.NDArray[np.int16]) -> list[int]:
        """RTP timestamps of bursts that begin in these mono samples, the first of which has `rtp_timestamp`."""
        periods = samples[: len(samples) // _PERIOD * _PERIOD].reshape(-1, _PERIOD)
        loud = np.abs(periods @ _WAVE) * 2 / _PERIOD > _LOUD
        onsets = []
        for index, is_loud in enumerate(loud):
            if is_loud and self._quiet >= _QUIET_PERIODS:
                onsets.append(rtp_timestamp + index * _PERIOD)
            self._quiet = 0 if is_loud else self._quiet + 1
        return onsets


class LipSync:
    """Pairs flashes with tones; `offsets_ms` is positive where the sound comes after the picture."""

    def __init__(self, video: SenderClock, audio: SenderClock) -> None:
        self._clocks = {"video": video, "audio": audio}
        self._onsets: dict[str, deque[int]] = {"video": deque(maxlen=8), "audio": deque(maxlen=8)}
        self.offsets_ms: list[float] = []

    def flash(self, rtp_timestamp: int) -> None:
        """A flash begins."""
        self._onsets["video"].append(rtp_timestamp)
        self._pair()

    def tone(self, rtp_timestamp: int) -> None:
        """A tone begins."""
        self._onsets["audio"].append(rtp_timestamp)
        self._pair()

    def _pair(self) -> None:
        for flash in list(self._onsets["video"]):
            for tone in list(self._onsets["audio"]):
                seen, heard = self._clocks["video"].unix(flash), self._clocks["audio"].unix(tone)
                if seen is not None and heard is not None and abs(heard - seen) < NEAR_SECONDS:
                    self.offsets_ms.append((heard - seen) * 1000)
                    self._onsets["video"].remove(flash)
                    self._onsets["audio"].remove(tone)
                    break
