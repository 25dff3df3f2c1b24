"""The other directors of this region (docs/contract.md §7.3): each dials every other and tells what it hears."""

import asyncio
import logging
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientSession

from rivulet_media.director.directory import Directory, Source, as_entries
from rivulet_media.director.membership import Membership
from rivulet_media.director.settings import DNS_SCHEME, Settings
from rivulet_media.frame_link import Link, LinkClosedError, Socket, client_timeout, keep_dialling
from rivulet_media.table import Delta
from rivulet_media.wire import (
    FROM_SIBLING,
    MAX_FRAME,
    Entries,
    Seen,
    SiblingHello,
    render,
)

log = logging.getLogger(__name__)

RESOLVE_SECONDS = 2.0
DIAL_SECONDS = 5.0


class Siblings:
    """Links with all other directors of the region, dialled and accepted."""

    def __init__(self, settings: Settings, directory: Directory, membership: Membership, me: str) -> None:
        self._settings = settings
        self._directory = directory
        self._membership = membership
        self._me = me
        self._links: dict[Link, str] = {}
        self._dialling: dict[str, asyncio.Task[None]] = {}
        self._own_urls = {settings.url}
        self._urls: frozenset[str] = frozenset()
        directory.listen(self._tell)

    @property
    def urls(self) -> tuple[str, ...]:
        """All directors of the region, this one first."""
        return (self._settings.url, *sorted(self._urls - self._own_urls))

    @property
    def linked(self) -> int:
        """How many siblings answer."""
        return len(set(self._links.values()))

    async def run(self, http: ClientSession) -> None:
        """Find the siblings and keep a link to each."""
        try:
            while True:
                self._urls = await self._find()
                self._dial(self._urls - self._own_urls, http)
                await asyncio.sleep(RESOLVE_SECONDS)
        finally:
            for task in self._dialling.values():
                task.cancel()

    async def serve(self, web_socket: Socket, peer: str) -> None:
        """A link in either direction, from hello to end."""
        async with Link(web_socket, FROM_SIBLING, peer=peer) as link:
            try:
                await self._talk(link)
            except LinkClosedError as closed:
                log.info("sibling link ended: %s", closed, extra={"peer": link.peer})
            finally:
                self._release(link)

    def beat(self) -> None:
        """Every 2 s: who was heard when."""
        self._send(render(Seen(nodes=self._membership.ages(self._directory.now))))

    async def _talk(self, link: Link) -> None:
        link.send(SiblingHello(director=self._me))
        hello = await link.receive()
        if not isinstance(hello, SiblingHello):
            await link.refuse("the first frame must be hello")
        if hello.director == self._me:
            self._own_urls.add(link.peer)
            raise LinkClosedError("this is me")
        self._links[link] = hello.director
        table = self._directory.table
        link.send(Entries(nodes=table.nodes, streams=table.heard_streams, gone=table.gone))
        link.send(Seen(nodes=self._membership.ages(self._directory.now)))
        log.info("sibling linked", extra={"peer": link.peer, "director": hello.director})
        async for frame in link.frames():
            match frame:
                case Seen():
                    self._membership.reported(hello.director, frame.nodes, self._directory.now)
                case Entries():
                    self._hear(frame)
                case _:
                    await link.refuse(f"{frame.TYPE} out of order")

    def _hear(self, entries: Entries) -> None:
        self._directory.hear(Source.SIBLING, nodes=entries.nodes, streams=entries.streams, gone=entries.gone)

    def _release(self, link: Link) -> None:
        director = self._links.pop(link, None)
        if director is not None and director not in self._links.values():
            self._membership.silent(director)

    def _tell(self, delta: Delta, source: Source) -> None:
        if source is not Source.SIBLING:
            self._send(render(as_entries(delta)))

    def _send(self, text: str) -> None:
        """On every link, also where two have dialled each other: hearing twice is harmless."""
        for link in self._links:
            link.send_text(text)

    def _dial(self, urls: Iterable[str], http: ClientSession) -> None:
        wanted = set(urls)
        for url in [url for url in self._dialling if url not in wanted]:
            self._dialling.pop(url).cancel()
        for url in wanted - self._dialling.keys():
            self._dialling[url] = asyncio.create_task(self._keep_link(url, http), name=f"dial {url}")

    async def _keep_link(self, url: str, http: ClientSession) -> None:
        async def attempt() -> None:
            await self._attempt(url, http)

        await keep_dialling(attempt)

    async def _attempt(self, url: str, http: ClientSession) -> None:
        headers = {"Authorization": f"Bearer {self._settings.join_token}"}
        target = f"{url}/v1/sibling"
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                web_socket = await http.ws_connect(
                    target, headers=headers, timeout=client_timeout(), max_msg_size=2 * MAX_FRAME
                )
        except (ClientError, OSError, TimeoutError) as error:
            log.debug("sibling not reached: %s", error, extra={"peer": url})
            return
        await self.serve(web_socket, url)

    async def _find(self) -> frozenset[str]:
        """URLs of all directors; a name that cannot be resolved now leaves things as they are."""
        urls: set[str] = set()
        for sibling in self._settings.siblings:
            urls |= await _resolve(sibling) if sibling.startswith(DNS_SCHEME) else {sibling.rstrip("/")}
        return frozenset(urls) or self._urls


async def _resolve(sibling: str) -> set[str]:
    parts = urlsplit(sibling)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            found = await loop.getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError):
        return set()
    hosts = {str(address[0]) for *_, address in found}
    return {f"http://[{host}]:{parts.port}" if ":" in host else f"http://{host}:{parts.port}" for host in hosts}
