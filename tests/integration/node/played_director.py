"""A director that the test plays, and one real node process that joins it."""

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any, Self

from aiohttp import WSMsgType, web

from rivulet_scene.bare import START_SECONDS
from rivulet_scene.command import MEDIA
from rivulet_scene.http import get
from rivulet_scene.ports import free_port

Frame = dict[str, Any]
TOKEN = "join-token"
BEAT_SECONDS = 1.0
END_SECONDS = 20


class PlayedDirector:
    """Answers hellos; the test reads and writes the frames of the latest link."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.directors = [self.url]
        self.table: Frame = {"nodes": [], "streams": []}
        self.heard: asyncio.Queue[Frame] = asyncio.Queue()
        self.joins = 0
        self._port = port
        self._runner: web.AppRunner | None = None
        self._link: web.WebSocketResponse | None = None
        self._beating: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/v1/join", self._join)
        app.router.add_get("/v1/link", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._beating = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._link is not None:
            await self._link.close()
        assert self._beating is not None
        assert self._runner is not None
        self._beating.cancel()
        await self._runner.cleanup()

    def welcome(self) -> Frame:
        me = {"region": "eu", "slot": "edge-eu-0", "role": "edge", "address": "127.0.0.1", "cluster": "c"}
        return {**me, "podCandidate": False, "directors": self.directors, "balancerName": "", "table": self.table}

    async def say(self, kind: str, **frame: Any) -> None:
        assert self._link is not None
        await self._link.send_json({"type": kind, **frame})

    async def hear(self, kind: str) -> Frame:
        """The next frame of this kind; others are skipped. The first hello comes once a node has started."""
        async with asyncio.timeout(START_SECONDS):
            while (frame := await self.heard.get())["type"] != kind:
                pass
        return frame

    async def _join(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        self.joins += 1
        return web.json_response(self.welcome())

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        link = web.WebSocketResponse()
        await link.prepare(request)
        async for message in link:
            if message.type is WSMsgType.TEXT:
                frame = json.loads(message.data)
                if frame["type"] == "hello":
                    await link.send_json({"type": "welcome", **self.welcome()})
                    self._link = link
                await self.heard.put(frame)
                if frame["type"] == "goodbye":
                    break
        return link

    async def _beat(self) -> None:
        while True:
            if self._link is not None and not self._link.closed:
                with contextlib.suppress(ConnectionError):
                    await self._link.send_json({"type": "beat"})
            await asyncio.sleep(BEAT_SECONDS)


class Node:
    """One real node process."""

    def __init__(self, entry: str, log: Path, *options: str) -> None:
        self.entry = entry
        self._options = options
        self.http = f"http://127.0.0.1:{free_port()}"
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        port = self.http.rpartition(":")[2]
        flags = ["--entry", self.entry, "--join-token", TOKEN, "--bind", "127.0.0.1", "--http-port", port]
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                MEDIA, "node", *flags, "--media-port", "0", *self._options, stderr=log, stdout=log
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def end(self) -> int:
        assert self._process is not None
        self._process.terminate()
        async with asyncio.timeout(END_SECONDS):
            return await self._process.wait()

    async def table(self) -> dict[str, Any]:
        return dict((await asyncio.to_thread(get, f"{self.http}/v1/table")).json)

    async def nodes(self) -> set[tuple[str, str]]:
        return {(entry["node"], entry["state"]) for entry in (await self.table())["nodes"]}

    async def streams(self) -> set[tuple[str, int]]:
        """Names with the versions in which they stand in its table."""
        return {(entry["stream"], entry["version"]) for entry in (await self.table())["streams"]}


def other(version: int = 1, state: str = "up", **more: Any) -> Frame:
    entry = {
        "node": "edge-eu-9",
        "incarnation": "99aa00000001",
        "version": version,
        "role": "edge",
        "region": "eu",
        "state": state,
        "address": "192.0.2.9",
        "mediaPort": 7009,
        "http": "192.0.2.9:8080",
        "pod": {"ip": "192.0.2.9", "uid": "", "cluster": "c"},
        "kubeNode": "",
        "capacity": {"viewers": 1},
        "since": 1.0,
    }
    return entry | more
