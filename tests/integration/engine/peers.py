"""aiortc clients that talk to an Engine directly: SDP in, SDP out, no HTTP."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, cast

import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, VideoFrame

if TYPE_CHECKING:
    from rivulet_media._engine import Engine, Event, Track

LOOPBACK = "127.0.0.1"
VIDEO: Track = {"kind": "video", "codec": "vp8", "clock_rate": 90000, "fmtp": ""}
AUDIO: Track = {"kind": "audio", "codec": "opus", "clock_rate": 48000, "channels": 2, "fmtp": ""}
FPS = 15
TRANSPORT = ("a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:", "a=setup:")


class Picture(MediaStreamTrack):
    """A picture that changes, 160 x 120, 15 a second."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self._count = 0
        self._start = time.monotonic()
        self.going = asyncio.Event()
        self.going.set()

    async def recv(self) -> VideoFrame:
        await self.going.wait()
        self._count += 1
        await asyncio.sleep(max(0.0, self._start + self._count / FPS - time.monotonic()))
        pixels = np.full((120, 160, 3), self._count * 7 % 256, dtype=np.uint8)
        pixels[40:80, (self._count * 5) % 120 : (self._count * 5) % 120 + 40] = (255, 0, 0)
        frame = VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts = self._count * 90000 // FPS
        frame.time_base = Fraction(1, 90000)
        return frame


class Noise(Picture):
    """Pictures that do not compress: some packets each."""

    _dice = np.random.default_rng(1)

    async def recv(self) -> VideoFrame:
        picture = await super().recv()
        frame = VideoFrame.from_ndarray(self._dice.integers(0, 256, (120, 160, 3), dtype=np.uint8), format="rgb24")
        frame.pts, frame.time_base = picture.pts, Fraction(1, 90000)
        return frame


