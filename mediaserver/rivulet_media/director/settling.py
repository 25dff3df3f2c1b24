"""When a fresh director may speak of absence. Pure; the time comes in.

Invariant: once settled, always settled.
"""

from collections.abc import Collection

QUIET_SECONDS = 3.0
LONGEST_SECONDS = 8.0


class Settling:
    """A director settles when all expected slots have joined, or no hello has come for 3 s, at the latest after 8 s."""

    def __init__(self, now: float) -> None:
        self._start = now
        self._latest_hello = now
        self._joined: set[str] = set()
        self._expected: frozenset[str] | None = None
        self._settled = False

    def expect(self, slots: Collection[str]) -> None:
        """The slots that the operator runs."""
        self._expected = frozenset(slots)

    def heard(self, slot: str, now: float) -> None:
        """A node has said hello."""
        if slot not in self._joined:
            self._joined.add(slot)
            self._latest_hello = now

    def settled(self, now: float) -> bool:
        """Whether it is over; from the first True on it stays True."""
        complete = bool(self._expected) and self._joined >= (self._expected or frozenset())
        quiet = now - self._latest_hello >= QUIET_SECONDS
        self._settled = self._settled or complete or quiet or now - self._start >= LONGEST_SECONDS
        return self._settled
