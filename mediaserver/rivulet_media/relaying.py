"""Relays of this node, carried out: viewers, the table and the engine's events in; attempts opened and closed.

One `Relay` decides per stream; this is the only place that acts on its word.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass

from rivulet_media._engine import Engine
from rivulet_media.alarm import Alarm
from rivulet_media.closing import Closing
from rivulet_media.node_table import NodeTable
from rivulet_media.relay import Close, EndViewers, Open, Output, Relay
from rivulet_media.route import NoParent, Parent, RoutePolicy, route
from rivulet_media.sessions import Session, Sessions
from rivulet_media.upstream import NoTcpError, StreamOverError, Subscription, Upstream, UpstreamError
from rivulet_media.wire import RelayIn, StreamPolicy

log = logging.getLogger(__name__)

LEAVE_SECONDS = 4.0


@dataclass(frozen=True)
class _Attempt:
    stream: str
    number: int
    parent: str
    subscription: Subscription


class Relaying:
    """All streams that this node pulls. `clock`: the event loop's."""

    def __init__(
        self, engine: Engine, sessions: Sessions, table: NodeTable, closing: Closing, upstream: Upstream
    ) -> None:
        self._engine = engine
        self._sessions = sessions
        self._table = table
        self._closing = closing
        self._upstream = upstream
        self._clock: Callable[[], float] = asyncio.get_running_loop().time
        # Attempts that parents have refused which take no media over TCP.
        self.without_tcp = 0
        self._policies: dict[str, StreamPolicy] = {}
        self._relays: dict[str, Relay] = {}
        self._by_session: dict[str, _Attempt] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._alarm = Alarm(self._tick)
        sessions.listen(self._session_ended)
        table.listen(lambda _: self._reroute_all())

    @property
    def relays_in(self) -> tuple[RelayIn, ...]:
        """Open attempts, for counts."""
        return tuple(
            RelayIn(
                stream=item.stream,
                parent=item.parent,
                state=self._relays[item.stream].state,
                transport=item.subscription.transport,
            )
            for item in self._by_session.values()
            if item.stream in self._relays
        )

    def carries(self, stream: str) -> bool:
        """Whether this node pulls the stream, or has viewers who wait for it."""
        relay = self._relays.get(stream)
        return relay is not None and relay.state != "idle"

    def watch(self, stream: str) -> None:
        """A viewer of another node's stream was let in."""
        if stream not in self._relays:
            policy = self._policies.get(stream) or StreamPolicy(stream=stream)
            self._relays[stream] = Relay(policy.idle_seconds, policy.hold_seconds)
        self._count_viewers(stream)
        self._reroute(stream)

    def use(self, policies: Mapping[str, StreamPolicy]) -> None:
        """Live settings have changed."""
        self._policies |= policies
        for stream, policy in policies.items():
            if stream in self._relays:
                self._relays[stream].idle_seconds = policy.idle_seconds
                self._relays[stream].hold_seconds = policy.hold_seconds
        self._rearm()

    async def leave_all(self) -> None:
        """The process ends: tell every parent, in a bounded time."""
        for attempt in list(self._by_session.values()):
            self._leave(attempt, "shutdown")
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LEAVE_SECONDS)

    # The engine's events; False: the session is no relay of ours

    def connected(self, session: str) -> bool:
        """Keys are in use."""
        return self._with(session, lambda relay, attempt: relay.connected(attempt, self._clock()))

    def active(self, session: str) -> bool:
        """Packets flow."""
        return self._with(session, lambda relay, attempt: relay.active(attempt))

    def silent(self, session: str) -> bool:
        """No packet for 3 s."""
        return self._with(session, lambda relay, attempt: relay.silent(attempt, self._clock()))

    def closed(self, session: str, reason: str) -> bool:
        """The engine has ended the session."""
        attempt = self._by_session.get(session)
        if attempt is None:
            return False
        self._failed(attempt, reason)
        return True

    # Inside

    def _with(self, session: str, what: Callable[[Relay, int], None]) -> bool:
        attempt = self._by_session.get(session)
        if attempt is None:
            return False
        relay = self._relays.get(attempt.stream)
        if relay is not None:
            what(relay, attempt.number)
            self._rearm()
        return True

    def _session_ended(self, session: Session, _: str) -> None:
        if session.kind == "viewer" and session.stream in self._relays:
            self._count_viewers(session.stream)

    def _count_viewers(self, stream: str) -> None:
        viewers = self._sessions.viewers(stream)
        self._do(stream, self._relays[stream].viewers_are(viewers, self._clock()))

    def _reroute_all(self) -> None:
        for stream in list(self._relays):
            self._reroute(stream)

    def _reroute(self, stream: str) -> None:
        """What the table says now."""
        node, relay = self._table.entry, self._relays.get(stream)
        if node is None or relay is None:
            return
        found = route(stream, node, self._table.table, RoutePolicy())
        if isinstance(found, NoParent) and found.reason == "ended":
            entry = self._table.table.stream(stream)
            self._end(stream, (entry.reason if entry is not None else None) or "stream-ended")
            return
        parent = found if isinstance(found, Parent) else None
        self._do(stream, relay.parent_is(parent, self._clock()))

    def _end(self, stream: str, reason: str) -> None:
        self._do(stream, self._relays[stream].stream_ended())
        self._closing.close_stream(stream, reason)

    def _do(self, stream: str, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case Open(number, parent):
                    self._open(stream, number, parent)
                case Close(number, reason):
                    self._close(stream, number, reason)
                case EndViewers(reason):
                    self._closing.close_stream(stream, reason)
        relay = self._relays.get(stream)
        if relay is not None and relay.state == "idle":
            del self._relays[stream]
            self._engine.drop_stream(stream)
        self._rearm()

    def _open(self, stream: str, number: int, parent: Parent) -> None:
        extra = {"stream": stream, "parent": parent.node.ref}
        try:
            subscription = self._upstream.open(parent).subscribe()
        except UpstreamError as error:
            log.warning("relay: %s", error, extra=extra)
            self._relays[stream].failed(number, self._clock())
            return
        attempt = _Attempt(stream, number, parent.node.ref, subscription)
        self._by_session[subscription.session] = attempt
        log.info("relay opens", extra={**extra, "session": subscription.session})
        self._start(self._wait_for_answer(attempt))

    async def _wait_for_answer(self, attempt: _Attempt) -> None:
        try:
            await attempt.subscription.answered()
        except StreamOverError as over:
            asked_for = attempt.subscription.session in self._by_session
            self._failed(attempt, str(over))
            if asked_for and attempt.stream in self._relays:
                self._end(attempt.stream, over.reason)
        except NoTcpError as error:
            self.without_tcp += 1
            log.warning("relay: %s", error, extra={"stream": attempt.stream, "parent": attempt.parent})
            self._failed(attempt, "no-tcp")
        except UpstreamError as error:
            self._failed(attempt, str(error))

    def _close(self, stream: str, number: int, reason: str) -> None:
        for attempt in list(self._by_session.values()):
            if (attempt.stream, attempt.number) == (stream, number):
                self._leave(attempt, reason)

    def _failed(self, attempt: _Attempt, reason: str) -> None:
        """Refused or broken; what may still stand of it at the parent is taken back."""
        if attempt.subscription.session not in self._by_session:
            return
        self._leave(attempt, reason)
        relay = self._relays.get(attempt.stream)
        if relay is not None:
            relay.failed(attempt.number, self._clock())
            self._do(attempt.stream, [])

    def _leave(self, attempt: _Attempt, reason: str) -> None:
        session = attempt.subscription.session
        if self._by_session.pop(session, None) is None:
            return
        extra = {"stream": attempt.stream, "parent": attempt.parent, "session": session, "reason": reason}
        log.info("relay closes", extra=extra)
        self._start(attempt.subscription.leave())

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _tick(self) -> None:
        now = self._clock()
        for stream, relay in list(self._relays.items()):
            if relay.deadline is not None and relay.deadline <= now:
                self._do(stream, relay.tick(now))
        self._rearm()

    def _rearm(self) -> None:
        deadlines = (relay.deadline for relay in self._relays.values())
        self._alarm.set(min((time for time in deadlines if time is not None), default=None))
