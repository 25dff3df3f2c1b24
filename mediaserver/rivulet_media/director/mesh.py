"""Directors of other regions (docs/contract.md §7.4): each side tells of its own region only.

Invariant: what comes over the mesh is never told to a third region.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import ClientError, ClientSession, WSServerHandshakeError

from rivulet_media.director.directory import Directory, Source, as_entries, of_region
from rivulet_media.director.settings import Settings
from rivulet_media.frame_link import Link, LinkClosedError, Socket, client_timeout, keep_dialling
from rivulet_media.table import Delta, Gone, NodeEntry, StreamEntry
from rivulet_media.wire import (
    FROM_MESH,
    MAX_FRAME,
    SILENT_SECONDS,
    Beat,
    DeclaredStream,
    Entries,
    MeshHello,
    RegionWhole,
    StreamPolicy,
    publications,
    render,
)
from rivulet_media.wire_operator import PeerState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

log = logging.getLogger(__name__)

DIAL_SECONDS = 5.0
WHOLE_SECONDS = 30.0
UNAUTHORIZED = 401


@dataclass(frozen=True)
class Peer:
    """Another region as the resources name it; `problem`: why it cannot be dialled."""

    region: str
    address: str
    token: str
    problem: str = ""


class Mesh:
    """One link to some director of every other region, and those that their directors have dialled."""

    def __init__(self, settings: Settings, directory: Directory, me: str) -> None:
        self._settings = settings
        self._directory = directory
        self._me = me
        self._links: dict[Link, str] = {}
        self._dialling: dict[str, asyncio.Task[None]] = {}
        self._dialled: dict[str, Peer] = {}
        self._heard: dict[str, float] = {}
        self._problems: dict[str, str] = {}
        self._declared: dict[str, Mapping[str, DeclaredStream]] = {}
        self._whole_at = float("-inf")
        directory.listen(self._tell)
        directory.listen_to_resources(self._tell_whole)

    # What the front door asks

    def peer(self, region: str) -> Peer | None:
        """How a region is reached; None when no CDNRegion names it."""
        return next((peer for peer in self._peers() if peer.region == region), None)

    def declaring(self, stream: str) -> str | None:
        """The other region in which this name has a Stream."""
        regions = (region for region, names in sorted(self._declared.items()) if stream in names)
        return next(regions, None)

    def policy(self, stream: str) -> StreamPolicy | None:
        """What the region that declares this name says of it; None when no other region does."""
        region = self.declaring(stream)
        return None if region is None else self._declared[region][stream].policy

    def token(self, region: str) -> str | None:
        """What that region's directors must present here."""
        return self._directory.resources.mesh_tokens.get(region)

    def reachable(self, region: str) -> bool:
        """Whether a director of that region was heard lately."""
        heard = self._heard.get(region)
        return heard is not None and self._directory.now - heard < SILENT_SECONDS

    def unreachable(self) -> frozenset[str]:
        """Other regions in the table to which there is no way now."""
        regions = {entry.region for entry in self._directory.table.nodes} - {self._settings.region}
        return frozenset(region for region in regions if not self.reachable(region))

    def whole_regions(self) -> frozenset[str]:
        """Other regions that have told all they have."""
        return frozenset(self._declared)

    def peers(self) -> tuple[PeerState, ...]:
        """The state of the mesh, for the operator."""
        return tuple(self._state(peer) for peer in self._peers())

    # Links

    async def run(self, http: ClientSession) -> None:
        """Once settled, keep a link to every region that can be dialled."""
        try:
            while True:
                if self._directory.settled:
                    self._dial(http)
                await asyncio.sleep(1.0)
        finally:
            for task in self._dialling.values():
                task.cancel()

    async def serve(self, socket: Socket, region: str) -> None:
        """A link in either direction with a director of `region`, from hello to end."""
        async with Link(socket, FROM_MESH, peer=region) as link:
            try:
                await self._talk(link, region)
            except LinkClosedError as closed:
                log.info("mesh link ended: %s", closed, extra={"peer": region})
            finally:
                self._links.pop(link, None)

    def beat(self) -> None:
        """Every 2 s: still here; every 30 s: the whole region."""
        self._send(render(Beat()))
        if self._directory.now - self._whole_at >= WHOLE_SECONDS:
            self._tell_whole()

    async def _talk(self, link: Link, region: str) -> None:
        link.send(self._hello())
        hello = await link.receive()
        if not isinstance(hello, MeshHello) or hello.region != region:
            await link.refuse(f"the first frame must be hello of region {region}")
        self._links[link] = region
        link.send(self._whole())
        log.info("mesh linked", extra={"peer": region, "director": hello.director})
        self._heard[region] = self._directory.now
        async for frame in link.frames():
            self._heard[region] = self._directory.now
            match frame:
                case RegionWhole():
                    await self._take_whole(link, frame, region)
                case Entries():
                    await self._take(link, frame, region)
                case Beat():
                    pass
                case _:
                    await link.refuse(f"{frame.TYPE} out of order")

    async def _take(self, link: Link, entries: Entries, region: str) -> None:
        told: Sequence[NodeEntry | StreamEntry | Gone] = (*entries.nodes, *entries.streams, *entries.gone)
        if any(item.region != region for item in told):
            await link.refuse(f"region {region} may tell only of itself")
        self._directory.hear(Source.MESH, nodes=entries.nodes, streams=entries.streams, gone=entries.gone)

    async def _take_whole(self, link: Link, whole: RegionWhole, region: str) -> None:
        await self._take(link, Entries(nodes=whole.nodes, streams=whole.streams), region)
        self._declared[region] = {item.stream: item for item in whole.names}
        self._directory.whole(region, (entry.ref for entry in whole.nodes), publications(whole.streams))

    # Telling

    def _hello(self) -> MeshHello:
        sheet = self._directory.resources.regions.get(self._settings.region)
        return MeshHello(
            region=self._settings.region,
            director=self._me,
            host="" if sheet is None else sheet.spec.host,
            cluster=self._settings.cluster,
        )

    def _whole(self) -> RegionWhole:
        region, table = self._settings.region, self._directory.table
        return RegionWhole(
            nodes=tuple(entry for entry in table.nodes if entry.region == region),
            streams=tuple(entry for entry in table.streams if entry.region == region),
            names=self._directory.resources.declared_in(region),
        )

    def _tell(self, delta: Delta, source: Source) -> None:
        own = of_region(delta, self._settings.region)
        if own and source is not Source.MESH and self._links:
            self._send(render(as_entries(own)))

    def _tell_whole(self) -> None:
        self._whole_at = self._directory.now
        if self._links:
            self._send(render(self._whole()))

    def _send(self, text: str) -> None:
        for link in self._links:
            link.send_text(text)

    # Dialling

    def _peers(self) -> list[Peer]:
        resources = self._directory.resources
        regions = resources.regions.keys() | resources.mesh_tokens.keys()
        return [self._peer(region) for region in sorted(regions - {self._settings.region})]

    def _peer(self, region: str) -> Peer:
        resources = self._directory.resources
        sheet, token = resources.regions.get(region), resources.mesh_tokens.get(region, "")
        address = "" if sheet is None else sheet.spec.mesh.address
        problem = "NoToken" if not token else "" if address else "NoAddress"
        return Peer(region, address, token, problem)

    def _state(self, peer: Peer) -> PeerState:
        connected = self.reachable(peer.region) and peer.region in self._links.values()
        problem = peer.problem or self._problems.get(peer.region, "NotConnected")
        return PeerState(region=peer.region, connected=connected, reason="" if connected else problem)

    def _dial(self, http: ClientSession) -> None:
        wanted = {peer.region: peer for peer in self._peers() if not peer.problem}
        for region in [region for region, peer in self._dialled.items() if wanted.get(region) != peer]:
            self._dialling.pop(region).cancel()
            del self._dialled[region]
        for region in wanted.keys() - self._dialled.keys():
            self._dialled[region] = wanted[region]
            self._dialling[region] = asyncio.create_task(self._keep_link(wanted[region], http), name=f"mesh {region}")

    async def _keep_link(self, peer: Peer, http: ClientSession) -> None:
        async def attempt() -> None:
            await self._attempt(peer, http)

        await keep_dialling(attempt)

    async def _attempt(self, peer: Peer, http: ClientSession) -> None:
        headers = mesh_headers(peer, self._settings.region)
        url = f"http://{peer.address}/v1/mesh"
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                socket = await http.ws_connect(
                    url, headers=headers, timeout=client_timeout(), max_msg_size=2 * MAX_FRAME
                )
        except WSServerHandshakeError as error:
            self._problems[peer.region] = "TokenRefused" if error.status == UNAUTHORIZED else f"Answered{error.status}"
            return
        except (ClientError, OSError, TimeoutError):
            self._problems[peer.region] = "Unreachable"
            return
        await self.serve(socket, peer.region)
        self._problems[peer.region] = "LinkLost"


def mesh_headers(peer: Peer, region: str) -> dict[str, str]:
    """What a director of `region` presents to one of the peer's."""
    return {"Authorization": f"Bearer {peer.token}", "Rivulet-Region": region}
