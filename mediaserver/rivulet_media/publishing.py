"""Publications of this node, carried out: the engine's answers and events in, sessions closed and entries told."""

import logging
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rivulet_media._engine import Engine
from rivulet_media.alarm import Alarm
from rivulet_media.barring import Barring
from rivulet_media.closing import Closing
from rivulet_media.errors import RefusedError
from rivulet_media.node_table import NodeTable
from rivulet_media.publications import NOTHING, Outcome, PublishedName, Publisher
from rivulet_media.sessions import Session, Sessions
from rivulet_media.table import Delta, Track
from rivulet_media.wire import StreamPolicy

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WhipOffer:
    """A publisher's request, let in by a director."""

    stream: str
    subject: str
    policy: StreamPolicy
    sdp: str


class Publishing:
    """All names that are published here. `clock`: the event loop's."""

    def __init__(
        self, engine: Engine, sessions: Sessions, table: NodeTable, closing: Closing, clock: Callable[[], float]
    ) -> None:
        self._engine = engine
        self._sessions = sessions
        self._table = table
        self._closing = closing
        self._clock = clock
        self._names: dict[str, PublishedName] = {}
        self._barring = Barring()
        self._alarm = Alarm(self._tick)
        table.listen(self._table_changed)
        sessions.listen(self._session_ended)

    def publish(self, offer: WhipOffer) -> tuple[Session, str]:
        """The session and the answer. RefusedError `name-in-use`; EngineError leaves the present publisher alone."""
        self._check_elsewhere(offer)
        self.check_free(offer.stream, offer.subject)
        incarnation = secrets.token_hex(6)
        session_id, answer = self._engine.publish(offer.stream, incarnation, offer.sdp, engine_codecs(offer.policy))
        publisher = Publisher(session_id, incarnation, offer.subject, time.time())
        return self.give(offer.stream, publisher, offer.policy), answer

    def check_free(self, stream: str, subject: str) -> None:
        """RefusedError unless `subject` may publish it here now."""
        self._barring.check(stream, subject, self._clock())
        name = self._names.get(stream)
        if name is not None:
            name.check_free(subject, self._clock())

    def give(self, stream: str, publisher: Publisher, policy: StreamPolicy) -> Session:
        """The engine has a session of `publisher`, and `check_free` did not object just now."""
        name = self._name(stream, policy)
        session = Session(publisher.session, "publisher", stream, publisher.subject)
        self._sessions.add(session)
        name.policy = policy
        self._names[stream] = name
        log.info("publisher", extra={"stream": stream, "session": session.id, "subject": publisher.subject})
        self._follow(stream, name.give_to(publisher, self._clock()))
        return session

    def deleted(self, session: Session) -> bool:
        """The publisher says that it is over. False: it has no name here any more."""
        name = self._names.get(session.stream)
        outcome = name.deleted(session.id) if name is not None else NOTHING
        self._follow(session.stream, outcome)
        return outcome.ended is not None

    def active(self, session: Session) -> None:
        """Packets come, for the first time or again."""
        self._tell(session, lambda name: name.active(session.id))

    def silent(self, session: Session) -> None:
        """Packets have stopped 3 s ago."""
        self._tell(session, lambda name: name.silent(session.id, self._clock()))

    def described(self, session: Session, tracks: tuple[Track, ...]) -> None:
        """Codecs are known."""
        self._tell(session, lambda name: name.described(session.id, tracks))

    def gop_is(self, stream: str, gop_ms: int) -> None:
        """The engine has measured the time between key frames."""
        name = self._names.get(stream)
        known = name.entry.gop_ms if name is not None and name.entry is not None else None
        if name is not None and (known is None or abs(gop_ms - known) > known // 2):
            self._follow(stream, name.gop_is(gop_ms))

    def end(self, stream: str, incarnation: str, reason: str) -> None:
        """A director says that this publication is over (its Stream was deleted)."""
        name = self._names.get(stream)
        if name is not None and name.entry is not None and name.entry.incarnation == incarnation:
            self._follow(stream, name.end(reason))

    def use(self, policies: Mapping[str, StreamPolicy]) -> None:
        """Live settings have changed."""
        for stream, policy in policies.items():
            if stream in self._names:
                self._follow(stream, self._names[stream].use(policy))
        self._rearm()

    # Inside

    def _check_elsewhere(self, offer: WhipOffer) -> None:
        """While tables differ a director may choose another origin than the one that has the name."""
        standing = self._table.table.stream(offer.stream)
        if standing is None or standing.state != "live" or standing.origin == self._table.ref:
            return
        if standing.subject != offer.subject:
            detail = f"{offer.stream} is being published by {standing.subject} on {standing.origin.partition('/')[0]}"
            raise RefusedError("name-in-use", f"{detail}; stop that publisher first")

    def _name(self, stream: str, policy: StreamPolicy) -> PublishedName:
        known = self._names.get(stream)
        if known is not None:
            return known
        entry = self._table.entry
        return PublishedName(self._table.ref, "" if entry is None else entry.region, policy)

    def _session_ended(self, session: Session, reason: str) -> None:
        if session.kind == "publisher":
            if reason == "too-fast":
                self._barring.bar(session.stream, session.peer, self._clock())
            self._tell(session, lambda name: name.closed(session.id, self._clock()))

    def _tell(self, session: Session, what: Callable[[PublishedName], Outcome]) -> None:
        name = self._names.get(session.stream)
        if name is not None:
            self._follow(session.stream, what(name))

    def _follow(self, stream: str, outcome: Outcome) -> None:
        """Carry out what a name has decided."""
        for session, reason in outcome.close:
            self._closing.close(session, reason)
        for entry in outcome.entries:
            log.debug("stream %s", entry.state, extra={"stream": stream, "reason": entry.reason})
        if outcome.entries:
            self._table.publish(outcome.entries)
        if outcome.ended is not None:
            self._closing.close_stream(stream, outcome.ended)
            self._engine.drop_stream(stream)
        if stream in self._names and self._names[stream].idle:
            del self._names[stream]
        self._rearm()

    def _tick(self) -> None:
        now = self._clock()
        for stream, name in list(self._names.items()):
            if name.deadline is not None and name.deadline <= now:
                self._follow(stream, name.tick(now))
        self._rearm()

    def _rearm(self) -> None:
        deadlines = (name.deadline for name in self._names.values())
        self._alarm.set(min((time for time in deadlines if time is not None), default=None))

    def _table_changed(self, delta: Delta) -> None:
        """Another origin may have taken over a name while nobody could reach this one."""
        for stream in {entry.stream for entry in delta.streams} & self._names.keys():
            own, standing = self._names[stream].entry, self._table.table.stream(stream)
            if own is None or standing is None or standing.origin == self._table.ref or standing.state != "live":
                continue
            if standing.since > own.since:
                self._follow(stream, self._names[stream].end("superseded"))


def engine_codecs(policy: StreamPolicy) -> tuple[str, ...]:
    """A Stream names video codecs; Opus is always taken."""
    return (*(codec for codec in policy.codecs if codec != "opus"), "opus")
