"""Which publications have lost their Stream. Pure; the time comes in.

A Stream that was here and is not any more was deleted. One that was never here may be new: directors do not hear of it
at one moment, and another one has let its publisher in. So that one is waited for.
"""

from collections.abc import Iterable, Mapping

from rivulet_media.table import StreamEntry

# Watches of the API are behind each other by less, and a file is read twice a second.
UNHEARD_SECONDS = 5.0


class Deletions:
    """What one director remembers of Streams that it has heard of. `now`: any steadily growing clock in seconds."""

    def __init__(self) -> None:
        self._heard: frozenset[str] = frozenset()
        self._unheard_since: Mapping[str, float] = {}

    def orphans(self, declared: frozenset[str], publications: Iterable[StreamEntry], now: float) -> list[StreamEntry]:
        """Those of `publications` that are to end. `declared`: names that have a Stream, by the API or the file."""
        without = [entry for entry in publications if entry.state != "ended" and entry.stream not in declared]
        since = self._unheard_since
        self._unheard_since = {entry.incarnation: since.get(entry.incarnation, now) for entry in without}
        orphans = [
            entry
            for entry in without
            if entry.stream in self._heard or now - self._unheard_since[entry.incarnation] >= UNHEARD_SECONDS
        ]
        # Of those that are gone, for as long as somebody publishes them.
        self._heard = declared | (self._heard & {entry.stream for entry in without})
        return orphans
