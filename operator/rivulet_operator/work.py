"""The queue of objects to reconcile: each at most once, some only later, failed ones after a growing while."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rivulet_operator.model.kinds import Kind

    Key = tuple[Kind, str]

FIRST_RETRY_SECONDS = 0.2
LAST_RETRY_SECONDS = 30.0


class Work:
    """Keys (kind and name) in the order in which they were first asked for."""

    def __init__(self) -> None:
        """Nothing to do."""
        self._due: dict[Key, None] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}
        self._some = asyncio.Event()

    def add(self, keys: Iterable[Key]) -> None:
        """To be reconciled now; level-triggered, so twice is once."""
        for key in keys:
            self._due.setdefault(key, None)
        if self._due:
            self._some.set()

    def later(self, key: Key, seconds: float) -> None:
        """To be reconciled in a while, or sooner if that has been asked for before."""
        loop = asyncio.get_running_loop()
        known = self._timers.get(key)
        if known is not None and known.when() <= loop.time() + seconds:
            return
        if known is not None:
            known.cancel()
        self._timers[key] = loop.call_later(seconds, self._ripe, key)

    def _ripe(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add([key])

    def failed(self, key: Key) -> float:
        """To be tried again after a while, which doubles each time; returns it, in seconds."""
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        delay: float = min(FIRST_RETRY_SECONDS * 2.0 ** min(count, 16), LAST_RETRY_SECONDS)
        self.later(key, delay)
        return delay

    def done(self, key: Key) -> None:
        """It went well."""
        self._failures.pop(key, None)

    async def next(self) -> Key:
        """Wait for the next key and take it out."""
        while not self._due:
            self._some.clear()
            await self._some.wait()
        key = next(iter(self._due))
        del self._due[key]
        return key
