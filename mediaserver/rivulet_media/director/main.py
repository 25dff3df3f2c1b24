"""`rivulet-media director`: puts the parts together and runs both listeners until it is told to stop."""

import argparse
import asyncio
import logging
import secrets
import signal
import sys
from collections.abc import Sequence

from aiohttp import ClientSession, TCPConnector, web

from rivulet_media import logs
from rivulet_media.director.directory import Directory
from rivulet_media.director.event_streams import EventStreams
from rivulet_media.director.front_door import FrontDoor
from rivulet_media.director.internal import Internal
from rivulet_media.director.last_copy import LastCopy
from rivulet_media.director.membership import Membership
from rivulet_media.director.mesh import Mesh
from rivulet_media.director.metrics import DirectorMetrics
from rivulet_media.director.node_links import Desk, NodeLinks
from rivulet_media.director.operator_link import Facts, Intent, OperatorLinks
from rivulet_media.director.passing import Passing
from rivulet_media.director.resource_file import follow
from rivulet_media.director.resource_watch import ResourceWatch
from rivulet_media.director.resources import Document, Parsed, parse_documents
from rivulet_media.director.settings import Settings, add_arguments, from_arguments
from rivulet_media.director.settling import Settling
from rivulet_media.director.siblings import Siblings
from rivulet_media.director.signalling import Keys, Signalling
from rivulet_media.director.undeclared import Undeclared
from rivulet_media.errors import SettingsError
from rivulet_media.listening import listeners
from rivulet_media.wire import BEAT_SECONDS
from rivulet_media.wire_operator import DrainOrder, ExpectedSlot

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
# A look that comes so much too late says that this process itself stood still: a host that paused, a busy machine.
STOOD_STILL_SECONDS = 1.0
SHUTDOWN_SECONDS = 2.0
# A connection on which no request comes, or none comes to its end, is closed (S5).
IDLE_SECONDS = 30.0

__all__ = ["add_arguments", "run"]


