"""Light clients of a node: WebRTC without decoding, plain HTTP beside it."""

import asyncio
from collections.abc import Mapping
from typing import Self

from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamTrack, VideoStreamTrack

from rivulet_scene.bare import BareCdn
from rivulet_scene.http import Answer, request

SDP = {"Content-Type": "application/sdp"}
FRAGMENT = "application/trickle-ice-sdpfrag"
CONNECT_SECONDS = 15  # a node waits no longer either


class Peer:
    """One WebRTC client. Its POST is made with `post`; it connects with `connect`."""

    def __init__(self, tracks: tuple[MediaStreamTrack, ...] = ()) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.answer: Answer | None = None
        self.connected = asyncio.Event()
        self.ended = asyncio.Event()
        self.connection.on("connectionstatechange", self._changed)
        for track in tracks:
            self.connection.addTrack(track)
        if not tracks:
            for kind in ("audio", "video"):
                self.connection.addTransceiver(kind, direction="recvonly")

    async def __aenter__(self) -> Self:
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.connection.close()

    @property
    def offer(self) -> str:
        return str(self.connection.localDescription.sdp)

    async def post(self, url: str, headers: Mapping[str, str] | None = None) -> Answer:
        self.answer = await asyncio.to_thread(request, "POST", url, body=self.offer, headers={**SDP, **(headers or {})})
        return self.answer

    @property
    def posted(self) -> Answer:
        assert self.answer is not None
        return self.answer

    async def video_packets(self) -> int:
        """How many have come."""
        stats = await self.connection.getTransceivers()[1].receiver.getStats()
        return sum(each.packetsReceived for each in stats.values() if each.type == "inbound-rtp")

    async def connect(self) -> None:
        assert self.posted.status == 201, self.posted
        await self.connection.setRemoteDescription(RTCSessionDescription(self.posted.body, "answer"))
        async with asyncio.timeout(CONNECT_SECONDS):
            await self.connected.wait()

    def _changed(self) -> None:
        if self.connection.connectionState == "connected":
            self.connected.set()
        if self.connection.connectionState in ("closed", "failed"):
            self.ended.set()


def publisher(video_codec: str | None = None) -> Peer:
    """A camera; `video_codec` (`H264`, `VP8`): it offers that one only."""
    return _with(video_codec, Peer((AudioStreamTrack(), VideoStreamTrack())))


def viewer(video_codec: str | None = None) -> Peer:
    """A player of both kinds; `video_codec`: as above."""
    return _with(video_codec, Peer())


def _with(video_codec: str | None, peer: Peer) -> Peer:
    if video_codec is not None:
        known = RTCRtpSender.getCapabilities("video").codecs
        chosen = [codec for codec in known if codec.mimeType in (f"video/{video_codec}", "video/rtx")]
        peer.connection.getTransceivers()[1].setCodecPreferences(chosen)
    return peer


def let_in(cdn: BareCdn, subject: str = "camera-1") -> dict[str, str]:
    """What a director adds to a publisher's request."""
    return {"Rivulet-Join": cdn.regions["eu"].join_token, "Rivulet-Subject": subject}


def session_url(node: str, answer: Answer) -> str:
    return node + answer.headers["Location"]
