"""A WebRTC connection of ours to a WHIP or WHEP endpoint: what camera and probe share above aiortc."""

import asyncio
import ipaddress
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from aioice.candidate import Candidate
from aioice.ice import Connection
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.rtcconfiguration import RTCBundlePolicy, RTCIceTransportPolicy
from aiortc.rtcicetransport import parse_stun_turn_uri
from aiortc.rtcrtpsender import RTCRtpSender
from yarl import URL

from rivulet_media.ice_links import IceServer
from rivulet_media.sdp_repair import repaired
from rivulet_media.whip_client import Session, WhipClient

CONNECT_SECONDS: Final = 20.0
TurnTransport = Literal["udp", "tcp"]


class NotConnectedError(Exception):
    """Signalling went well, but no media connection came up."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The nominated candidate pair."""

    local: str
    remote: str
    protocol: str  # how the first hop is made: udp, or tcp to a TURN server
    relayed: bool

    def as_json(self) -> dict[str, Any]:
        """As the commands print it."""
        return asdict(self)


class Peer:
    """One peer connection, offered to one endpoint."""

    def __init__(
        self, *, relay_only: bool = False, turn_transport: TurnTransport | None = None, use_link: bool = True
    ) -> None:
        policy = RTCIceTransportPolicy.RELAY if relay_only else RTCIceTransportPolicy.ALL
        self.connection = RTCPeerConnection(
            RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE, iceTransportPolicy=policy)
        )
        self._turn_transport = turn_transport
        self._use_link = use_link
        self._settled: asyncio.Event = asyncio.Event()
        self.over: asyncio.Event = asyncio.Event()
        self.connection.on("connectionstatechange", self._on_state)

    async def negotiate(self, client: WhipClient, *, patience: float = 0.0) -> Session:
        """Offer, then use the ICE servers that came with the answer.

        Candidates are gathered after the POST, so the offer carries none: servers that are not behind a NAT need none.
        Raises SignallingError, NotConnectedError.
        """
        offer = await self.connection.createOffer()
        session = await client.offer(offer.sdp, patience=patience)
        try:
            ice = self._ice()
            if self._use_link:
                _use_servers(ice, session.ice_servers, self._turn_transport)
            _use_loopback(ice, session.url)
            await self.connection.setLocalDescription(offer)
            answer = repaired(offer.sdp, session.answer)
            await self.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        except ValueError as error:
            await client.end(session)
            raise NotConnectedError(f"the answer cannot be used: {error}") from error
        return session

    async def connected(self) -> None:
        """Wait until media can flow. Raises NotConnectedError."""
        try:
            await asyncio.wait_for(self._settled.wait(), CONNECT_SECONDS)
        except TimeoutError:
            raise NotConnectedError(f"no media connection within {CONNECT_SECONDS:.0f} s") from None
        if self.connection.connectionState != "connected":
            raise NotConnectedError("no media connection: every candidate pair failed")

    async def close(self) -> None:
        """Close the connection, telling the peer (DTLS close_notify)."""
        await self.connection.close()

    def pair(self) -> Pair | None:
        """The pair in use; None before ICE has succeeded."""
        nominated = self._ice()._nominated.get(1)  # noqa: SLF001 - aioice shows it nowhere else
        if nominated is None:
            return None
        local, remote = nominated.local_candidate, nominated.remote_candidate
        relayed = local.type == "relay"
        protocol = self._ice().turn_transport if relayed else local.transport.lower()
        return Pair(_text(local), _text(remote), protocol, relayed)

    def _ice(self) -> Connection:
        transport = self.connection.getTransceivers()[0].receiver.transport.transport
        return transport._connection  # noqa: SLF001 - the servers are known only now

    def _on_state(self) -> None:
        state = self.connection.connectionState
        if state in ("connected", "failed", "closed"):
            self._settled.set()
        if state in ("failed", "closed"):
            self.over.set()


def prefer_codecs(transceiver: Any, kind: str, codec: str) -> None:
    """Offer this codec only (`h264`, `vp8`, `opus`), with its retransmissions."""
    capabilities = RTCRtpSender.getCapabilities(kind)
    mime = {f"{kind}/{codec}", f"{kind}/rtx"}
    chosen = [capability for capability in capabilities.codecs if capability.mimeType.lower() in mime]
    if codec == "h264":  # one profile, the one that the camera makes
        chosen = [c for c in chosen if c.parameters.get("profile-level-id", "42e01f") == "42e01f"]
    transceiver.setCodecPreferences(chosen)


def _use_servers(ice: Connection, servers: tuple[IceServer, ...], turn_transport: TurnTransport | None) -> None:
    """Tell aioice, which takes one STUN and one TURN server: the first that fits."""
    for server in servers:
        place = parse_stun_turn_uri(server.url)
        if server.transport is None:
            ice.stun_server = ice.stun_server or (place["host"], place["port"])
        elif ice.turn_server is None and turn_transport in (None, server.transport):
            ice.turn_server = (place["host"], place["port"])
            ice.turn_transport = server.transport
            ice.turn_ssl = place["scheme"] == "turns"
            ice.turn_username, ice.turn_password = server.username, server.credential


def _use_loopback(ice: Connection, url: URL) -> None:
    """A server on this machine is reached over loopback, which aioice leaves out of its candidates."""
    loopback = loopback_towards(url.host or "")
    if loopback is None:
        return
    gather = ice.get_component_candidates

    async def with_loopback(component: int, addresses: list[str], timeout: int = 5) -> list[Candidate]:  # noqa: ASYNC109 - aioice's signature
        return await gather(component, [loopback, *addresses] if not _relay_only(ice) else addresses, timeout)

    ice.get_component_candidates = with_loopback  # type: ignore[method-assign]


def _relay_only(ice: Connection) -> bool:
    return ice._transport_policy.name == "RELAY"  # noqa: SLF001 - aioice shows it nowhere else


def loopback_towards(host: str) -> str | None:
    """The address of this machine's own by which `host` is reached; None: it is no loopback address."""
    try:
        parsed = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        return None
    return ("::1" if parsed.version == 6 else "127.0.0.1") if parsed.is_loopback else None  # noqa: PLR2004


def _text(candidate: Candidate) -> str:
    return f"{candidate.host}:{candidate.port}/{candidate.type}"
