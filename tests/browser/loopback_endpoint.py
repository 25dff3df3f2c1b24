"""A WHIP and WHEP endpoint made of aiortc, in the test's own process: proves camera, probe and pages without a CDN.

WHIP takes what is published and watches it with the probe's own Viewer; WHEP sends the camera's own timer.
"""

import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.rtcconfiguration import RTCBundlePolicy

from rivulet_media.camera.encoders import AUDIO_CLOCK, VIDEO_CLOCK
from rivulet_media.camera.sources import CameraSettings, open_camera
from rivulet_media.camera.track import SenderReports
from rivulet_media.peer import _use_loopback
from rivulet_media.probe.viewer import Viewer


@dataclass
class Ingest:
    """One publication that came in."""

    connection: RTCPeerConnection
    viewer: Viewer
    stream: str
    authorization: str | None


@dataclass
class LoopbackEndpoint:
    """The endpoint's state, for a test to set and to read."""

    camera: CameraSettings
    base: str = ""
    refusal: tuple[int, dict[str, Any], dict[str, str]] | None = None
    refusals_left: int = 0
    links: list[str] = field(default_factory=list)
    ingests: list[Ingest] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    gone: dict[str, str] = field(default_factory=dict)
    relative_location: bool = True
    _sessions: dict[str, RTCPeerConnection] = field(default_factory=dict)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/whip/{stream}", self._whip)
        app.router.add_post("/whep/{stream}", self._whep)
        app.router.add_delete("/session/{id}", self._delete)
        app.router.add_get("/session/{id}", self._get)
        return app

    async def close(self) -> None:
        for ingest in self.ingests:
            await ingest.viewer.close()
        for connection in self._sessions.values():
            await connection.close()

    async def end_all(self, reason: str) -> None:
        """End every session from the server's side, as when the stream ends."""
        for name, connection in list(self._sessions.items()):
            self.gone[name] = reason
            await connection.close()

    async def _whip(self, request: web.Request) -> web.Response:
        if refused := self._refused():
            return refused
        connection = _connection()
        viewer = Viewer(connection, started=time.monotonic(), warm_up=0)
        self.ingests.append(
            Ingest(connection, viewer, request.match_info["stream"], request.headers.get("Authorization"))
        )
        return await self._answer(connection, await request.text(), request)

    async def _whep(self, request: web.Request) -> web.Response:
        if refused := self._refused():
            return refused
        connection = _connection()
        camera = open_camera(self.camera)
        offer = await request.text()
        await connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        for track, clock in ((camera.audio, AUDIO_CLOCK), (camera.video, VIDEO_CLOCK)):
            if track is not None:
                sender = connection.addTrack(track)
                SenderReports(sender, track, clock, camera.timeline)
                if camera.encoder is not None and track.kind == "video":
                    sender._send_keyframe = camera.encoder.want_key_frame  # type: ignore[method-assign]
                    for transceiver in connection.getTransceivers():
                        if transceiver.kind == "video":
                            transceiver._codecs.sort(key=lambda codec: codec.name != "H264")
        return await self._answer(connection, None, request)

    async def _answer(self, connection: RTCPeerConnection, offer: str | None, request: web.Request) -> web.Response:
        if offer is not None:
            await connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        _use_loopback(connection.getTransceivers()[0].receiver.transport.transport._connection, request.url)
        await connection.setLocalDescription(await connection.createAnswer())
        name = secrets.token_hex(8)
        self._sessions[name] = connection
        path = f"/session/{name}"
        location = path if self.relative_location else str(request.url.with_path(path))
        response = web.Response(
            status=201,
            text=connection.localDescription.sdp,
            content_type="application/sdp",
            headers={"Location": location},
        )
        for link in self.links:
            response.headers.add("Link", link)
        return response

    async def _delete(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        self.deleted.append(name)
        connection = self._sessions.get(name)
        if connection is not None:
            await connection.close()
        return web.Response()

    async def _get(self, request: web.Request) -> web.Response:
        reason = self.gone.get(request.match_info["id"])
        if reason is None:
            return web.Response()
        return web.json_response({"reason": reason, "status": 410}, status=410, content_type="application/problem+json")

    def _refused(self) -> web.Response | None:
        if self.refusal is None or self.refusals_left == 0:
            return None
        self.refusals_left -= 1
        status, problem, headers = self.refusal
        return web.json_response(problem, status=status, headers=headers, content_type="application/problem+json")


def _connection() -> RTCPeerConnection:
    return RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
