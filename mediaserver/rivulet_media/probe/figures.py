"""Sums over what was seen: gaps, percentiles, rates. Pure."""

from collections import deque
from collections.abc import Sequence

# A picture that stands for so long beyond the usual, or three times the usual, is frozen (webrtc-stats, freezeCount).
FREEZE_SECONDS = 0.150
FREEZE_FACTOR = 3
USUAL_OF = 30  # frames


class Arrivals:
    """Counts a track's decoded frames, its freezes and the longest time without one. Times in seconds of one clock."""

    def __init__(self) -> None:
        self.frames = 0
        self.first: float | None = None
        self.last: float | None = None
        self.longest_gap = 0.0
        self.freezes = 0
        self._gaps: deque[float] = deque(maxlen=USUAL_OF)

    def add(self, now: float) -> None:
        """A frame was decoded."""
        if self.last is None:
            self.first = now
        else:
            self._note(now - self.last)
        self.last = now
        self.frames += 1

    def _note(self, gap: float) -> None:
        self.longest_gap = max(self.longest_gap, gap)
        if self._gaps:
            usual = sum(self._gaps) / len(self._gaps)
            self.freezes += gap > max(FREEZE_FACTOR * usual, usual + FREEZE_SECONDS)
        self._gaps.append(gap)

    def rate(self) -> float:
        """Frames per second between the first and the last."""
        if self.first is None or self.last is None or self.last <= self.first:
            return 0.0
        return (self.frames - 1) / (self.last - self.first)

    def gap_at(self, end: float) -> float:
        """The longest gap, with the one that is open at the end."""
        return self.longest_gap if self.last is None else max(self.longest_gap, end - self.last)


class Stalls:
    """The longest time by which a loop that ought to come round every `period` seconds was late: this program stood."""

    def __init__(self, period: float) -> None:
        self.longest = 0.0
        self._period = period
        self._last: float | None = None

    def turn(self, now: float) -> None:
        """The loop has come round."""
        if self._last is not None:
            self.longest = max(self.longest, now - self._last - self._period)
        self._last = now


class Screen:
    """Shows each picture `delay` seconds after it could have come, as a jitter buffer does; a late one when it comes.

    It could have come as long after its capture as the quickest so far did.
    """

    def __init__(self, delay: float) -> None:
        self.shown = Arrivals()
        self._delay = delay
        self._quickest: float | None = None

    def add(self, captured: float, decoded: float) -> None:
        """A picture captured at `captured` (s, any clock) was decoded at `decoded` (s)."""
        took = decoded - captured
        self._quickest = took if self._quickest is None else min(took, self._quickest)
        due = captured + self._quickest + self._delay
        self.shown.add(max(due, decoded, self.shown.last or due))


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest-rank percentile of a sequence that is not empty; `share` in 0…1."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def spread(values: Sequence[float]) -> dict[str, float] | None:
    """Mean, p50, p95, max and number of the values; None for none."""
    if not values:
        return None
    return {
        "mean": round(sum(values) / len(values), 1),
        "p50": round(percentile(values, 0.5), 1),
        "p95": round(percentile(values, 0.95), 1),
        "max": round(max(values), 1),
        "samples": len(values),
    }
