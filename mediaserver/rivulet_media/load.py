"""How busy this node is: the counts that directors hear every 2 s, and whether the engine's thread still turns."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rivulet_media.pulling import Pulling
from rivulet_media.relaying import Relaying
from rivulet_media.sessions import Sessions
from rivulet_media.wire import Counts, StreamCounts

if TYPE_CHECKING:
    from rivulet_media._engine import EngineStats

STALLED_SECONDS = 10.0


@dataclass(frozen=True)
class _Reading:
    when: float
    cpu_seconds: float
    bytes_sent: int
    ticks: int


class Load:
    """Differences between readings of the engine's counters. `now`: the event loop's clock."""

    def __init__(self, sessions: Sessions, relaying: Relaying, pulling: Pulling, now: float) -> None:
        self._sessions = sessions
        self._relaying = relaying
        self._pulling = pulling
        self._last = _Reading(now, time.process_time(), 0, -1)
        self._turned = now

    def counts(self, stats: "EngineStats", now: float) -> Counts:
        """The counts for directors; call at a steady pace."""
        before = self._last
        self._last = _Reading(now, time.process_time(), stats["bytes_sent"], stats["ticks"])
        if stats["ticks"] != before.ticks:
            self._turned = now
        seconds = max(now - before.when, 0.001)
        sessions = self._sessions
        viewers = sessions.viewers_by_stream()
        return Counts(
            viewers=sum(viewers.values()),
            publishers=sessions.count("publisher"),
            relays_in=self._relaying.relays_in,
            relays_out=sessions.count("relay_out"),
            bytes_in=stats["bytes_received"],
            bytes_out=stats["bytes_sent"],
            egress_bps=max(0.0, 8 * (self._last.bytes_sent - before.bytes_sent) / seconds),
            cpu=(self._last.cpu_seconds - before.cpu_seconds) / seconds,
            streams={name: StreamCounts(viewers=count) for name, count in sorted(viewers.items())},
            pulls=self._pulling.states,
        )

    def alive(self, now: float) -> bool:
        """Whether the engine's thread has turned lately, and somebody has looked."""
        return now - self._turned < STALLED_SECONDS
