"""A real ICE and DTLS client that can restart ICE, which aiortc by itself cannot: it swaps the way under DTLS."""

import asyncio
import time
from typing import Self

from aioice.candidate import Candidate
from aioice.ice import Connection
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.rtcconfiguration import RTCBundlePolicy

from engine.peers import Picture, eventually
from offers import Answered
from rivulet_media.sdp_repair import repaired
from target import Endpoint, Session, request_session

WAIT_SECONDS = 20.0


class Live:
    """A publisher or a viewer, connected. Counts what comes by each way: media, or reports of the server."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.packets = {"old": 0, "new": 0}
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
        self.over = asyncio.Event()
        self.connection.on("connectionstatechange", self._changed)
        if endpoint.protocol == "whip":
            self.connection.addTransceiver(Picture(), direction="sendonly")
        else:
            for kind in ("audio", "video"):
                self.connection.addTransceiver(kind, direction="recvonly")
        self._restarted: Connection | None = None
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """POST, then ICE and DTLS."""
        await self.connection.setLocalDescription(await self.connection.createOffer())
        offer = self.connection.localDescription.sdp
        answer = await asyncio.to_thread(self.endpoint.post, offer)
        assert answer.status == 201, answer.body
        self.session: Session = request_session(self.endpoint, answer)
        self.answer = Answered.read(answer.body)
        await self.connection.setRemoteDescription(RTCSessionDescription(repaired(offer, answer.body), "answer"))
        self._tap()
        await eventually(lambda: self.connection.connectionState == "connected", "connected", WAIT_SECONDS)
        return self

    async def __aexit__(self, *_: object) -> None:
        """DTLS close_notify, then DELETE, should it still stand."""
        if self._reader is not None:
            self._reader.cancel()
        await self.connection.close()
        if self._restarted is not None:
            await self._restarted.close()
        await asyncio.to_thread(self.session.ask, "DELETE")

    @property
    def _transport(self):  # type: ignore[no-untyped-def] # noqa: ANN202 - aiortc's own, untyped
        transceiver = self.connection.getTransceivers()[0]
        return (transceiver.receiver if transceiver.direction == "recvonly" else transceiver.sender).transport.transport

    def _tap(self) -> None:
        ice: Connection = self._transport._connection
        take = ice.data_received

        def counted(data: bytes, component: int) -> None:
            self._count("old", data)
            take(data, component)

        ice.data_received = counted  # type: ignore[method-assign]

    def _count(self, way: str, data: bytes) -> None:
        if data and 128 <= data[0] < 192:
            self.packets[way] += 1

    async def begin_restart(self) -> tuple[Connection, str]:
        """New credentials and candidates, and the fragment that says so."""
        new = Connection(ice_controlling=True)
        await _gather_on_loopback_too(new)
        mid = self.answer.value("mid")
        lines = [
            f"m={self.answer.accepted[0][0].removeprefix('m=')}",
            f"a=mid:{mid}",
            f"a=ice-ufrag:{new.local_username}",
            f"a=ice-pwd:{new.local_password}",
            *(f"a=candidate:{candidate.to_sdp()}" for candidate in new.local_candidates),
            "a=end-of-candidates",
        ]
        return new, "\r\n".join([*lines, ""])

    async def finish_restart(self, new: Connection, fragment: str) -> None:
        """Check the server's new credentials; then everything goes by the new way, and nothing is read from the old."""
        said = Answered.read(fragment)
        new.remote_username, new.remote_password = said.value("ice-ufrag"), said.value("ice-pwd")
        for text in [line.partition(":")[2] for section in said.sections for line in section if "candidate:" in line]:
            await new.add_remote_candidate(Candidate.from_sdp(text))
        await new.add_remote_candidate(None)
        async with asyncio.timeout(WAIT_SECONDS):
            await new.connect()
        old: Connection = self._transport._connection
        if old._query_consent_task is not None:
            old._query_consent_task.cancel()
        for protocol in old._protocols:
            protocol.datagram_received = _deaf  # type: ignore[assignment,method-assign]
        self._transport._send = new.send
        self._restarted = new
        self._reader = asyncio.create_task(self._read(new, old))

    async def _read(self, new: Connection, old: Connection) -> None:
        while True:
            data = await new.recv()
            self._count("new", data)
            Connection.data_received(old, data, 1)

    async def more(self, way: str, count: int = 2) -> None:
        """Wait for that many more packets by this way."""
        wanted = self.packets[way] + count
        what = f"{count} more packets by the {way} way: {self.packets}"
        await eventually(lambda: self.packets[way] >= wanted, what, WAIT_SECONDS)

    async def gone(self, seconds: float = WAIT_SECONDS) -> None:
        """Wait until the server says that the session has ended."""
        end = time.monotonic() + seconds
        while (await asyncio.to_thread(self.session.ask, "GET")).status not in (404, 410):
            assert time.monotonic() < end, f"the session still stands after {seconds} s"
            await asyncio.sleep(0.1)

    def _changed(self) -> None:
        if self.connection.connectionState in ("closed", "failed"):
            self.over.set()


def _deaf(*_: object) -> None:
    """Reads nothing."""


async def _gather_on_loopback_too(ice: Connection) -> None:
    """A server on this machine is reached over loopback, which aioice leaves out of its candidates."""
    gather = ice.get_component_candidates

    async def with_loopback(component: int, addresses: list[str], timeout: int = 5) -> list[Candidate]:  # noqa: ASYNC109 - aioice's signature
        return await gather(component, ["127.0.0.1", *addresses], timeout)

    ice.get_component_candidates = with_loopback  # type: ignore[method-assign]
    await ice.gather_candidates()
