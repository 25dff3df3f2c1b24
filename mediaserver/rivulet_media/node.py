"""`rivulet-media node`: a media node, from its start to its exit. Wires the parts; decides nothing about media."""

import argparse
import asyncio
import logging
import secrets
import signal
import sys
import time
from collections.abc import Mapping, Sequence

import aiohttp
from aiohttp import web

from rivulet_media import cpus, logs, settings
from rivulet_media._engine import Engine, EngineError
from rivulet_media.admission import Admission
from rivulet_media.closing import Closing
from rivulet_media.engine_events import EngineEvents, Opened
from rivulet_media.errors import SettingsError
from rivulet_media.identity import Process, client_candidates, unheard
from rivulet_media.link import DirectorLinks, Orders
from rivulet_media.link_pull import LinkPull
from rivulet_media.links import Links
from rivulet_media.links_in import LinksIn
from rivulet_media.links_out import LinksOut
from rivulet_media.listening import listeners
from rivulet_media.load import Load
from rivulet_media.metrics import NodeCollector, renderer
from rivulet_media.node_table import NodeTable
from rivulet_media.publishing import Publishing
from rivulet_media.pulling import Pulling
from rivulet_media.relaying import Relaying
from rivulet_media.sessions import Session, Sessions
from rivulet_media.settings import MOST_THREADS, NodeSettings
from rivulet_media.signalling.app import build
from rivulet_media.signalling.desk import Desk
from rivulet_media.viewer_events import ViewerEvents
from rivulet_media.whep_pull import WhepPull
from rivulet_media.wire import BEAT_SECONDS, Address, EndStream, StreamPolicy, Welcome

__all__ = ["Node", "add_arguments", "run"]

log = logging.getLogger(__name__)

TICK_SECONDS = 0.5
SHUTDOWN_SECONDS = 1.0
# A connection on which no request comes, or none comes to its end, is closed (S5).
IDLE_SECONDS = 30.0
# Publishers and relays beside the viewers.
OTHER_SESSIONS = 1000

add_arguments = settings.add_arguments


def run(args: argparse.Namespace) -> int:
    """Run a node until SIGTERM has drained it; returns the exit status."""
    try:
        node_settings = settings.read(args)
        logs.setup(node_settings.log_level)
        asyncio.run(_run(node_settings))
    except SettingsError as error:
        print(f"rivulet-media node: {error}", file=sys.stderr)  # noqa: T201 - said to whoever has typed the command
        return 2
    return 0


async def _run(node_settings: NodeSettings) -> None:
    http = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
    async with http:
        await Node(node_settings, http).run()


