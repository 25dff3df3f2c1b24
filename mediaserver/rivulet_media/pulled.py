"""One stream that this node pulls from a foreign server. Pure; the time comes in.

Invariant: at most one attempt is open, and after one that failed the next waits: 0.5 s, doubled each time up to 10 s,
and as long as the server has asked for, up to a minute. What flows for a while makes it forget.
"""

from dataclasses import dataclass

from rivulet_media.publications import FIRST_PACKET_SECONDS
from rivulet_media.wire import PullOrder

FIRST_DELAY = 0.5
LONGEST_DELAY = 10.0
LONGEST_RETRY_AFTER = 60.0
# Who sends for less long than this has not got well.
WELL_SECONDS = 5.0


@dataclass
class Attempt:
    """One session with the server, from its POST on. `answered`: when; `flowing`: since when packets come."""

    number: int
    answered: float | None = None
    flowing: float | None = None


class Pulled:
    """What to do next for one stream. `now` is any steadily growing clock in seconds."""

    def __init__(self, order: PullOrder, now: float) -> None:
        self.order = order
        self.error: str | None = order.problem
        self.attempt: Attempt | None = None
        self._number = 0
        self._delay = 0.0
        self._next = now
        self._waits = False

    @property
    def deadline(self) -> float | None:
        """When `is_due` or `is_late` may have become true."""
        if self.order.problem is not None:
            return None
        if self.attempt is None:
            return self._next
        waits = self.attempt.answered is not None and self.attempt.flowing is None
        return self.attempt.answered + FIRST_PACKET_SECONDS if waits and self.attempt.answered is not None else None

    def is_due(self, now: float) -> bool:
        """Whether an attempt is to be begun."""
        return self.attempt is None and self.order.problem is None and now >= self._next

    def is_late(self, now: float) -> bool:
        """Whether the server has agreed and sends nothing."""
        attempt = self.attempt
        waits = attempt is not None and attempt.flowing is None and attempt.answered is not None
        return waits and self.deadline is not None and now >= self.deadline

    def use(self, order: PullOrder, now: float) -> bool:
        """The order is this now. True: it begins anew, and the attempt, if any, is of no use.

        Another token is no reason to end what flows.
        """
        flows = self.attempt is not None and self.attempt.flowing is not None
        moved = (order.url, order.problem) != (self.order.url, self.order.problem)
        moved |= order.token != self.order.token and not flows
        self.order = order
        if moved:
            self.error, self.attempt, self._delay, self._next = order.problem, None, 0.0, now
            self._waits = False
        return moved

    def begin(self) -> int:
        """An attempt has begun: its number."""
        self._number += 1
        self._waits = False
        self.attempt = Attempt(self._number)
        return self._number

    def wait(self, why: str, now: float) -> None:
        """It cannot begin now, for reasons of ours: look again later, or when `again` is called."""
        self.error, self._next, self._waits = why, now + LONGEST_DELAY, True

    def again(self, now: float) -> None:
        """What it waited for may have happened."""
        if self._waits:
            self._next = now

    def answered(self, now: float) -> None:
        """The server has agreed."""
        if self.attempt is not None:
            self.attempt.answered = now

    def flows(self, now: float) -> None:
        """Packets come."""
        self.error = None
        if self.attempt is not None and self.attempt.flowing is None:
            self.attempt.flowing = now

    def failed(self, error: str, now: float, retry_after: float | None = None) -> None:
        """The attempt is over."""
        attempt, self.attempt = self.attempt, None
        if attempt is not None and attempt.flowing is not None and now - attempt.flowing >= WELL_SECONDS:
            self._delay = 0.0
        self._delay = min(max(FIRST_DELAY, 2 * self._delay), LONGEST_DELAY)
        self.error = error
        self._next = now + max(self._delay, min(retry_after or 0.0, LONGEST_RETRY_AFTER))
