"""When a packet is made: sources give their pictures and sounds as `Due`s on one timeline that both tracks share."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Final

from rivulet_media.camera.encoders import Packet

# Live means live: what a stalled machine could not make in time is left out, not sent late.
TOO_LATE_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True)
class Due:
    """Something to make `at` seconds after the timeline's start; `make` may block, it is called in a thread."""

    at: float
    make: Callable[[], list[Packet]]


class Timeline:
    """Starts with the first packet that any track wants; says which wall-clock time a moment on it was."""

    def __init__(self) -> None:
        self._started_loop = 0.0
        self._started_wall: float | None = None

    def start(self) -> None:
        """Begin now, unless it has begun."""
        if self._started_wall is None:
            self._started_loop = asyncio.get_running_loop().time()
            self._started_wall = time.time()

    def wall(self, at: float) -> float:
        """Unix time of the moment `at` seconds after the start."""
        if self._started_wall is None:
            raise RuntimeError("the timeline has not begun")
        return self._started_wall + at

    def until(self, at: float) -> float:
        """Seconds until that moment; negative when it has passed."""
        return self._started_loop + at - asyncio.get_running_loop().time()


async def in_time(dues: Iterator[Due], timeline: Timeline, shift: float = 0.0) -> AsyncIterator[Packet]:
    """The packets of all dues, each made when its time has come, or `shift` seconds later (a broken publisher)."""
    loop = asyncio.get_running_loop()
    timeline.start()
    while (due := await loop.run_in_executor(None, next, dues, None)) is not None:
        remaining = timeline.until(due.at + shift)
        if remaining < -TOO_LATE_SECONDS:
            continue
        if remaining > 0:
            await asyncio.sleep(remaining)
        for packet in await loop.run_in_executor(None, due.make):
            yield packet
