"""This node's links to the directors of its region (docs/contract.md §7.1, §7.2).

One join through the entry point, then one WebSocket to every director that anybody who is linked names. A lost link
takes nothing away: the table, the streams and the relays stay as they are.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import aiohttp

from rivulet_media.frame_link import Link, LinkClosedError, client_timeout, keep_dialling
from rivulet_media.identity import Process
from rivulet_media.node_table import NodeTable
from rivulet_media.table import Delta, Publication
from rivulet_media.wire import (
    MAX_FRAME,
    TO_NODE,
    Address,
    Counts,
    Directors,
    DirectorState,
    Drain,
    EndStream,
    Entries,
    Frame,
    Goodbye,
    Policies,
    PullOrder,
    Pulls,
    Settled,
    StreamPolicy,
    Welcome,
    parse_body,
    publications,
    render,
    render_body,
)
from rivulet_media.wire_codec import WireError

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
GOODBYE_SECONDS = 1.0
JOIN_TIMEOUT = aiohttp.ClientTimeout(total=5.0, connect=2.0)
ENTRY = "entry"

_LOST = (aiohttp.ClientError, OSError, TimeoutError, LinkClosedError)


@dataclass(frozen=True)
class Orders:
    """What a director may ask of this node; called on the event loop, must not wait."""

    welcome: Callable[[Welcome], None]
    address: Callable[[Address], None]
    drain: Callable[[float | None], None]
    end_stream: Callable[[EndStream], None]
    policies: Callable[[Mapping[str, StreamPolicy]], None]
    pulls: Callable[[Mapping[str, PullOrder]], None]


@dataclass
class _Heard:
    """What one link has named so far; only that may be missing in it later."""

    refs: set[str] = field(default_factory=set)
    publications: set[Publication] = field(default_factory=set)


class DirectorLinks:
    """Joins, keeps the links, tells this node's own word and hears the directors'."""

    def __init__(self, http: aiohttp.ClientSession, process: Process, table: NodeTable, orders: Orders) -> None:
        self._http = http
        self._process = process
        self._table = table
        self._orders = orders
        self._links: dict[str, Link] = {}
        self._dialling: dict[str, asyncio.Task[None]] = {}
        self._named: dict[str, tuple[str, ...]] = {}
        self._greeted: set[str] = set()
        self._pulls: dict[str, Mapping[str, PullOrder]] = {}
        self._leaving = False
        self._alone = asyncio.Event()
        self._alone.set()
        table.listen_to_own_word(self._tell)

    @property
    def states(self) -> tuple[DirectorState, ...]:
        """Every director that this node dials."""
        return tuple(
            DirectorState(url=url, state="linked" if url in self._links else "lost") for url in sorted(self._dialling)
        )

    async def run(self) -> None:
        """Join, and join again whenever no director is linked: the entry point knows who replaced them."""
        try:
            await keep_dialling(self._join_while_alone)
        finally:
            await self._stop_dialling()

    def beat(self, counts: Counts) -> None:
        """Every 2 s: still here, with so much to do."""
        self._send(counts)

    async def goodbye(self) -> None:
        """A clean exit: every linked director forgets this node at once."""
        self._leaving = True
        self._send(Goodbye())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._alone.wait()

    # Joining

    async def _join_while_alone(self) -> None:
        await self._alone.wait()
        if not self._leaving:
            await self._join()

    async def _join(self) -> None:
        hello = render_body(self._process.hello(self._table.entry))
        url = f"{self._process.settings.entry}/v1/join"
        try:
            async with self._http.post(url, data=hello, headers=self._headers(), timeout=JOIN_TIMEOUT) as answer:
                body = await answer.read()
                if answer.status != 200:  # noqa: PLR2004
                    log.error("join refused (%d): %s", answer.status, body[:300].decode(errors="replace"))
                    return
                welcome = parse_body(Welcome, body)
        except (*_LOST, WireError) as error:
            log.warning("entry point %s: %s", url, error or type(error).__name__)
            return
        self._welcomed(welcome)
        self._hear_table(welcome, _Heard())
        if not self._links:
            self._named.clear()
            self._names(ENTRY, welcome.directors)

    def _welcomed(self, welcome: Welcome) -> None:
        if self._table.entry is None:
            self._table.enter(self._process.entry(welcome))
            log.info("joined region %s as %s (%s)", welcome.region, welcome.slot, welcome.role)
        self._orders.welcome(welcome)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._process.settings.join_token}", "Content-Type": "application/json"}

    # Dialling

    def _names(self, source: str, urls: tuple[str, ...]) -> None:
        """`source` says that these are all directors: what any of the linked says is dialled."""
        self._named[source] = urls
        if source != ENTRY:
            self._named.pop(ENTRY, None)
        self._dial()

    def _dial(self) -> None:
        wanted = {url for urls in self._named.values() for url in urls}
        for url in wanted - self._dialling.keys():
            self._dialling[url] = asyncio.create_task(keep_dialling(partial(self._attempt, url)), name=f"dial {url}")
        for url in self._dialling.keys() - wanted - self._links.keys():
            self._dialling.pop(url).cancel()

    async def _stop_dialling(self) -> None:
        tasks = list(self._dialling.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=2 * GOODBYE_SECONDS)

    async def _attempt(self, url: str) -> None:
        """One link, from its dialling to its end."""
        if self._leaving:
            return
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                socket = await self._http.ws_connect(
                    f"{url}/v1/link", headers=self._headers(), timeout=client_timeout(), max_msg_size=2 * MAX_FRAME
                )
            async with Link(socket, TO_NODE, peer=url) as link:
                await self._serve(url, link)
        except _LOST as error:
            log.info("link to %s: %s", url, error or type(error).__name__, extra={"peer": url})
        finally:
            self._lost(url)

    def _lost(self, url: str) -> None:
        """A director that is gone names nobody; while nobody is left, its last word stands."""
        self._links.pop(url, None)
        if not self._links:
            self._alone.set()
            return
        self._named.pop(url, None)
        self._dial()
        self._order_pulls()

    async def _serve(self, url: str, link: Link) -> None:
        self._greet(url, link)
        heard = _Heard()
        welcome = await link.receive()
        if not isinstance(welcome, Welcome):
            await link.refuse("the first frame must be welcome")
        log.info("linked to %s", url, extra={"peer": url})
        self._welcomed(welcome)
        self._hear_table(welcome, heard)
        self._names(url, welcome.directors)
        async for frame in link.frames():
            self._take(url, frame, heard)

    def _greet(self, url: str, link: Link) -> None:
        """Hello, then everything that is said from now on: nothing falls between the two."""
        if url in self._greeted:
            self._table.come_back()
        self._greeted.add(url)
        entry = self._table.entry
        if entry is None:
            raise LinkClosedError("not joined yet")
        link.send(self._process.link_hello(entry, self._table.own_streams))
        self._links[url] = link
        self._alone.clear()

    # Telling

    def _tell(self, delta: Delta) -> None:
        if not self._leaving:
            self._send(Entries(nodes=delta.nodes, streams=delta.streams))

    def _send(self, frame: Frame) -> None:
        text = render(frame)
        for link in self._links.values():
            link.send_text(text)

    # Hearing

    def _take(self, url: str, frame: Frame, heard: _Heard) -> None:
        """Whoever has said goodbye hears that it is gone, and must not object."""
        if self._leaving:
            return
        match frame:
            case Entries():
                self._hear(frame, heard)
            case Settled():
                for region in frame.regions:
                    self._table.absent(region, heard.refs, heard.publications)
            case Directors():
                self._names(url, frame.urls)
            case Welcome():
                self._hear_table(frame, heard)
            case Pulls():
                self._pulls.pop(url, None)
                self._pulls[url] = frame.streams
                self._order_pulls()
            case _:
                self._obey(frame)

    def _obey(self, frame: Frame) -> None:
        match frame:
            case Address():
                self._orders.address(frame)
            case Drain():
                self._orders.drain(frame.deadline)
            case EndStream():
                self._orders.end_stream(frame)
            case Policies():
                self._orders.policies(frame.streams)

    def _order_pulls(self) -> None:
        """What any of the linked says, the last word for each stream; while none has spoken, what was said last."""
        spoken = {url: streams for url, streams in self._pulls.items() if url in self._links}
        if spoken:
            self._pulls = spoken
            self._orders.pulls({name: order for streams in spoken.values() for name, order in streams.items()})

    def _hear_table(self, welcome: Welcome, heard: _Heard) -> None:
        self._hear(Entries(nodes=welcome.table.nodes, streams=welcome.table.streams), heard)

    def _hear(self, entries: Entries, heard: _Heard) -> None:
        heard.refs |= {entry.ref for entry in entries.nodes}
        heard.refs -= {item.ref for item in entries.gone}
        heard.publications |= publications(entries.streams)
        self._table.hear(nodes=entries.nodes, streams=entries.streams, gone=entries.gone)
