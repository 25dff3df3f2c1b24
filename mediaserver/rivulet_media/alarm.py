"""One timer of the event loop that is moved as deadlines change."""

import asyncio
from collections.abc import Callable


class Alarm:
    """Calls `ring` once the loop's clock has reached the time that was set last."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._when: float | None = None
        self._handle: asyncio.TimerHandle | None = None

    def set(self, when: float | None) -> None:
        """Ring at this loop time, and not at an earlier setting's; None: not at all."""
        if when == self._when:
            return
        if self._handle is not None:
            self._handle.cancel()
        self._when = when
        self._handle = None if when is None else asyncio.get_running_loop().call_at(when, self._rung)

    def _rung(self) -> None:
        self._handle = self._when = None
        self._ring()