class Node:
    """All parts of one media node, on the running loop."""

    def __init__(self, node_settings: NodeSettings, http: aiohttp.ClientSession) -> None:
        self._loop = asyncio.get_running_loop()
        self._settings = node_settings
        self._http = http
        self._engine = _bind_engine(node_settings)
        self._deadline_kept = False
        self._congestion_said = False
        self._exit = asyncio.Event()
        self._make_parts()

    def _make_parts(self) -> None:
        clock = self._loop.time
        engine = self._engine
        self.sessions = Sessions()
        self.table = NodeTable(clock)
        self.admission = Admission(self.sessions, self.table, self._settings.capacity_viewers)
        self.closing = Closing(engine, self.sessions, clock)
        self.events = ViewerEvents(self.sessions, self.table)
        self.publishing = Publishing(engine, self.sessions, self.table, self.closing, clock)
        pull = WhepPull(self._http, engine, self.table, self._settings.join_token, self._linked_urls)
        keep = self._settings.link_seconds
        links_in = LinksIn(keep, split_bps=self._settings.link_mbps * 1e6)
        self.links = Links(LinkPull(pull, links_in, clock), LinksOut(taken=keep > 0))
        upstream = self.links.inward if keep else pull
        self.pulling = Pulling(self._http, engine, self.publishing, self.closing, self.sessions, self.table)
        self.pulling.may_begin = lambda: self.admission.state in ("up", "full")
        self.relaying = Relaying(engine, self.sessions, self.table, self.closing, upstream)
        self._engine_events = EngineEvents(
            engine,
            self.sessions,
            self.closing,
            self.publishing,
            self.events,
            Opened(self.relaying, self.links, self.pulling),
        )
        self._load = Load(self.sessions, self.relaying, self.pulling, clock())
        self._links: DirectorLinks | None = None
        self.sessions.listen(self._session_ended)

    async def run(self) -> None:
        """Serve until told to end and empty, or until the drain's deadline."""
        app = build(self._desk())
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS, keepalive_timeout=IDLE_SECONDS)
        await runner.setup()
        try:
            port = await _listen(runner, self._settings)
            self._engine_events.start()
            self._listen_to_signals()
            await self._serve(port)
        finally:
            self._engine_events.stop()
            await runner.cleanup()
            await asyncio.to_thread(self._engine.shutdown, int(SHUTDOWN_SECONDS * 1000))

    async def _serve(self, port: int) -> None:
        process = Process(
            settings=self._settings,
            incarnation=secrets.token_hex(6),
            http_port=port,
            media_port=self._engine.port,
            pod_ip=self._settings.pod_ip,
            since=time.time(),
        )
        self._links = DirectorLinks(self._http, process, self.table, self._orders())
        log.info("node %s: signalling %d, media %d", process.incarnation, port, self._engine.port)
        work = [asyncio.create_task(item) for item in (self._links.run(), self._beat(), self._tick())]
        ended = asyncio.create_task(self._exit.wait())
        try:
            await asyncio.wait([ended, *work], return_when=asyncio.FIRST_COMPLETED)
            await self._leave(self._links)
        finally:
            for task in (ended, *work):
                task.cancel()
            await asyncio.wait([ended, *work], timeout=SHUTDOWN_SECONDS)
        for task in work:
            if not task.cancelled() and task.done():
                task.result()  # a part that ended by itself has a defect: say so

    async def _leave(self, links: DirectorLinks) -> None:
        """A clean exit: the table first, so that nobody is sent here; then the peers."""
        await links.goodbye()
        self.closing.close_all("drained", "publisher", "viewer", "relay_out")
        await asyncio.gather(self.relaying.leave_all(), self.pulling.leave_all())
        log.info("node ends")

    # What directors ask

    def _orders(self) -> Orders:
        return Orders(
            welcome=self._welcomed,
            address=self._readdressed,
            drain=self._drain_ordered,
            end_stream=self._end_stream,
            policies=self._use_policies,
            pulls=self.pulling.use,
        )

    def _welcomed(self, welcome: Welcome) -> None:
        logs.bind(node=self.table.ref, region=welcome.region)
        self._readdressed(welcome.reach)
        self._restate()

    def _readdressed(self, reach: Address) -> None:
        self.table.restate(address=reach.address, also=reach.also)
        if self.table.entry is not None:
            if wrong := unheard(self.table.entry.addresses, self._settings.bind):
                log.error(wrong)
            self._engine.set_candidates(client_candidates(self.table.entry, pod_candidate=reach.pod_candidate))

    def _drain_ordered(self, deadline: float | None) -> None:
        log.info("drain ordered" if deadline is not None else "drain taken back")
        self.admission.drain = self.admission.drain.order(deadline)
        self._deadline_kept = False
        self._restate()

    def _end_stream(self, order: EndStream) -> None:
        self.publishing.end(order.stream, order.incarnation, order.reason)

    def _use_policies(self, policies: Mapping[str, StreamPolicy]) -> None:
        self.publishing.use(policies)
        self.relaying.use(policies)

    # Time

    async def _beat(self) -> None:
        while True:
            self._report()
            await asyncio.sleep(BEAT_SECONDS)

    def _report(self) -> bool:
        """Send the counts. An engine that does not answer is no longer alive, and the kubelet acts on that."""
        try:
            stats = self._engine.stats()
        except EngineError as error:
            log.error("the engine does not answer: %s", error)  # noqa: TRY400 - its message says it all
            return False
        self._mind_congestion(stats["tcp_congestion_refused"])
        counts = self._load.counts(stats, self._loop.time())
        self.links.inward.read(stats)
        if self._links is not None:
            self._links.beat(counts)
        for stream in stats["streams"]:
            if stream["gop_ms"]:
                self.publishing.gop_is(stream["stream"], stream["gop_ms"])
        return True

    def _mind_congestion(self, refused: int) -> None:
        """Said once; the metric goes on counting."""
        if refused and not self._congestion_said:
            self._congestion_said = True
            log.warning(
                "relays over TCP go without bbr, which this kernel lacks or forbids (tcp_bbr): losses slow them"
            )

    async def _tick(self) -> None:
        while True:
            self.table.expire()
            self._restate()
            self._ask_to_move()
            self._mind_drain()
            await asyncio.sleep(TICK_SECONDS)

    def _ask_to_move(self) -> None:
        drain = self.admission.drain
        if drain.draining:
            self.events.ask_to_move(drain.asked_now(self.events.unasked, time.time(), TICK_SECONDS))
        else:
            self.events.take_back()

    def _restate(self) -> None:
        """Whoever hears `draining` has counts from after the last one was let in: they go first."""
        state, entry = self.admission.state, self.table.entry
        closes = state == "draining" and entry is not None and entry.state != state
        if closes and not self._report():
            return
        self.table.restate(state=state)

    # The end

    def _listen_to_signals(self) -> None:
        seconds = self._settings.drain_seconds
        self._loop.add_signal_handler(signal.SIGTERM, self._terminate, seconds)
        self._loop.add_signal_handler(signal.SIGINT, self._terminate, 0.0)

    def _terminate(self, seconds: float) -> None:
        log.info("asked to end: draining for at most %g s", seconds)
        self.admission.drain = self.admission.drain.terminate(time.time(), seconds)
        self._restate()
        self._mind_drain()

    def _session_ended(self, _: Session, __: str) -> None:
        """Whether that was the last one is looked at when all who listen have heard of it."""
        if self.admission.drain.draining:
            self._loop.call_soon(self._mind_drain)

    def _mind_drain(self) -> None:
        drain, now = self.admission.drain, time.time()
        if drain.sessions_must_go(now) and not self._deadline_kept:
            self._deadline_kept = True
            self.closing.close_all("drained", "publisher", "viewer", "relay_out")
        if drain.may_exit(now, empty=self.admission.empty):
            self._exit.set()

    # What handlers and metrics read

    def _linked_urls(self) -> tuple[str, ...]:
        states = () if self._links is None else self._links.states
        return tuple(director.url for director in states if director.state == "linked")

    def _desk(self) -> Desk:
        collector = NodeCollector(
            self._engine.stats,
            self.sessions,
            self.relaying,
            self.events,
            self.links,
            lambda: self.admission.state,
            lambda: len(self._linked_urls()),
        )
        return Desk(
            engine=self._engine,
            join_token=self._settings.join_token,
            table=self.table,
            admission=self.admission,
            sessions=self.sessions,
            closing=self.closing,
            events=self.events,
            publishing=self.publishing,
            relaying=self.relaying,
            links=self.links.outward,
            directors=lambda: () if self._links is None else self._links.states,
            alive=lambda: self._load.alive(self._loop.time()),
            metrics=renderer(collector),
            clock=self._loop.time,
        )


