"""One stream that this node pulls: when the relay is opened, kept, opened again and closed. Sans-IO; the time comes in.

Invariant: at most one attempt is open; every attempt that was opened is closed exactly once, by us (a `Close`) or by
the other side (`failed`); none is open without a viewer for longer than `idle_seconds` after the last one left.

    idle ──first viewer──▶ connecting ──connected──▶ live ──last viewer──▶ lingering ──idle_seconds──▶ idle
                              ▲   │ failed, parent lost  │ closed, silent
                              └── waiting (back-off) ◀───┘
"""

from dataclasses import dataclass
from typing import Literal

from rivulet_media.route import Parent

FIRST_DELAY = 0.5
LONGEST_DELAY = 2.0
CONNECT_SECONDS = 20.0
# Live for so long: the next failure is a new one, not the same again.
STEADY_SECONDS = 5.0
# A parent that says "live" has so long to send the first packet, or to say otherwise once packets have stopped.
FIRST_MEDIA_SECONDS = 5.0
SILENCE_GRACE_SECONDS = 1.0

State = Literal["idle", "waiting", "connecting", "live", "lingering"]


@dataclass(frozen=True)
class Open:
    """Begin attempt number `attempt` at `parent`."""

    attempt: int
    parent: Parent


@dataclass(frozen=True)
class Close:
    """End that attempt, whatever it has come to."""

    attempt: int
    reason: str


@dataclass(frozen=True)
class EndViewers:
    """Nobody has the stream any more, and its viewers have waited long enough."""

    reason: str


Output = Open | Close | EndViewers


