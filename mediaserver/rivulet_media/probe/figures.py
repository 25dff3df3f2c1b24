"""Sums over what was seen: gaps, percentiles, rates. Pure."""

from collections.abc import Sequence


class Arrivals:
    """Counts a track's decoded frames and the longest time without one. Times in seconds of one clock."""

    def __init__(self) -> None:
        self.frames = 0
        self.first: float | None = None
        self.last: float | None = None
        self.longest_gap = 0.0

    def add(self, now: float) -> None:
        """A frame was decoded."""
        if self.last is None:
            self.first = now
        else:
            self.longest_gap = max(self.longest_gap, now - self.last)
        self.last = now
        self.frames += 1

    def rate(self) -> float:
        """Frames per second between the first and the last."""
        if self.first is None or self.last is None or self.last <= self.first:
            return 0.0
        return (self.frames - 1) / (self.last - self.first)

    def gap_at(self, end: float) -> float:
        """The longest gap, with the one that is open at the end."""
        return self.longest_gap if self.last is None else max(self.longest_gap, end - self.last)


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