def _bind_engine(node_settings: NodeSettings) -> Engine:
    try:
        engine = Engine(
            node_settings.bind,
            node_settings.media_port,
            gather_ms=node_settings.gather_ms,
            egress_mbps=node_settings.egress_mbps,
            publisher_mbps=node_settings.publisher_mbps,
            threads=node_settings.media_threads or min(cpus.count(), MOST_THREADS),
            tcp=node_settings.media_tcp,
            max_sessions=node_settings.capacity_viewers + OTHER_SESSIONS,
        )
    except OSError as error:
        raise SettingsError(f"cannot bind media port {node_settings.media_port}: {error}") from error
    mind_buffers(engine.short_buffers())
    return engine


def mind_buffers(short: Sequence[tuple[str, int, int]]) -> None:
    """Say which socket buffers the kernel has cut: (sysctl, bytes wanted, bytes got)."""
    if short:
        cuts = ", ".join(f"{got} bytes where {wanted} are wanted ({sysctl})" for sysctl, wanted, got in short)
        raised = " ".join(f"{sysctl}={wanted}" for sysctl, wanted, _ in short)
        log.warning("small socket buffers: %s; bursts may be lost. On the host: sysctl -w %s", cuts, raised)


async def _listen(runner: web.AppRunner, node_settings: NodeSettings) -> int:
    try:
        sockets = listeners(node_settings.bind, node_settings.http_port)
    except OSError as error:
        raise SettingsError(f"cannot bind signalling port {node_settings.http_port}/TCP: {error}") from error
    for each in sockets:
        await web.SockSite(runner, each).start()
    return int(sockets[0].getsockname()[1])
