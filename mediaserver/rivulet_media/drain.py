"""When this node takes nothing new, and when it goes. Pure; times are Unix seconds.

Two things drain a node: its director, by order, which can be taken back and after which the process stays; and SIGTERM,
which cannot, and after which it exits: when it is empty, at the latest at the deadline.
"""

import math
from dataclasses import dataclass, replace

# Viewers are asked to move so many a second at least; all of them in the first half of the time that is left.
ASKED_A_SECOND = 50


@dataclass(frozen=True)
class Drain:
    """What was asked of this node."""

    ordered: float | None = None
    terminated: float | None = None

    @property
    def draining(self) -> bool:
        """Whether nothing new is taken."""
        return self.ordered is not None or self.terminated is not None

    @property
    def deadline(self) -> float | None:
        """When the last sessions are closed."""
        return min((time for time in (self.ordered, self.terminated) if time is not None), default=None)

    def order(self, deadline: float | None) -> "Drain":
        """A director says until when the node has to be empty; None takes that back."""
        return replace(self, ordered=deadline)

    def terminate(self, now: float, seconds: float) -> "Drain":
        """SIGTERM. The first one counts, unless a later one leaves less time."""
        deadline = now + seconds
        return replace(self, terminated=deadline if self.terminated is None else min(self.terminated, deadline))

    def asked_now(self, waiting: int, now: float, seconds: float) -> int:
        """How many of `waiting` viewers to ask to move in the next `seconds`: steadily, others have to take them."""
        if self.deadline is None:
            return 0
        half = max((self.deadline - now) / 2, seconds)
        return min(waiting, math.ceil(max(ASKED_A_SECOND, waiting / half) * seconds))

    def sessions_must_go(self, now: float) -> bool:
        """Whether the deadline has come."""
        return self.deadline is not None and now >= self.deadline

    def may_exit(self, now: float, *, empty: bool) -> bool:
        """Whether the process ends now."""
        return self.terminated is not None and (empty or self.sessions_must_go(now))
