"""What all parts of a soak share: its CDN, its time, its dice and what they count."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from rivulet_scene.bare import BareCdn, metric

STREAMS: dict[str, dict[str, Any]] = {
    name: {"region": "eu", "holdSeconds": 5, "distribution": {"idleSeconds": 2, **more}}
    for name, more in (("calm_eu", {}), ("restless_eu", {"transport": "tcp"}), ("crashing_eu", {}))
}
DIRECTORS = (("eu", 0), ("eu", 1), ("us", 0))
ORIGINS = ("origin-eu-0", "origin-eu-1")
EU_EDGES = ("edge-eu-0", "edge-eu-1")
EDGES = (*EU_EDGES, "edge-us-0")
NODES = (*ORIGINS, *EDGES)
# Killed now and then; the others stand from the beginning to the end, and their memory is looked at.
MORTAL = ("origin-eu-1", "edge-eu-1", "edge-us-0")
STANDING = tuple(name for name in NODES if name not in MORTAL)
# How long nodes keep a link that carries nothing: less than the judge waits, and long enough to find one open.
LINK_SECONDS = 5
# Media threads of each node; without sessions each turns four times a second.
THREADS = 2


class Run:
    """Everything random comes from `seed`, but not when it happens."""

    def __init__(self, cdn: BareCdn, seconds: float, seed: int) -> None:
        """It begins with `begin`."""
        self.cdn = cdn
        self._seconds = seconds
        self.random = random.Random(seed)  # noqa: S311 - a soak keeps no secrets
        self.began = self._until = 0.0
        self.calm = asyncio.Lock()
        self.counts: Counter[str] = Counter()
        self._of_the_dead: Counter[tuple[str, str]] = Counter()

    def begin(self) -> None:
        """The time runs."""
        self.began = time.monotonic()
        self._until = self.began + self._seconds

    @property
    def over(self) -> bool:
        """Whether nothing new is to begin."""
        return time.monotonic() >= self._until

    async def repeat(self, scene: Callable[[], Awaitable[None]]) -> None:
        """Again and again until it is over."""
        while not self.over:
            await scene()

    async def rest(self, least: float, most: float) -> None:
        """So many seconds, but not beyond the end."""
        left = self._until - time.monotonic()
        await asyncio.sleep(max(0.0, min(self.random.uniform(least, most), left)))

    def join(self, slot: str) -> None:
        """Start a node; waits until it has joined."""
        role, region, _ = slot.split("-")
        self.cdn.node(slot, role, region, "--link-seconds", str(LINK_SECONDS), "--media-threads", str(THREADS))

    def kill(self, slot: str, *counters: str) -> None:
        """End a node without a word; what it has counted counts on."""
        for name in counters:
            self._of_the_dead[slot, name] += round(self._now(slot, name))
        self.cdn.processes[slot].kill()

    def counted(self, name: str, slots: tuple[str, ...]) -> float:
        """A counter over all lives of these nodes."""
        return sum(self._now(slot, name) + self._of_the_dead[slot, name] for slot in slots)

    def told(self, name: str, slots: tuple[str, ...], **labels: str) -> float:
        """A gauge of these nodes together."""
        return sum(self._now(slot, name, **labels) for slot in slots)

    def _now(self, slot: str, name: str, **labels: str) -> float:
        return metric(self.cdn.processes[slot].http, name, **labels)
