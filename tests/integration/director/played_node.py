"""A node played by the test, as docs/contract.md §5 and §7.2 say: no media, but real links and real signalling."""

import asyncio
import contextlib
import dataclasses
import itertools
import secrets
import time
from typing import Self

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, web

from rivulet_media.table import NodeEntry, NodeState, Pod, Role, StreamEntry, Table, Track
from rivulet_media.wire import TO_NODE, Counts, Entries, Frame, Goodbye, LinkHello, RelayIn, Welcome, parse, render
from rivulet_scene.bare import START_SECONDS

VIDEO = Track(kind="video", codec="h264", clock_rate=90000, fmtp="profile-level-id=42e01f")


class PlayedNode:
    """One incarnation with links to the directors that it was given; `async with` starts and stops its listener."""

    def __init__(self, slot: str, role: Role, *, region: str = "eu") -> None:
        self.slot = slot
        self.incarnation = secrets.token_hex(6)
        self.region = region
        self.role = role
        self.table = Table()
        self.frames: list[Frame] = []
        self.requests: list[web.Request] = []
        self.status = 201
        self.frozen = False
        self.viewers = 0
        self.relays_in: tuple[RelayIn, ...] = ()
        self.version = 1
        self.state: NodeState = "up"
        self.subjects: dict[str, str] = {}
        self._since = time.time()
        self._linked = asyncio.Event()
        self._streams: dict[str, StreamEntry] = {}
        self._sockets: dict[str, ClientWebSocketResponse] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._sessions = (f"{number:016x}" for number in itertools.count(1))

    @property
    def ref(self) -> str:
        return f"{self.slot}/{self.incarnation}"

    @property
    def entry(self) -> NodeEntry:
        return NodeEntry(
            node=self.slot,
            incarnation=self.incarnation,
            version=self.version,
            role=self.role,
            region=self.region,
            state=self.state,
            address="127.0.0.1",
            media_port=7000,
            http=f"127.0.0.1:{self.port}",
            pod=Pod(ip="127.0.0.1"),
            since=self._since,
        )

    @property
    def hello(self) -> LinkHello:
        return LinkHello(
            slot=self.slot,
            incarnation=self.incarnation,
            role=self.role,
            http_port=self.port,
            media_port=7000,
            kube_node="host",
            version=self.version,
            node=self.entry,
            streams=tuple(self._streams.values()),
        )

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port: int = self._runner.addresses[0][1]
        self._http = ClientSession()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.vanish()
        await self._http.close()
        await self._runner.cleanup()

    async def link(self, *directors: str) -> Self:
        """Keep a link to each of these directors, as a node does, until `vanish` or `goodbye`."""
        self._tasks += [asyncio.create_task(self._keep_link(url)) for url in directors]
        async with asyncio.timeout(START_SECONDS):
            while len(self._sockets) < len(self._tasks):
                self._linked.clear()
                await self._linked.wait()
        return self

    async def vanish(self) -> None:
        """Without a word, as a process that is killed."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def goodbye(self) -> None:
        await self._send(Goodbye())
        await asyncio.sleep(0.1)
        await self.vanish()

    async def change(self, state: NodeState) -> None:
        self.version += 1
        self.state = state
        await self._send(Entries(nodes=(self.entry,)))

    async def publish(self, stream: str) -> StreamEntry:
        entry = StreamEntry(
            stream=stream,
            incarnation=secrets.token_hex(6),
            version=1,
            origin=self.ref,
            region=self.region,
            state="live",
            tracks=(VIDEO,),
            since=time.time(),
        )
        await self.say(entry)
        return entry

    async def end(self, entry: StreamEntry) -> StreamEntry:
        ended = dataclasses.replace(entry, version=entry.version + 1, state="ended", reason="deleted")
        await self.say(ended)
        return ended

    async def say(self, entry: StreamEntry) -> None:
        self._streams[entry.stream] = entry
        await self._send(Entries(streams=(entry,)))

    async def _send(self, frame: Frame) -> None:
        for socket in list(self._sockets.values()):
            with contextlib.suppress(ConnectionError):
                await socket.send_str(render(frame))

    async def _keep_link(self, url: str) -> None:
        """The first hello has version 1; every later one says something newer."""
        while True:
            with contextlib.suppress(OSError, asyncio.TimeoutError, ConnectionError):
                await self._one_link(url)
            await asyncio.sleep(0.3)
            self.version += 1

    async def _one_link(self, url: str) -> None:
        headers = {"Authorization": "Bearer join"}
        async with self._http.ws_connect(f"{url}/v1/link", headers=headers) as socket:
            await socket.send_str(render(self.hello))
            beats = asyncio.create_task(self._beat(socket))
            try:
                async for message in socket:
                    if message.type is not WSMsgType.TEXT:
                        break
                    self._sockets[url] = socket
                    self._linked.set()
                    await self._take(parse(message.data, TO_NODE))
            finally:
                self._sockets.pop(url, None)
                beats.cancel()

    async def _beat(self, socket: ClientWebSocketResponse) -> None:
        while True:
            await socket.send_str(render(Counts(viewers=self.viewers, relays_in=self.relays_in)))
            await asyncio.sleep(1)

    async def _take(self, frame: Frame) -> None:
        self.frames.append(frame)
        now = time.monotonic()
        if isinstance(frame, Welcome):
            self.table.merge(now, nodes=frame.table.nodes, streams=frame.table.streams)
            await self._answer_rumours(Entries(nodes=frame.table.nodes))
        if isinstance(frame, Entries):
            self.table.merge(now, nodes=frame.nodes, streams=frame.streams, gone=frame.gone)
            await self._answer_rumours(frame)

    async def _answer_rumours(self, entries: Entries) -> None:
        """What others say of this node is wrong when it says that it is not there."""
        wrong = [node.version for node in entries.nodes if node.ref == self.ref and node.state == "down"]
        wrong += [gone.version for gone in entries.gone if gone.ref == self.ref]
        if wrong and max(wrong) >= self.version:
            self.version = max(wrong) + 1
            await self._send(Entries(nodes=(self.entry,)))

    # Signalling

    async def _answer(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        await request.read()
        if self.frozen:
            await asyncio.Event().wait()
        if request.method != "POST":
            return web.Response(status=200 if request.method != "PATCH" else 204)
        if self.status != 201:
            return web.Response(status=self.status)
        if request.path.startswith("/whip/") and not await self._takes(request):
            return web.Response(status=409)
        session = next(self._sessions)
        headers = {"Location": f"http://elsewhere/session/{self.ref}/{session}", "ETag": '"1"'}
        return web.Response(status=201, headers=headers, text="v=0", content_type="application/sdp")

    async def _takes(self, request: web.Request) -> bool:
        """The arbiter: the first subject has the name."""
        stream = request.path.rpartition("/")[2]
        subject = request.headers["Rivulet-Subject"]
        return self.subjects.setdefault(stream, subject) == subject