class Director:
    """One director: its parts, its two listeners and its clockwork."""

    def __init__(self, settings: Settings, http: ClientSession) -> None:
        self._settings = settings
        self._http = http
        self._me = secrets.token_hex(6)
        self.directory = Directory(settings.region, asyncio.get_running_loop().time)
        self._membership = Membership()
        self._settling = Settling(self.directory.now)
        self._last_copy = LastCopy(settings.state_dir)
        self._undeclared = Undeclared(self.directory)
        self._siblings = Siblings(settings, self.directory, self._membership, self._me)
        self._mesh = Mesh(settings, self.directory, self._me)
        desk = Desk(
            directors=lambda: self._siblings.urls,
            whole_regions=self._mesh.whole_regions,
            policy_elsewhere=self._mesh.policy,
        )
        self._nodes = NodeLinks(settings, self.directory, self._membership, self._settling, desk)
        intent = Intent(drain=self._drain, expect=self._expect)
        self._operators = OperatorLinks(self.directory, self._me, self._facts, intent)
        passing = Passing(http, settings.region, settings.join_token)
        keys = Keys(settings.join_token, settings.turn_secret)
        self._event_streams = EventStreams(http)
        self._signalling = Signalling(self.directory, self._mesh, passing, self._undeclared, keys)

    def public(self) -> web.Application:
        """The front door."""
        return FrontDoor(self.directory, self._signalling, self._event_streams).application()

    def internal(self) -> web.Application:
        """The listener for nodes, directors and the operator."""
        metrics = DirectorMetrics(self.directory, self._link_counts)
        return Internal(
            settings=self._settings,
            directory=self.directory,
            nodes=self._nodes,
            siblings=self._siblings,
            mesh=self._mesh,
            operators=self._operators,
            signalling=self._signalling,
            event_streams=self._event_streams,
            metrics=metrics,
            me=self._me,
        ).application()

    async def run(self) -> None:
        """Everything that happens by itself; ends only by being cancelled."""
        self._use(parse_documents(self._last_copy.read(), fresh=False))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_resources())
            tasks.create_task(self._siblings.run(self._http))
            tasks.create_task(self._mesh.run(self._http))
            tasks.create_task(self._look())
            tasks.create_task(self._beat())

    async def _follow_resources(self) -> None:
        if self._settings.file is not None:
            await follow(self._settings.file, self._use)
        else:
            await ResourceWatch(self._settings.namespace, self._settings.region, self._use_and_keep).run()

    def _use_and_keep(self, documents: Sequence[Document]) -> None:
        self._last_copy.write(documents)
        self._use(parse_documents(documents, fresh=True))

    def _use(self, parsed: Parsed) -> None:
        for problem in parsed.problems:
            log.warning("left out of the resources: %s", problem)
        self.directory.use(parsed.resources)

    async def _look(self) -> None:
        """Twice a second: who is lost, what time takes away, what somebody was not told."""
        due = self.directory.now
        while True:
            late = self.directory.now - due
            if late > STOOD_STILL_SECONDS:
                log.warning("this director stood still", extra={"seconds": round(late, 1)})
                self._membership.stood_still(late, self.directory.now)
            self._settle()
            self.directory.expire()
            self._find_lost()
            self._nodes.refresh()
            self._operators.refresh()
            due = self.directory.now + LOOK_SECONDS
            await asyncio.sleep(LOOK_SECONDS)

    async def _beat(self) -> None:
        while True:
            for part in (self._nodes, self._siblings, self._mesh, self._operators):
                part.beat()
            await asyncio.sleep(BEAT_SECONDS * 0.75)

    def _settle(self) -> None:
        if not self.directory.settled and self._settling.settled(self.directory.now):
            self.directory.settled = True
            log.info("settled", extra={"nodes": len(self.directory.table.nodes)})

    def _find_lost(self) -> None:
        """Absence is spoken only after settling."""
        living = [entry.ref for entry in self.directory.own_nodes() if entry.state != "down"]
        lost = self._membership.lost(living, self.directory.now)
        if self.directory.settled and lost:
            log.warning("nodes are down", extra={"nodes": lost})
            self.directory.down(lost)

    def _drain(self, slots: dict[str, DrainOrder]) -> None:
        self._nodes.desk.drains = slots
        self._nodes.refresh()

    def _expect(self, slots: dict[str, ExpectedSlot]) -> None:
        self._settling.expect(slots)
        deleted = [
            entry.ref
            for entry in self.directory.own_nodes()
            if entry.state == "down" and slots and entry.node not in slots
        ]
        self.directory.remove(deleted)

    def _facts(self) -> Facts:
        return Facts(not self.directory.settled, self._undeclared.streams, self._mesh.peers())

    def _link_counts(self) -> dict[str, int]:
        return {
            "node": self._nodes.linked,
            "sibling": self._siblings.linked,
            "operator": self._operators.linked,
            "viewer": self._event_streams.count,
        }


async def serve(settings: Settings) -> None:
    """Run a director until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with ClientSession(connector=TCPConnector(limit=0)) as http:
        director = Director(settings, http)
        runners = [
            await _listen(director.internal(), settings.bind, settings.internal_port),
            await _listen(director.public(), settings.bind, settings.public_port),
        ]
        log.info("director started", extra={"region": settings.region, "url": settings.url})
        work = asyncio.create_task(director.run())
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([work, stopped], return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
        finally:
            for task in (work, stopped):
                task.cancel()
            await asyncio.wait([work, stopped])
            for runner in runners:
                await runner.cleanup()


async def _listen(app: web.Application, host: str, port: int) -> web.AppRunner:
    runner = web.AppRunner(
        app,
        access_log=None,
        shutdown_timeout=SHUTDOWN_SECONDS,
        handler_cancellation=True,
        keepalive_timeout=IDLE_SECONDS,
    )
    await runner.setup()
    for each in listeners(host, port):
        await web.SockSite(runner, each).start()
    return runner


def run(args: argparse.Namespace) -> int:
    """Exit status 2 for wrong settings, 1 when a port is taken."""
    try:
        settings = from_arguments(args)
    except SettingsError as error:
        sys.stderr.write(f"rivulet-media director: {error}\n")
        return 2
    logs.setup(settings.log_level)
    logs.bind(region=settings.region)
    try:
        asyncio.run(serve(settings))
    except OSError as error:
        log.error("cannot listen: %s", error)  # noqa: TRY400 - a taken port needs no traceback
        return 1
    return 0
