"""One name on its origin: who may publish it, and what the table says of it. Pure; the time comes in.

Invariant: at most one publisher holds the name; at most one entry of the name is `live` or `lost`; every entry that was
live becomes `ended` exactly once, with a reason.

A publisher has the name from the answer to its POST. Its publication stands in the table from its first packet, and
only then is the one before it superseded: viewers never see a name between two publishers as ended.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from rivulet_media.errors import RefusedError
from rivulet_media.table import StreamEntry, Track
from rivulet_media.wire import StreamPolicy

SILENT_SECONDS = 3.0
# Longer than the engine waits for a handshake.
FIRST_PACKET_SECONDS = 20.0
# A held name does not end in the middle of its publisher's handshake.
HANDSHAKE_GRACE_SECONDS = 5.0


@dataclass(frozen=True)
class Publisher:
    """Who was given the name: by the session that the engine made, for the subject of its token."""

    session: str
    incarnation: str
    subject: str
    since: float  # Unix seconds


@dataclass(frozen=True)
class Outcome:
    """What follows: entries to tell, publishers' sessions to close, and why the name ended (its viewers close)."""

    entries: tuple[StreamEntry, ...] = ()
    close: tuple[tuple[str, str], ...] = ()
    ended: str | None = None

    def __add__(self, other: "Outcome") -> "Outcome":
        """Both, one after the other."""
        return Outcome(self.entries + other.entries, self.close + other.close, other.ended or self.ended)


NOTHING = Outcome()


class PublishedName:
    """One name. `now` is any steadily growing clock in seconds."""

    def __init__(self, origin: str, region: str, policy: StreamPolicy) -> None:
        self.policy = policy
        self.publisher: Publisher | None = None
        self.entry: StreamEntry | None = None
        self._origin = origin
        self._region = region
        self._open = False
        self._sending = False
        self._tracks: tuple[Track, ...] = ()
        self._last_packet = 0.0
        self._given_at = 0.0

    @property
    def idle(self) -> bool:
        """Nobody publishes and nothing is held: the object may go."""
        return self.publisher is None

    @property
    def deadline(self) -> float | None:
        """When `tick` wants to be called next."""
        if self.publisher is None or self._sending:
            return None
        return min(self._held_until, self._lost_at) if self._is_live else self._held_until

    def use(self, policy: StreamPolicy) -> Outcome:
        """Live settings have changed; how relays travel, nodes of all regions read off the entry."""
        self.policy = policy
        return self._retold(transport=policy.transport)

    def check_free(self, subject: str, now: float) -> None:
        """RefusedError unless `subject` may publish: the same one always, others when nothing was sent for 3 s."""
        holder = self.publisher
        if holder is None or holder.subject == subject:
            return
        if self._sending or now - max(self._last_packet, self._given_at) < SILENT_SECONDS:
            detail = f"{self.policy.stream} is being published by {holder.subject}; stop that publisher first"
            raise RefusedError("name-in-use", f"{detail}, or publish with the same token subject to take over")

    def give_to(self, publisher: Publisher, now: float) -> Outcome:
        """The engine has answered `publisher`, and `check_free` did not object."""
        previous = self.publisher
        close = ((previous.session, "superseded"),) if previous is not None and self._open else ()
        if self._sending:
            self._last_packet = now
        self._given_at = now
        self.publisher, self._open, self._sending, self._tracks = publisher, True, False, ()
        return Outcome(close=close)

    def active(self, session: str) -> Outcome:
        """The first packet, or the first after silence."""
        if not self._is_current(session):
            return NOTHING
        self._sending = True
        return self._now_live()

    def silent(self, session: str, now: float) -> Outcome:
        """The engine has seen no packet for 3 s."""
        if not self._is_current(session) or not self._sending:
            return NOTHING
        self._sending = False
        self._last_packet = now - SILENT_SECONDS
        return self._now_lost()

    def described(self, session: str, tracks: Sequence[Track]) -> Outcome:
        """Codecs are known, or known better."""
        if not self._is_current(session):
            return NOTHING
        self._tracks = tuple(tracks)
        entry = self.entry
        if entry is None or self.publisher is None or entry.incarnation != self.publisher.incarnation:
            return NOTHING
        return self._retold(tracks=self._tracks)

    def gop_is(self, gop_ms: int) -> Outcome:
        """The time between key frames was measured."""
        return self._retold(gop_ms=gop_ms) if self._is_live and self._sending else NOTHING

    def closed(self, session: str, now: float) -> Outcome:
        """The publisher's session broke: it is waited for."""
        if not self._is_current(session):
            return NOTHING
        self._open = False
        if self._sending:
            self._sending = False
            self._last_packet = now
        if self.entry is None:
            self.publisher = None
            return NOTHING
        return self._now_lost()

    def deleted(self, session: str) -> Outcome:
        """The publisher says that it is over, on its session or on one that has broken."""
        return self.end("stream-ended", "deleted") if self._is_current(session) else NOTHING

    def end(self, reason: str, publisher_reason: str | None = None) -> Outcome:
        """Over, whatever it was: viewers hear `reason`, the publisher's session the second one."""
        publisher = self.publisher
        if publisher is None:
            return NOTHING
        close = ((publisher.session, publisher_reason or reason),) if self._open else ()
        self.publisher, self._open, self._sending = None, False, False
        told = self._retold(state="ended", reason=reason)
        self.entry = None
        return Outcome(told.entries, close, reason)

    def tick(self, now: float) -> Outcome:
        """A deadline has come."""
        if self.publisher is None or self._sending:
            return NOTHING
        if now >= self._held_until:
            return self.end("publisher-lost")
        if self._is_live and now >= self._lost_at:
            return self._now_lost()
        return NOTHING

    # Inside

    @property
    def _is_live(self) -> bool:
        return self.entry is not None and self.entry.state == "live"

    @property
    def _lost_at(self) -> float:
        return self._last_packet + SILENT_SECONDS

    @property
    def _held_until(self) -> float:
        if self.entry is None:
            return self._given_at + max(self.policy.hold_seconds, FIRST_PACKET_SECONDS)
        grace = HANDSHAKE_GRACE_SECONDS if self._open else 0.0
        return max(self._last_packet + self.policy.hold_seconds, self._given_at + grace)

    def _is_current(self, session: str) -> bool:
        return self.publisher is not None and self.publisher.session == session

    def _now_live(self) -> Outcome:
        entry, publisher = self.entry, self.publisher
        if publisher is None:
            return NOTHING
        if entry is not None and entry.incarnation == publisher.incarnation:
            return self._retold(state="live")
        superseded = self._retold(state="ended", reason="superseded")
        self.entry = self._first_entry(publisher)
        return Outcome(entries=(self.entry,)) + superseded

    def _now_lost(self) -> Outcome:
        return self._retold(state="lost")

    def _retold(self, **changes: object) -> Outcome:
        """The entry with these changes, as its next version; nothing when they change nothing."""
        entry = self.entry
        if entry is None:
            return NOTHING
        changed = dataclasses.replace(entry, **changes)  # type: ignore[arg-type]
        if changed == entry:
            return NOTHING
        self.entry = dataclasses.replace(changed, version=entry.version + 1)
        return Outcome(entries=(self.entry,))

    def _first_entry(self, publisher: Publisher) -> StreamEntry:
        return StreamEntry(
            stream=self.policy.stream,
            incarnation=publisher.incarnation,
            version=1,
            origin=self._origin,
            region=self._region,
            state="live",
            tracks=self._tracks,
            since=publisher.since,
            subject=publisher.subject,
            play=self.policy.play,
            transport=self.policy.transport,
        )
