"""Which nodes of the region are heard, by this director and its siblings. Pure; the time comes in.

Invariant: a node is lost only when no director that answers has heard it for 6 s.
"""

from collections.abc import Iterable, Mapping

from rivulet_media.wire import SILENT_SECONDS


class Membership:
    """When each node was last heard, and by whom."""

    def __init__(self) -> None:
        self._heard: dict[str, float] = {}
        self._mentioned: dict[str, float] = {}
        self._reports: dict[str, tuple[float, Mapping[str, float]]] = {}

    def heard(self, ref: str, now: float) -> None:
        """A frame of this node has come on its own link."""
        self._heard[ref] = now

    def reported(self, director: str, ages: Mapping[str, float], now: float) -> None:
        """A sibling says how long ago it has heard each node."""
        self._reports[director] = (now, ages)

    def silent(self, director: str) -> None:
        """A sibling's link is closed: it does not answer."""
        self._reports.pop(director, None)

    def stood_still(self, seconds: float, now: float) -> None:
        """This director has not run for so long, and not read what it was told meanwhile: nobody was silent."""
        for times in (self._heard, self._mentioned):
            times.update({ref: min(now, when + seconds) for ref, when in times.items()})
        self._reports = {name: (min(now, when + seconds), ages) for name, (when, ages) in self._reports.items()}

    def forget(self, refs: Iterable[str]) -> None:
        """These incarnations have left."""
        for ref in refs:
            self._heard.pop(ref, None)
            self._mentioned.pop(ref, None)

    def ages(self, now: float) -> dict[str, float]:
        """Seconds since the last frame of each node that this director has itself heard."""
        return {ref: now - heard for ref, heard in self._heard.items()}

    def lost(self, refs: Iterable[str], now: float) -> list[str]:
        """Which of these have been silent for too long. One that was never heard counts from its first mention here."""
        return [ref for ref in refs if self._age(ref, now) >= SILENT_SECONDS]

    def _age(self, ref: str, now: float) -> float:
        own = now - self._heard.get(ref, self._mentioned.setdefault(ref, now))
        answering = ((when, ages) for when, ages in self._reports.values() if now - when < SILENT_SECONDS)
        return min([own, *(ages[ref] + now - when for when, ages in answering if ref in ages)])
