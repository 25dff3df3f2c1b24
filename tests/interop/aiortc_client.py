"""A WHIP publisher and WHEP player made of aiortc as it comes: one offer with all candidates, one answer.

    aiortc_client.py publish URL [--token T] [--codec vp8|h264] [--seconds N]
    aiortc_client.py play    URL [--seconds N]

One line of JSON says that it is connected, a last one how much of each kind was decoded.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import aiohttp
import av
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from yarl import URL

from moving_bar import FRAMES_PER_SECOND, RATE, SAMPLES, picture, sound

CONNECT_SECONDS: Final = 20
HTTP_SECONDS: Final = 10


class Paced(MediaStreamTrack):
    """Frames as they fall due."""

    def __init__(self, kind: str, make: Callable[[int], av.VideoFrame | av.AudioFrame], seconds: float) -> None:
        super().__init__()
        self.kind = kind
        self.make, self.seconds = make, seconds
        self.number = 0
        self.began: float | None = None

    async def recv(self) -> Any:
        """The next one."""
        self.began = self.began or time.monotonic()
        await asyncio.sleep(self.began + self.number * self.seconds - time.monotonic())
        self.number += 1
        return self.make(self.number - 1)


class Client:
    """One peer connection from its offer to the end of its session."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        # Of its bundle policies the default: with max-bundle it looks for candidates in an answer's last section only,
        # and they stand in the first (RFC 9143 §7.1).
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.connection.on("connectionstatechange", self.on_state)
        self.connection.on("track", self.on_track)
        self.settled = asyncio.Event()
        self.counts: dict[str, int] = {}
        self.tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """From the offer to DELETE."""
        self.add_media()
        await self.connection.setLocalDescription(await self.connection.createOffer())
        timeout = aiohttp.ClientTimeout(HTTP_SECONDS)
        headers = {"Authorization": f"Bearer {self.options.token}"} if self.options.token else {}
        async with aiohttp.ClientSession(timeout=timeout, headers=headers) as http:
            session = await self.exchange(http)
            began = time.monotonic()
            try:
                await asyncio.wait_for(self.settled.wait(), CONNECT_SECONDS)
                if self.connection.connectionState != "connected":
                    sys.exit(f"aiortc: {self.connection.connectionState}")
                say(connected=True, connect_ms=round(1000 * (time.monotonic() - began), 1))
                await asyncio.sleep(self.options.seconds)
            finally:
                await http.delete(session)
                await self.connection.close()
        say(**self.counts)

    def add_media(self) -> None:
        """Both kinds, one way."""
        if self.options.command == "play":
            for kind in ("video", "audio"):
                self.connection.addTransceiver(kind, direction="recvonly")
            return
        video = self.connection.addTransceiver(Paced("video", picture, 1 / FRAMES_PER_SECOND), direction="sendonly")
        known = RTCRtpSender.getCapabilities("video").codecs
        wanted = {f"video/{self.options.codec}", "video/rtx"}
        video.setCodecPreferences([codec for codec in known if codec.mimeType.lower() in wanted])
        self.connection.addTransceiver(Paced("audio", sound, SAMPLES / RATE), direction="sendonly")

    async def exchange(self, http: aiohttp.ClientSession) -> str:
        """POST the offer, take the answer; the session's URL."""
        offer = self.connection.localDescription.sdp
        posted = http.post(self.options.url, data=offer, headers={"Content-Type": "application/sdp"})
        async with posted as response:
            answer = await response.text()
            if response.status != 201:  # Created
                sys.exit(f"aiortc: POST: {response.status}: {answer}; the offer was\n{offer}")
            session = str(response.url.join(URL(response.headers["Location"])))
        await self.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        return session

    def on_state(self) -> None:
        if self.connection.connectionState in ("connected", "failed", "closed"):
            self.settled.set()

    def on_track(self, track: MediaStreamTrack) -> None:
        if self.options.command == "play":
            self.tasks.append(asyncio.create_task(self.count(track)))

    async def count(self, track: MediaStreamTrack) -> None:
        self.counts[track.kind] = 0
        try:
            while True:
                await track.recv()
                self.counts[track.kind] += 1
        except MediaStreamError:
            return


def say(**line: Any) -> None:
    """A line for whoever reads."""
    print(json.dumps(line), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=("publish", "play"))
    parser.add_argument("url")
    parser.add_argument("--token")
    parser.add_argument("--codec", choices=("vp8", "h264"), default="vp8")
    parser.add_argument("--seconds", type=float, default=5)
    asyncio.run(Client(parser.parse_args()).run())


if __name__ == "__main__":
    main()
