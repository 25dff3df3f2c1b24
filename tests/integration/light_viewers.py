"""Viewers that connect and receive but do not decode: ten of them cost less than one probe. The engine's own puller plays their part."""

import asyncio
from types import TracebackType
from typing import Self

import aiohttp
from rivulet_media._engine import Engine, Track
from rivulet_scene.http import get

ASK_SECONDS = aiohttp.ClientTimeout(total=10)


class LightViewers:
    """Any number of viewers of one engine; leaving the `async with` block closes them by DTLS."""

    def __init__(self) -> None:
        self.engine = Engine("127.0.0.1", 0)
        self.sessions: dict[str, str] = {}

    async def join(self, door: str, stream: str, count: int = 1, *, via: str | None = None) -> None:
        """Open `count` sessions at `via` (default: the front door's WHEP address); `door` tells the tracks."""
        tracks = self._tracks(door, stream)
        async with aiohttp.ClientSession(timeout=ASK_SECONDS) as http:
            await asyncio.gather(*(self._join(http, via or f"{door}/whep/{stream}", door, tracks) for _ in range(count)))

    @staticmethod
    def _tracks(door: str, stream: str) -> list[Track]:
        entry = get(f"{door}/v1/streams/{stream}").json
        return [
            Track(
                kind=track["kind"],
                codec=track["codec"],
                clock_rate=track["clockRate"],
                fmtp=track.get("fmtp", ""),
                channels=track.get("channels") or 2,
            )
            for track in entry["tracks"]
        ]

    async def _join(self, http: aiohttp.ClientSession, url: str, door: str, tracks: list[Track]) -> None:
        session, offer = self.engine.pull("watched", "000000000000", tracks)
        async with http.post(url, data=offer, headers={"Content-Type": "application/sdp"}) as answer:
            text = await answer.text()
            assert answer.status == 201, text
            self.engine.pull_answer(session, text)
            location = answer.headers["Location"]
        self.sessions[session] = location if location.startswith("http") else door + location

    def connected(self) -> int:
        """How many are connected by now."""
        return sum(session["state"] == "connected" for session in self.engine.stats()["sessions"])

    def received(self) -> list[int]:
        """RTP packets received, per viewer."""
        return [session["packets"] for session in self.engine.stats()["sessions"]]

    async def leave(self, count: int | None = None) -> None:
        """DELETE the first `count` sessions (default: all)."""
        leaving = list(self.sessions.items())[:count]
        async with aiohttp.ClientSession(timeout=ASK_SECONDS) as http:
            for session, location in leaving:
                async with http.delete(location) as answer:
                    assert answer.status == 200, await answer.text()
                del self.sessions[session]

    def crash(self) -> None:
        """Go away without a word to anybody: no DELETE, no BYE, no close_notify; the sockets stay open and say nothing."""
        self.engine.freeze()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.engine.shutdown()
