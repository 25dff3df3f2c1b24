"""Viewers one after another, each timed from POST to its first decoded picture; a JSON line for each.

Runs where the viewers stand (start.py puts it into a place of the testbed). `--cold URL`: before each start, wait until
the edge at URL says that it relays nothing; with `--no-link`, that it has no link to anybody either.
"""

import argparse
import asyncio
import json
import random
import time
from collections.abc import Callable
from typing import Literal

import aiohttp
from aiortc.jitterbuffer import JitterFrame
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtp import RtpPacket

from rivulet_media.peer import Peer
from rivulet_media.probe.receiver_tap import ReceiverTap
from rivulet_media.probe.sender_clock import SenderClock
from rivulet_media.whip_client import Session, WhipClient

START_SECONDS = 15.0
GOP_SECONDS = 2.0
H264_KEY_UNITS = (5, 7)  # IDR slice, sequence parameter set
H264_AGGREGATE, H264_FRAGMENT = 24, 28


class Marks:
    """When each step was first reached, in ms after POST."""

    def __init__(self) -> None:
        self._zero = time.monotonic()
        self.reached: dict[str, float] = {}

    def begin(self) -> None:
        self._zero = time.monotonic()

    def note(self, step: str) -> None:
        self.reached.setdefault(step, round((time.monotonic() - self._zero) * 1000, 1))


class TimedClient(WhipClient):
    """Signalling whose POST is timed."""

    def __init__(self, http: aiohttp.ClientSession, url: str, marks: Marks) -> None:
        super().__init__(http, url)
        self._marks = marks

    async def offer(self, sdp: str, *, patience: float = 0.0) -> Session:
        self._marks.begin()
        session = await super().offer(sdp, patience=patience)
        self._marks.note("answered")
        return session


class TimedTap(ReceiverTap):
    """Sees every packet of one track before it is put together."""

    def __init__(self, receiver: object, kind: Literal["audio", "video"], see: Callable[[RtpPacket], None]) -> None:
        super().__init__(receiver, kind, SenderClock(90_000 if kind == "video" else 48_000))  # type: ignore[arg-type]
        self._see = see

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        self._see(packet)
        return super().add(packet)


class Start:
    """One viewer."""

    def __init__(self) -> None:
        self.marks = Marks()
        self._peer = Peer(use_link=False)
        self._key_timestamp: int | None = None
        self._decoded = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        connection = self._peer.connection
        for kind, see in (("audio", self._see_any), ("video", self._see_video)):
            transceiver = connection.addTransceiver(kind, direction="recvonly")
            TimedTap(transceiver.receiver, "video" if kind == "video" else "audio", see)
        connection.on("track", self._on_track)
        connection.on("iceconnectionstatechange", self._on_ice)

    async def run(self, http: aiohttp.ClientSession, url: str) -> dict[str, float]:
        """Start, wait for the first picture, leave."""
        client = TimedClient(http, url, self.marks)
        session = await self._peer.negotiate(client, patience=START_SECONDS)
        try:
            await self._peer.connected()
            self.marks.note("dtls")
            await asyncio.wait_for(self._decoded.wait(), START_SECONDS)
        finally:
            await client.end(session)
            await self._peer.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        return self.marks.reached

    def _on_ice(self) -> None:
        if self._peer.connection.iceConnectionState in ("connected", "completed"):
            self.marks.note("ice")

    def _on_track(self, track: MediaStreamTrack) -> None:
        self._tasks.add(asyncio.create_task(self._watch(track)))

    async def _watch(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                await track.recv()
            except MediaStreamError:
                return
            if track.kind == "video":
                self.marks.note("picture")
                self._decoded.set()

    def _see_any(self, _: RtpPacket) -> None:
        self.marks.note("first_packet")

    def _see_video(self, packet: RtpPacket) -> None:
        self.marks.note("first_packet")
        if self._key_timestamp is None and begins_key_frame(packet.payload):
            self.marks.note("key_begins")
            self._key_timestamp = packet.timestamp
        if packet.timestamp == self._key_timestamp and packet.marker:
            self.marks.note("key_complete")


def begins_key_frame(payload: bytes) -> bool:
    """Whether an RTP payload holds the beginning of an H.264 key frame (RFC 6184 §5)."""
    if len(payload) <= H264_AGGREGATE // 8:
        return False
    kind = payload[0] & 31
    if kind == H264_AGGREGATE:
        return payload[3] & 31 in H264_KEY_UNITS
    if kind == H264_FRAGMENT:
        return bool(payload[1] & 0x80) and payload[1] & 31 in H264_KEY_UNITS
    return kind in H264_KEY_UNITS


async def has_none(http: aiohttp.ClientSession, edge: str, metric: str) -> None:
    """Wait until the edge has no relays or links to anybody."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        async with http.get(f"{edge}/metrics") as answer:
            if f'{metric}{{direction="in"}} 0.0' in await answer.text():
                return
        await asyncio.sleep(0.1)
    raise SystemExit(f"{metric} of the edge does not fall to 0")


async def play(arguments: argparse.Namespace) -> None:
    phases = random.Random(1)  # noqa: S311 - spreads the starts over the group of pictures, the same in every run
    async with aiohttp.ClientSession() as http:
        for _ in range(arguments.starts):
            if arguments.cold:
                await has_none(http, arguments.cold, "rivulet_links" if arguments.no_link else "rivulet_relays")
            await asyncio.sleep(arguments.apart + phases.uniform(0, GOP_SECONDS))
            print(json.dumps(await Start().run(http, arguments.url)), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="time from POST to the first decoded picture")
    parser.add_argument("url", help="WHEP endpoint")
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--apart", type=float, default=0.0, metavar="S", help="pause between starts, at least")
    parser.add_argument("--cold", metavar="URL", help="the edge that must relay nothing before each start")
    parser.add_argument("--no-link", action="store_true", help="it must have no link either")
    asyncio.run(play(parser.parse_args()))


if __name__ == "__main__":
    main()
