"""Viewers that connect and receive but do not decode: ten cost less than one probe. The engine's puller plays them."""

import asyncio
import itertools
import subprocess
import sys
from typing import TYPE_CHECKING, Self

import aiohttp

from rivulet_media._engine import Engine

if TYPE_CHECKING:
    from rivulet_media._engine import Track

FMTP = {"h264": "packetization-mode=1;profile-level-id=42e01f;level-asymmetry-allowed=1"}
# Of a viewer's media and of a relay's that goes by TCP alone, on `m=` lines.
ANY_WAY, BY_TCP = "UDP/TLS/RTP/SAVPF", "TCP/DTLS/RTP/SAVPF"
ASK_SECONDS = aiohttp.ClientTimeout(total=10)


class LightViewers:
    """Any number of viewers of one engine; leaving the `async with` block closes them by DTLS."""

    def __init__(self, *, tcp: bool = False) -> None:
        """`tcp`: their media come by connections that they open."""
        self.tcp = tcp
        self.engine = Engine("127.0.0.1", 0)
        self.sessions: dict[str, str] = {}
        self._numbers = itertools.count()

    async def join(self, door: str, url: str, count: int = 1, *, codec: str = "h264") -> None:
        """Open `count` sessions at the WHEP address `url`; `door`: the front door that session URLs are under."""
        tracks: list[Track] = [
            {"kind": "video", "codec": codec, "clock_rate": 90_000, "fmtp": FMTP.get(codec, "")},
            {"kind": "audio", "codec": "opus", "clock_rate": 48_000, "channels": 2, "fmtp": ""},
        ]
        async with aiohttp.ClientSession(timeout=ASK_SECONDS) as http:
            await asyncio.gather(*(self._join(http, url, door, tracks) for _ in range(count)))

    async def _join(self, http: aiohttp.ClientSession, url: str, door: str, tracks: "list[Track]") -> None:
        session, offer = self.engine.pull(f"watched-{next(self._numbers)}", "000000000000", tracks, tcp=self.tcp)
        offer = offer.replace(BY_TCP, ANY_WAY)
        async with http.post(url, data=offer, headers={"Content-Type": "application/sdp"}) as answer:
            text = await answer.text()
            assert answer.status == 201, text
            # Its candidates of TCP are dialled.
            self.engine.pull_answer(session, text.replace(ANY_WAY, BY_TCP) if self.tcp else text)
            location = answer.headers["Location"]
        self.sessions[session] = location if location.startswith("http") else door + location

    def connected(self) -> int:
        """How many are connected by now."""
        return sum(session["state"] == "connected" for session in self.engine.stats()["sessions"])

    def received(self) -> list[int]:
        """RTP packets received, per viewer."""
        return [session["packets"] for session in self.engine.stats()["sessions"]]

    def key_frames(self) -> dict[str, int]:
        """How many have come, by session: each plays a stream of its own name."""
        stats = self.engine.stats()
        streams = {stream["stream"]: stream["key_frames"] for stream in stats["streams"]}
        return {session["session"]: streams.get(session["stream"], 0) for session in stats["sessions"]}

    async def leave(self, count: int | None = None) -> None:
        """DELETE the first `count` sessions (default: all)."""
        leaving = list(self.sessions.items())[:count]
        async with aiohttp.ClientSession(timeout=ASK_SECONDS) as http:
            for session, location in leaving:
                async with http.delete(location) as answer:
                    assert answer.status == 200, await answer.text()
                del self.sessions[session]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.engine.shutdown()


def start_apart(door: str, url: str, count: int, *, quiet: bool = False) -> subprocess.Popen[str]:
    """The same viewers in a process of their own, connected when this returns; killed, they vanish without a word."""
    words, errors = [sys.executable, __file__, door, url, str(count)], subprocess.DEVNULL if quiet else None
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=errors, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "connected\n"
    return process


async def _stay(door: str, url: str, count: int) -> None:
    async with LightViewers() as viewers:
        await viewers.join(door, url, count)
        async with asyncio.timeout(15):
            while viewers.connected() < count:  # noqa: ASYNC110 - the engine has no event for it
                await asyncio.sleep(0.1)
        print("connected", flush=True)
        await asyncio.sleep(300)


if __name__ == "__main__":
    asyncio.run(_stay(sys.argv[1], sys.argv[2], int(sys.argv[3])))
