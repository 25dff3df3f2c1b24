"""Streams that this node pulls from foreign servers, carried out: directors' orders in, publications out.

One `Pulled` decides per stream; this is the only place that acts on its word. What comes is a publication like a
publisher's.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass

import aiohttp

from rivulet_media._engine import Engine, EngineError
from rivulet_media.alarm import Alarm
from rivulet_media.closing import Closing
from rivulet_media.errors import NotYetError, RefusedError
from rivulet_media.node_table import NodeTable
from rivulet_media.publications import Publisher
from rivulet_media.publishing import Publishing, engine_codecs
from rivulet_media.pulled import Pulled
from rivulet_media.sessions import Session, Sessions
from rivulet_media.whep_source import SourceError, SourceSession, WhepSource, host_of, shown
from rivulet_media.wire import PullOrder, PullState

log = logging.getLogger(__name__)

LEAVE_SECONDS = 4.0
# Requests to servers that do not answer must not keep relays from their own.
MOST_ASKED = 16


@dataclass(frozen=True)
class _Standing:
    """A session that a server has agreed to."""

    stream: str
    number: int
    source: WhepSource
    there: SourceSession


class Pulling:
    """All streams that this node pulls from foreign servers. `may_begin`: whether the node takes something new."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        engine: Engine,
        publishing: Publishing,
        closing: Closing,
        sessions: Sessions,
        table: NodeTable,
    ) -> None:
        self.may_begin: Callable[[], bool] = lambda: True
        self._http = http
        self._engine = engine
        self._publishing = publishing
        self._closing = closing
        self._table = table
        self._clock: Callable[[], float] = asyncio.get_running_loop().time
        self._pulled: dict[str, Pulled] = {}
        self._last: dict[str, Session] = {}
        self._standing: dict[str, _Standing] = {}
        self._asking = asyncio.Semaphore(MOST_ASKED)
        self._tasks: set[asyncio.Task[None]] = set()
        self._alarm = Alarm(self._tick)
        sessions.listen(self._session_ended)
        table.listen(lambda _: self._look_again())

    @property
    def states(self) -> Mapping[str, PullState]:
        """What is pulled, and what is wrong with it, for counts."""
        return {stream: PullState(error=pulled.error) for stream, pulled in sorted(self._pulled.items())}

    def use(self, orders: Mapping[str, PullOrder]) -> None:
        """These, and no others, are to be pulled."""
        for stream in self._pulled.keys() - orders.keys():
            self._end(stream)
        now = self._clock()
        for stream, order in orders.items():
            known = self._pulled.get(stream)
            if known is None:
                self._pulled[stream] = Pulled(order, now)
                self._say_problem(stream, order)
            elif known.use(order, now):
                self._part(stream)
                self._say_problem(stream, order)
        self._tick()

    async def leave_all(self) -> None:
        """The process ends: tell every server, in a bounded time."""
        self._pulled.clear()
        self._alarm.set(None)
        for session in list(self._standing):
            self._closing.close(session, "shutdown")
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LEAVE_SECONDS)

    # The engine's events

    def active(self, session: str) -> None:
        """Packets flow."""
        pulled = self._pulled_by(session)
        if pulled is not None:
            pulled.flows(self._clock())
            self._rearm()

    def silent(self, session: str) -> None:
        """No packet for 3 s: the server may be gone, or have forgotten us. Ask again."""
        if session in self._standing:
            self._broken(session, "sends nothing any more")

    # Inside

    def _tick(self) -> None:
        now = self._clock()
        for stream, pulled in list(self._pulled.items()):
            if pulled.is_late(now):
                for session in self._sessions_of(stream):
                    self._broken(session, "has agreed, and sends nothing")
            elif pulled.is_due(now):
                self._begin(stream, pulled, now)
        self._rearm()

    def _begin(self, stream: str, pulled: Pulled, now: float) -> None:
        elsewhere = self._elsewhere(stream)
        if elsewhere is not None:
            pulled.wait(f"{stream} is live at {elsewhere}", now)
        elif not self.may_begin():
            pulled.wait("this node takes nothing new", now)
        else:
            self._start(self._attempt(stream, pulled.begin(), pulled.order))

    def _elsewhere(self, stream: str) -> str | None:
        """The other origin that has it and goes on: directors do not agree yet, or another region has the name."""
        entry = self._table.table.stream(stream)
        if entry is None or entry.state != "live" or entry.origin == self._table.ref:
            return None
        node = self._table.table.node(entry.origin)
        return node.node if node is not None and node.state in ("up", "full") else None

    async def _attempt(self, stream: str, number: int, order: PullOrder) -> None:
        source = WhepSource(self._http, order.url, order.token)
        try:
            async with self._asking:
                await self._ask(stream, number, order, source)
        except SourceError as error:
            self._failed(stream, number, str(error), error.retry_after)
        except ValueError as error:
            self._failed(stream, number, f"the URL of its source cannot be used: {error}")
        except EngineError as error:
            self._failed(stream, number, f"{shown(order.url)} answers what is of no use: {error}")
        except RefusedError as error:
            self._failed(stream, number, str(error), error.retry_after if isinstance(error, NotYetError) else None)

    async def _ask(self, stream: str, number: int, order: PullOrder, source: WhepSource) -> None:
        """SourceError, EngineError, RefusedError."""
        subject = f"pull:{host_of(order.url)}"
        self._publishing.check_free(stream, subject)
        incarnation = secrets.token_hex(6)
        session, offer = self._engine.ingest(stream, incarnation, engine_codecs(order.policy))
        with contextlib.ExitStack() as undo:
            undo.callback(self._forget, session)
            there = await source.ask(offer)
            undo.callback(lambda: self._start(source.leave(there)))
            self._check_wanted(stream, number)
            self._publishing.check_free(stream, subject)
            self._engine.pull_answer(session, there.answer)
            undo.pop_all()
        self._standing[session] = _Standing(stream, number, source, there)
        publisher = Publisher(session, incarnation, subject, time.time())
        self._last[stream] = self._publishing.give(stream, publisher, order.policy)
        self._pulled[stream].answered(self._clock())
        log.info("pulled", extra={"stream": stream, "session": session, "url": shown(order.url)})
        self._rearm()

    def _check_wanted(self, stream: str, number: int) -> None:
        if not self._is_current(stream, number):
            raise SourceError("no longer wanted")

    def _forget(self, session: str) -> None:
        """A session of the engine that nobody else has heard of."""
        try:
            self._engine.close(session)
        except EngineError as error:
            log.debug("nothing to close: %s", error)

    def _broken(self, session: str, how: str) -> None:
        standing = self._standing[session]
        self._failed(standing.stream, standing.number, f"{shown(standing.source.url)} {how}")
        self._closing.close(session, "publisher-lost")

    def _session_ended(self, session: Session, reason: str) -> None:
        standing = self._standing.pop(session.id, None)
        if standing is None:
            return
        self._start(standing.source.leave(standing.there))
        self._failed(standing.stream, standing.number, f"the session with {shown(standing.source.url)} ended: {reason}")

    def _failed(self, stream: str, number: int, error: str, retry_after: float | None = None) -> None:
        if not self._is_current(stream, number):
            return
        pulled = self._pulled[stream]
        if error != pulled.error:
            log.warning("not pulled: %s", error, extra={"stream": stream})
        pulled.failed(error, self._clock(), retry_after)
        self._rearm()

    def _say_problem(self, stream: str, order: PullOrder) -> None:
        if order.problem is not None:
            log.warning("not pulled: %s", order.problem, extra={"stream": stream})

    def _end(self, stream: str) -> None:
        """It is not to be pulled here any more."""
        del self._pulled[stream]
        last = self._last.pop(stream, None)
        if last is not None:
            self._publishing.deleted(last)
        self._part(stream)

    def _part(self, stream: str) -> None:
        for session in self._sessions_of(stream):
            self._closing.close(session, "superseded")

    def _sessions_of(self, stream: str) -> list[str]:
        return [session for session, standing in self._standing.items() if standing.stream == stream]

    def _pulled_by(self, session: str) -> Pulled | None:
        standing = self._standing.get(session)
        if standing is None or not self._is_current(standing.stream, standing.number):
            return None
        return self._pulled[standing.stream]

    def _is_current(self, stream: str, number: int) -> bool:
        pulled = self._pulled.get(stream)
        return pulled is not None and pulled.attempt is not None and pulled.attempt.number == number

    def _look_again(self) -> None:
        """The table has changed: another origin may have left a stream to us."""
        now = self._clock()
        for stream, pulled in self._pulled.items():
            if self._elsewhere(stream) is None:
                pulled.again(now)
        self._rearm()

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _rearm(self) -> None:
        deadlines = (pulled.deadline for pulled in self._pulled.values())
        self._alarm.set(min((when for when in deadlines if when is not None), default=None))