class Tone(MediaStreamTrack):
    """20 ms of a tone, again and again."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._count = 0
        self._start = time.monotonic()

    async def recv(self) -> AudioFrame:
        self._count += 1
        await asyncio.sleep(max(0.0, self._start + self._count * 0.02 - time.monotonic()))
        phase = np.arange(960) * 2 * np.pi * 440 / 48000
        samples = (np.sin(phase) * 8000).astype(np.int16).reshape(1, -1)
        frame = AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = 48000
        frame.pts = self._count * 960
        frame.time_base = Fraction(1, 48000)
        return frame


class Publisher:
    """A WHIP client without the HTTP."""

    def __init__(self, *tracks: MediaStreamTrack) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        for track in tracks:
            self.connection.addTransceiver(track, direction="sendonly")

    async def offer(self) -> str:
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return self.connection.localDescription.sdp

    async def take(self, answer: str) -> None:
        await self.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    async def publish(
        self, engine: Engine, stream: str, incarnation: str, codecs: Sequence[str] = ("vp8", "opus")
    ) -> str:
        offer = await self.offer()
        session, answer = await asyncio.to_thread(engine.publish, stream, incarnation, offer, codecs)
        await self.take(answer)
        return session


class Viewer:
    """A WHEP client without the HTTP: decodes what comes and counts frames."""

    def __init__(self, *kinds: str) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.frames = {"video": 0, "audio": 0}
        self.shown: list[Fraction] = []
        """When each picture was taken, by the stream's own clock, seconds."""
        self._readers: list[asyncio.Task[None]] = []
        for kind in kinds:
            self.connection.addTransceiver(kind, direction="recvonly")
        self.connection.on("track", self._on_track)

    async def offer(self) -> str:
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return self.connection.localDescription.sdp

    async def take(self, answer: str) -> None:
        offer = self.connection.localDescription.sdp
        await self.connection.setRemoteDescription(RTCSessionDescription(without_rejections(offer, answer), "answer"))

    async def play(self, engine: Engine, stream: str, tracks: Sequence[Track]) -> str:
        offer = await self.offer()
        session, answer = await asyncio.to_thread(engine.play, stream, tracks, offer)
        await self.take(answer)
        return session

    async def frames_after(self, video: int, audio: int, within: float = 15.0) -> None:
        """Wait until that many more frames were decoded."""
        want = {"video": self.frames["video"] + video, "audio": self.frames["audio"] + audio}
        await eventually(
            lambda: all(self.frames[kind] >= want[kind] for kind in want), f"{want} of {self.frames}", within
        )

    def longest_step(self) -> Fraction:
        """Seconds of the stream between a picture and the next."""
        return max((later - earlier for earlier, later in pairwise(self.shown)), default=Fraction(0))

    async def close(self) -> None:
        for reader in self._readers:
            reader.cancel()
        await self.connection.close()

    def _on_track(self, track: MediaStreamTrack) -> None:
        self._readers.append(asyncio.create_task(self._read(track)))

    async def _read(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            self.frames[track.kind] += 1
            if isinstance(frame, VideoFrame):
                assert frame.pts is not None
                assert frame.time_base is not None
                self.shown.append(Fraction(frame.pts) * frame.time_base)


class Node:
    """An engine with its events read as they come."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.events: list[Event] = []
        asyncio.get_running_loop().add_reader(engine.event_fd(), self._read)

    def _read(self) -> None:
        self.events.extend(self.engine.drain_events())

    def of(self, session: str, kind: str) -> list[Event]:
        return [event for event in self.events if event["session"] == session and event["type"] == kind]

    async def event(self, session: str, kind: str, within: float = 15.0) -> Event:
        """The first event of `kind` for `session`."""
        await eventually(lambda: bool(self.of(session, kind)), f"{kind} of {session}: {self.events}", within)
        return self.of(session, kind)[0]

    def stop(self) -> None:
        asyncio.get_running_loop().remove_reader(self.engine.event_fd())
        self.engine.shutdown()


def without_rejections(offer: str, answer: str) -> str:
    """An answer for aiortc, which knows no port 0: a rejected section becomes the offered one, bundled and inactive."""
    offered = {section.split(" ", 1)[0]: section for section in offer.split("m=")[1:]}
    sections = answer.split("m=")
    transport = [line for section in sections[1:] for line in section.split("\r\n") if line.startswith(TRANSPORT)]
    for index, section in enumerate(sections):
        kind, _, rest = section.partition(" ")
        if index and rest.startswith("0 "):
            kept = [
                line
                for line in offered[kind].split("\r\n")
                if not line.startswith((*TRANSPORT, "a=recvonly", "a=candidate"))
            ]
            sections[index] = "\r\n".join([*kept[:-1], "a=inactive", *transport[:4], ""])
            mid = section.split("a=mid:")[1].split("\r\n")[0]
            sections[0] = sections[0].replace("\r\na=msid", f" {mid}\r\na=msid", 1)
    return "m=".join(sections)


async def eventually(condition: Callable[[], bool], what: str, within: float = 15.0) -> None:
    """Wait for `condition`, at most `within` seconds; before the last look this process has a second to catch up."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            await asyncio.sleep(1)
            assert condition(), f"not within {within} s: {what}"
            return
        await asyncio.sleep(0.02)


async def relay(
    parent: Engine, child: Engine, stream: str, incarnation: str, tracks: Sequence[Track]
) -> tuple[str, str]:
    """Make `child` pull `stream` from `parent`: the sessions at the child and at the parent."""
    pulled, offer = await asyncio.to_thread(child.pull, stream, incarnation, tracks)
    served, answer = await asyncio.to_thread(lambda: parent.play(stream, tracks, offer, relay=True))
    await asyncio.to_thread(child.pull_answer, pulled, answer)
    return pulled, served


class SlowPath(asyncio.DatagramProtocol):
    """Passes datagrams on between one client and `server`, each `delay` seconds later; loses `loss()` of them."""

    def __init__(self, server: tuple[str, int], delay: float, loss: Callable[[], float]) -> None:
        self._server = server
        self._delay = delay
        self._loss = loss
        self._dice = random.Random(1)  # noqa: S311 - the same losses each time
        self._client: tuple[str, int] | None = None
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if addr != self._server:
            self._client = addr
        to = self._server if addr != self._server else self._client
        if to is not None and self._transport is not None and self._dice.random() >= self._loss():
            asyncio.get_running_loop().call_later(self._delay, self._transport.sendto, data, to)


@asynccontextmanager
async def slow_path(
    server: tuple[str, int], delay: float, loss: Callable[[], float] = lambda: 0.0
) -> AsyncIterator[int]:
    """A port of loopback from which `server` is `delay` seconds away; the path loses the share `loss()`, both ways."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: SlowPath(server, delay, loss), local_addr=(LOOPBACK, 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


MakeNode = Callable[..., Node]
MakePublisher = Callable[..., Awaitable[Publisher]]


@asynccontextmanager
async def closing(*connections: Publisher | Viewer) -> AsyncIterator[None]:
    """Close the clients at the end, whatever happens."""
    try:
        yield
    finally:
        for client in connections:
            if isinstance(client, Viewer):
                await client.close()
            else:
                await client.connection.close()
