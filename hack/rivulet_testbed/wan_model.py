"""One direction of one pair of places: what becomes of a packet. Pure: time and randomness are passed in.

Invariant: a packet is dropped at its entry or delivered exactly once; packets of one direction stay in order unless
``reorder`` picks one of them.
"""

import random
from dataclasses import dataclass, field

# How long a reordered packet is held beyond its time, while those behind it overtake it.
REORDER_HOLD_SECONDS = 0.005
DEFAULT_QUEUE_MS = 200.0
_BITS = 8


@dataclass(frozen=True)
class Conditions:
    """What one direction does: delay ± jitter, queue (ms), loss, reorder (percent), rate (Mbit/s), cut.

    burst: how many packets are lost in a row in the mean, 1: each by itself.
    """

    delay: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    burst: float = 1.0
    reorder: float = 0.0
    rate: float = 0.0
    queue: float = DEFAULT_QUEUE_MS
    cut: bool = False


@dataclass
class Counters:
    """What one direction has seen since the router started."""

    packets: int = 0
    bytes: int = 0
    lost: int = 0
    queue_full: int = 0
    cut: int = 0
    reordered: int = 0


@dataclass
class Link:
    """One direction in operation."""

    conditions: Conditions
    random: random.Random
    counters: Counters = field(default_factory=Counters)
    _losing: bool = False
    _line_free_at: float = 0.0
    _last_due: float = 0.0

    def admit(self, now: float, size: int) -> float | None:
        """Return when a packet of ``size`` bytes that enters now comes out, None if it never does."""
        conditions = self.conditions
        counters = self.counters
        counters.packets += 1
        counters.bytes += size
        if conditions.cut:
            counters.cut += 1
            return None
        if conditions.loss and self._loses():
            counters.lost += 1
            return None
        sent = self._through_bottleneck(now, size) if conditions.rate else now
        return None if sent is None else self._due(sent)

    def _loses(self) -> bool:
        """With bursts by Gilbert's model: everything is lost in one of two states."""
        share = self.conditions.loss / 100
        if self.conditions.burst <= 1 or share >= 1:
            return self.random.random() < share
        leaves = 1 / self.conditions.burst
        enters = leaves * share / (1 - share)
        chance = 1 - leaves if self._losing else enters
        self._losing = self.random.random() < chance
        return self._losing

    def _through_bottleneck(self, now: float, size: int) -> float | None:
        """Queue for the line; None when the queue holds more than it may."""
        start = max(now, self._line_free_at)
        if start - now > self.conditions.queue / 1000:
            self.counters.queue_full += 1
            return None
        self._line_free_at = start + size * _BITS / (self.conditions.rate * 1e6)
        return self._line_free_at

    def _due(self, sent: float) -> float:
        conditions = self.conditions
        due = sent + conditions.delay / 1000
        if conditions.jitter:
            due = max(sent, due + self.random.uniform(-1, 1) * conditions.jitter / 1000)
        if conditions.reorder and self.random.random() * 100 < conditions.reorder:
            self.counters.reordered += 1
            return due + REORDER_HOLD_SECONDS
        self._last_due = max(due, self._last_due)
        return self._last_due

    def change(self, conditions: Conditions) -> None:
        """Set new conditions for packets that enter from now on; with a shorter delay they may overtake older ones."""
        self.conditions = conditions
        self._losing = False
        self._last_due = 0.0
        self._line_free_at = 0.0
