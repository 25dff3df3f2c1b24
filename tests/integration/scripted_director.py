"""A director that says what a test tells it to, over the real link of docs/contract.md §7.5 (WebSocket, port 7443)."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from aiohttp import WSMsgType, web

PORT = 7443
START_SECONDS = 10.0
BEAT_SECONDS = 1.0
Json = dict[str, Any]


def node(slot: str, **changes: Any) -> Json:
    """A node entry with counts."""
    entry = {
        "node": slot,
        "incarnation": "3f9c0a11be42",
        "version": 1,
        "role": slot.partition("-")[0],
        "region": "eu",
        "state": "up",
        "address": "203.0.113.10",
        "mediaPort": 7000,
        "http": "10.244.0.7:8080",
        "since": 1795252000.0,
        "counts": {"viewers": 0, "publishers": 0, "relaysOut": 0, "streams": {}},
    }
    return {**entry, **changes}


def stream(name: str, **changes: Any) -> Json:
    """A stream entry, live on origin-eu-0."""
    video = {"kind": "video", "codec": "h264", "clockRate": 90000, "fmtp": "profile-level-id=42e01f"}
    audio = {"kind": "audio", "codec": "opus", "clockRate": 48000, "channels": 2}
    entry = {
        "stream": name,
        "incarnation": "a01b00000000",
        "version": 1,
        "origin": "origin-eu-0/3f9c0a11be42",
        "region": "eu",
        "state": "live",
        "tracks": [video, audio],
        "since": 1795252010.0,
        "play": "public",
        "reason": None,
    }
    return {**entry, **changes}


class ScriptedDirector:
    """Listens on `address`; every operator that connects gets the whole of what has been said so far."""

    def __init__(self, address: str) -> None:
        """Says that there is nothing at all."""
        self.address = address
        self.orders: dict[str, Json] = {}
        self.tokens: list[str] = []
        self._said: Json = {"settling": False, "nodes": [], "streams": [], "undeclared": [], "peers": []}
        self._sockets: list[web.WebSocketResponse] = []
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)
        self._thread.start()
        assert self._started.wait(START_SECONDS), f"not listening on {address}:{PORT}"

    def say(self, **facts: Any) -> None:
        """Change facts: `nodes` and `streams` are those that changed, the rest is whole."""
        asyncio.run_coroutine_threadsafe(self._say(facts), self._loop).result(START_SECONDS)

    def close(self) -> None:
        """Stop listening; links break."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_SECONDS)

    async def _serve(self) -> None:
        app = web.Application()
        app.router.add_get("/v1/operator", self._link)
        runner = web.AppRunner(app, shutdown_timeout=0.5)
        await runner.setup()
        await web.TCPSite(runner, self.address, PORT).start()
        self._started.set()
        await self._stop.wait()
        for socket in self._sockets:
            await socket.close()
        await runner.cleanup()

    async def _link(self, request: web.Request) -> web.WebSocketResponse:
        self.tokens.append(request.headers.get("Authorization", ""))
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "snapshot", "director": "d", "version": 1, **self._said})
        self._sockets.append(socket)
        beating = asyncio.create_task(self._beat(socket))
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                frame = message.json()
                self.orders[frame["type"]] = frame
        beating.cancel()
        self._sockets.remove(socket)
        return socket

    async def _beat(self, socket: web.WebSocketResponse) -> None:
        while not socket.closed:
            await socket.send_json({"type": "beat"})
            await asyncio.sleep(BEAT_SECONDS)

    async def _say(self, facts: Json) -> None:
        whole: Json = {key: facts[key] for key in ("settling", "undeclared", "peers") if key in facts}
        self._said.update(whole)
        for key, name in (("nodes", "node"), ("streams", "stream")):
            changed = {entry[name]: entry for entry in facts.get(key, [])}
            kept = [entry for entry in self._said[key] if entry[name] not in changed]
            self._said[key] = [*kept, *changed.values()]
        for socket in self._sockets:
            await socket.send_json({"type": "change", "version": 2, **facts})