class Relay:
    """The life of one stream's relay. Every method takes the time and returns what is to be done, in order."""

    def __init__(self, idle_seconds: float, hold_seconds: float) -> None:
        self.idle_seconds = idle_seconds
        self.hold_seconds = hold_seconds
        self.viewers = 0
        self.parent: Parent | None = None
        self._attempt: int | None = None
        self._last_attempt = 0
        self._connected_at: float | None = None
        self._flowing = False
        self._failures = 0
        self._retry_at: float | None = None
        self._connect_by: float | None = None
        self._media_by: float | None = None
        self._unwatched_since: float | None = None
        self._orphan_since: float | None = None

    @property
    def state(self) -> State:
        """Where in its life the relay is."""
        if self._attempt is None:
            return "waiting" if self.viewers else "idle"
        if self._connected_at is None:
            return "connecting"
        return "live" if self.viewers else "lingering"

    @property
    def attempt(self) -> int | None:
        """The open attempt."""
        return self._attempt

    @property
    def deadline(self) -> float | None:
        """When `tick` wants to be called next."""
        times = (self._retry_at, self._connect_by, self._media_by, self._idle_at, self._given_up_at)
        return min((time for time in times if time is not None), default=None)

    # Viewers

    def viewers_are(self, count: int, now: float) -> list[Output]:
        """So many viewers watch the stream on this node now."""
        before, self.viewers = self.viewers, count
        self._mind_orphans(now)
        if count:
            self._unwatched_since = None
            return [] if before or self._attempt is not None else self._open(now)
        if self._attempt is None:
            self._retry_at = None
            self._failures = 0
        elif before:
            self._unwatched_since = now
        return []

    # The parent

    def parent_is(self, parent: Parent | None, now: float) -> list[Output]:
        """The route is this now; None: nobody has the stream."""
        before, self.parent = self.parent, parent
        self._mind_orphans(now)
        if self._attempt is None:
            return self._try_new(before, now)
        if parent is None:
            return self._abandon("parent-lost")
        if before is not None and before.same_source(parent):
            self._watch_media(before, parent, now)
            return []
        return [*self._abandon("parent-changed"), *self._open_if_watched(now)]

    def stream_ended(self) -> list[Output]:
        """The publication has ended: nothing is lingered."""
        self.parent = None
        self._retry_at = None
        return self._abandon("stream-ended")

    # The attempt

    def connected(self, attempt: int, now: float) -> None:
        """Keys are in use; packets may come."""
        if attempt == self._attempt and self._connected_at is None:
            self._connected_at = now
            self._connect_by = None
            self._expect_media(now + FIRST_MEDIA_SECONDS)

    def active(self, attempt: int) -> None:
        """Packets flow."""
        if attempt == self._attempt:
            self._flowing = True
            self._media_by = None

    def silent(self, attempt: int, now: float) -> None:
        """Packets have stopped; the owner may be about to say why."""
        if attempt == self._attempt:
            self._flowing = False
            self._expect_media(now + SILENCE_GRACE_SECONDS)

    def failed(self, attempt: int, now: float) -> None:
        """Refused, or closed by the other side."""
        if attempt != self._attempt:
            return
        steady = self._connected_at is not None and now - self._connected_at >= STEADY_SECONDS
        self._failures = 0 if steady else self._failures
        self._forget_attempt()
        if self.viewers:
            self._retry_at = now + min(FIRST_DELAY * 2**self._failures, LONGEST_DELAY)
            self._failures = min(self._failures + 1, 8)

    def tick(self, now: float) -> list[Output]:
        """A deadline has come."""
        if _due(self._idle_at, now):
            return self._abandon("idle")
        if _due(self._connect_by, now) or (_due(self._media_by, now) and self._parent_is_live):
            return self._give_up(now)
        if _due(self._media_by, now):
            self._media_by = None
        if _due(self._retry_at, now):
            return self._open_if_watched(now)
        if _due(self._given_up_at, now):
            self._orphan_since = None
            return [EndViewers("publisher-lost")]
        return []

    # Inside

    @property
    def _idle_at(self) -> float | None:
        """Settings are live: what is waited for is reckoned anew when they change."""
        return None if self._unwatched_since is None else self._unwatched_since + self.idle_seconds

    @property
    def _given_up_at(self) -> float | None:
        return None if self._orphan_since is None else self._orphan_since + self.hold_seconds

    @property
    def _parent_is_live(self) -> bool:
        return self.parent is not None and self.parent.live

    def _mind_orphans(self, now: float) -> None:
        """The owner of a lost stream ends it; where no owner is left, its viewers are held as long and no longer."""
        if self.parent is not None or not self.viewers:
            self._orphan_since = None
        elif self._orphan_since is None:
            self._orphan_since = now

    def _try_new(self, before: Parent | None, now: float) -> list[Output]:
        """Another parent than the one that has just failed is asked at once."""
        changed = self.parent is not None and (before is None or not before.same_source(self.parent))
        return self._open_if_watched(now) if changed else []

    def _watch_media(self, before: Parent, parent: Parent, now: float) -> None:
        if parent.live and not before.live and self._connected_at is not None:
            self._expect_media(now + FIRST_MEDIA_SECONDS)

    def _expect_media(self, by: float) -> None:
        """Packets and the table race: only what does not flow although it should is waited for."""
        self._media_by = by if self._parent_is_live and not self._flowing else None

    def _open_if_watched(self, now: float) -> list[Output]:
        return self._open(now) if self.viewers else []

    def _open(self, now: float) -> list[Output]:
        self._retry_at = None
        if self.parent is None:
            return []
        self._last_attempt += 1
        self._attempt = self._last_attempt
        self._connect_by = now + CONNECT_SECONDS
        return [Open(self._attempt, self.parent)]

    def _give_up(self, now: float) -> list[Output]:
        attempt, reason = self._attempt, "no-answer" if self._connected_at is None else "no-media"
        if attempt is None:
            return []
        self.failed(attempt, now)
        return [Close(attempt, reason)]

    def _abandon(self, reason: str) -> list[Output]:
        attempt = self._attempt
        self._forget_attempt()
        return [] if attempt is None else [Close(attempt, reason)]

    def _forget_attempt(self) -> None:
        self._attempt = self._connected_at = None
        self._flowing = False
        self._connect_by = self._media_by = self._unwatched_since = None


def _due(time: float | None, now: float) -> bool:
    return time is not None and time <= now
