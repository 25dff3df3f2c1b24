"""WHIP, WHEP and session requests: who may, which node, and on whom it is passed (docs/contract.md §4).

The public listener and `/v1/pass` of the internal one call the same methods.
"""

import re
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from rivulet_media.director import choice
from rivulet_media.director.answers import Answer, refusal
from rivulet_media.director.directory import Directory
from rivulet_media.director.ice_servers import IceServer, ice_servers
from rivulet_media.director.mesh import Mesh, Peer
from rivulet_media.director.passing import PEER_SECONDS, Call, NoAnswerError, Passing, Source
from rivulet_media.director.resources import Stream
from rivulet_media.director.session_place import SessionPlace
from rivulet_media.director.undeclared import Undeclared
from rivulet_media.errors import NotYetError, RefusedError
from rivulet_media.table import NodeEntry, StreamEntry
from rivulet_media.tokens import Issuer, TokenError, verify
from rivulet_media.wire import render_body

STREAM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
SESSION = re.compile(r"[0-9a-f]{16}")
MOST_TRIES = 3
# OBS waits 8 s for an answer, which may come from another region. An edge waits up to 2 s for a stream's codecs.
ANSWER_SECONDS = 7.0
# Of these a director leaves one to the way back to the director of another region that has passed the request on.
PASSED_SECONDS = 6.0
TRY_SECONDS = 2.5
OK_STATUSES = range(200, 300)
CREATED = 201
UNAVAILABLE = 503
# How long after settling other regions may still be on their way.
MESH_START_SECONDS = 10.0


@dataclass(frozen=True)
class Keys:
    """Secrets that signalling needs."""

    join_token: str
    turn_secret: str


class Signalling:
    """Decides, asks nodes in turn, and makes their answers the region's own."""

    def __init__(self, directory: Directory, mesh: Mesh, passing: Passing, undeclared: Undeclared, keys: Keys) -> None:
        self.placements = choice.Placements()
        self._directory = directory
        self._mesh = mesh
        self._passing = passing
        self._undeclared = undeclared
        self._keys = keys
        self._settled_at: float | None = None

    # Requests

    async def publish(self, call: Call, stream: str, slot: str | None = None) -> Answer:
        """WHIP. `slot`: on this node and no other."""
        self._check_settled()
        until = self._directory.now + _seconds_for(call)
        if not STREAM_NAME.fullmatch(stream):
            raise self._unknown(stream)
        elsewhere = self._slot_region(slot) if slot else self._publishing_region(stream)
        if elsewhere is not None:
            return await self._to_region(elsewhere, _path("whip", stream, slot), call, ANSWER_SECONDS)
        declared, subject = await self._authorise(call, stream)
        if declared.spec.source.pull is not None:
            raise RefusedError("pulled", f"stream {stream!r} is pulled from another server: nobody publishes it here")
        headers = {
            "Rivulet-Subject": subject,
            "Rivulet-Stream-Policy": render_body(declared.policy),
        }
        nodes = self._origins(stream, slot)
        return await self._first_answer(nodes, f"/whip/{stream}", call, headers, until)

    async def play(self, call: Call, stream: str, slot: str | None = None) -> Answer:
        """WHEP. `slot`: on this node and no other."""
        self._check_settled()
        until = self._directory.now + _seconds_for(call)
        elsewhere = self._slot_region(slot) if slot else None
        if elsewhere is not None:
            return await self._to_region(elsewhere, _path("whep", stream, slot), call, ANSWER_SECONDS)
        entry = self._playable(stream)
        if slot:
            return await self._first_answer([self._slot(slot)], f"/whep/{stream}", call, {}, until)
        edges = self._edges(entry)
        if not edges:
            return await self._play_elsewhere(call, stream)
        return await self._first_answer(edges, f"/whep/{stream}", call, {}, until)

    async def session(self, call: Call, place: SessionPlace) -> Answer:
        """What is asked of one session, its events or its layer, at the node that has it."""
        node, path = self._session_node(place), place.path
        if node.region != self._directory.region:
            return await self._to_region(node.region, path, call, ANSWER_SECONDS)
        try:
            return await self._passing.to_node(node, f"/{path}", call, seconds=_seconds_for(call))
        except NoAnswerError as error:
            raise NotYetError("no-node", f"node {node.ref} does not answer: {error}") from error

    def events(self, call: Call, place: SessionPlace, names: str) -> Source:
        """Where one session's events come from; `names`: only these, "" for all."""
        node, path = self._session_node(place), place.path
        if names:
            path += f"?events={quote(names, safe=',')}"
        if node.region != self._directory.region:
            return self._passing.peer_source(self._peer(node.region), path, call, ANSWER_SECONDS)
        return Source(f"http://{node.http}/{path}", {}, _seconds_for(call), f"node {node.ref}", "no-node")

    def _session_node(self, place: SessionPlace) -> NodeEntry:
        """The node that has the session. RefusedError when it is known to be over."""
        node = self._directory.table.node(place.node)
        if node is None:
            raise self._silence_of_others() or RefusedError(
                "not-found", f"no node {place.node} is known; its sessions have ended"
            )
        if not SESSION.fullmatch(place.session):  # it becomes part of an inner URL: nothing else may be reached by it
            raise RefusedError("not-found", f"{place.session[:64]!r} is no session: 16 lower-case hex characters")
        if node.region == self._directory.region and node.state == "down":
            raise RefusedError("ended", f"node {node.ref} is down", reason="failed")
        return node

    async def relay(self, call: Call, slot: str, incarnation: str, stream: str) -> Answer:
        """A relay request of another region's node, for one of ours."""
        node = self._own_node(slot, incarnation)
        if not STREAM_NAME.fullmatch(stream):
            raise RefusedError("not-found", f"{stream[:140]!r} is no stream's name")
        return await self._between_nodes(call, node, f"/relay/{stream}")

    async def links(self, call: Call, slot: str, incarnation: str, part: str) -> Answer:
        """What another region's node asks of a link to one of ours; `part`: of the path, after `/links`."""
        return await self._between_nodes(call, self._own_node(slot, incarnation), f"/links{part}")

    def _own_node(self, slot: str, incarnation: str) -> NodeEntry:
        node = self._directory.table.node(f"{slot}/{incarnation}")
        if node is None or node.region != self._directory.region:
            raise NotYetError("no-node", f"no node {slot}/{incarnation} in region {self._directory.region}")
        return node

    async def _between_nodes(self, call: Call, node: NodeEntry, path: str) -> Answer:
        headers = {"Authorization": f"Bearer {self._keys.join_token}"}
        try:
            return await self._passing.to_node(node, path, call, headers)
        except NoAnswerError as error:
            raise NotYetError("no-node", f"node {node.ref} does not answer: {error}") from error

    async def to_region(self, region: str, path: str, call: Call) -> Answer:
        """What a node of ours asks of another region's node."""
        return await self._to_region(region, path, call, PEER_SECONDS)

    # Answers without a node

    def endpoint(self, stream: str, *, publishing: bool) -> None:
        """GET, HEAD and OPTIONS of an endpoint: refused when there is no such stream."""
        if publishing and (self._open() or self._publishing_region(stream)):
            return
        if not self._known(stream):
            raise self._unknown(stream)

    def public_entry(self, stream: str) -> Mapping[str, object]:
        """What anybody may know of a stream."""
        entry = self._directory.table.stream(stream)
        if entry is not None:
            tracks = [{"kind": track.kind, "codec": track.codec} for track in entry.tracks]
            since = {"since": entry.since, "tracks": tracks}
            return {"stream": stream, "state": entry.state, "region": entry.region, **since}
        region = self._declared_region(stream)
        if region is None:
            raise self._unknown(stream)
        return {"stream": stream, "state": "idle", "region": region, "since": None, "tracks": []}

    def ice_links(self) -> list[str]:
        """`Link` values of this region's TURN servers."""
        return [link for server in self.ice() for link in server.links()]

    def ice(self) -> tuple[IceServer, ...]:
        """This region's TURN servers with fresh credentials."""
        slots = self._directory.resources.turn_slots(self._directory.region)
        return ice_servers(slots, self._keys.turn_secret, time.time())

    def may_publish(self, call: Call, stream: str) -> bool:
        """Whether this call's token opens the stream: for OPTIONS, where a refusal would be no help."""
        declared = self._directory.resources.stream_in(stream, self._directory.region)
        if declared is not None and declared.spec.access.publish == "open":
            return True
        try:
            self._subject(call, stream)
        except RefusedError:
            return False
        return True

    # Who may

    async def _authorise(self, call: Call, stream: str) -> tuple[Stream, str]:
        declared = self._directory.resources.stream_in(stream, self._directory.region)
        if declared is None:
            if not self._open():
                raise self._unknown(stream)
            subject = self._subject(call, stream)
            declared = await self._undeclared.wait(stream, subject)
            if declared is None:
                raise RefusedError(
                    "not-found", f"no Stream {stream!r} was made for it in time; declare it, or try again"
                )
            return declared, subject
        if declared.spec.access.publish == "open" and not call.authorization:
            # Nobody in particular: never the same publisher twice, so nobody takes a living stream from another.
            return declared, f"anonymous-{secrets.token_hex(6)}"
        return declared, self._subject(call, stream)

    def _subject(self, call: Call, stream: str) -> str:
        scheme, _, token = call.authorization.partition(" ")
        if scheme.lower() != "bearer":
            token = ""
        try:
            return verify(token.strip(), self._issuers(), action="publish", stream=stream, now=time.time()).subject
        except TokenError as error:
            raise RefusedError("unauthorized" if error.status == 401 else "forbidden", str(error)) from error  # noqa: PLR2004

    def _issuers(self) -> tuple[Issuer, ...]:
        sheet = self._directory.resources.regions.get(self._directory.region)
        return () if sheet is None else sheet.issuers()

    def _open(self) -> bool:
        sheet = self._directory.resources.regions.get(self._directory.region)
        return sheet is not None and sheet.spec.open_publishing is not None

    # Where

    def _check_settled(self) -> None:
        if not self._directory.settled:
            raise NotYetError("settling", "this director has just started and is still learning what there is")
        if self._settled_at is None:
            self._settled_at = self._directory.now

    def _publishing_region(self, stream: str) -> str | None:
        """The other region that a publisher of this name belongs to; None when it is ours or unknown."""
        if self._directory.resources.stream_in(stream, self._directory.region) is not None:
            return None
        region = self._declared_region(stream)
        return None if region == self._directory.region else region

    def _declared_region(self, stream: str) -> str | None:
        if self._directory.resources.stream_in(stream, self._directory.region) is not None:
            return self._directory.region
        return self._mesh.declaring(stream)

    def _slot_region(self, slot: str) -> str | None:
        region = self._slot(slot).region
        return None if region == self._directory.region else region

    def _slot(self, slot: str) -> NodeEntry:
        node = self._directory.table.slot(slot)
        if node is None:
            raise RefusedError("not-found", f"no node {slot!r} is up")
        return node

    def _known(self, stream: str) -> bool:
        return self._declared_region(stream) is not None or self._directory.table.stream(stream) is not None

    def _unknown(self, stream: str) -> RefusedError:
        return self._silence_of_others() or RefusedError(
            "not-found", f"there is no stream {stream!r}; streams are declared by Stream resources"
        )

    def _silence_of_others(self) -> NotYetError | None:
        """While not all have spoken nobody may say that something is not there."""
        try:
            self._check_settled()
        except NotYetError as settling:
            return settling
        silent = [peer.region for peer in self._mesh.peers() if peer.region not in self._mesh.whole_regions()]
        young = self._settled_at is None or self._directory.now - self._settled_at < MESH_START_SECONDS
        if not silent or not young:
            return None
        return NotYetError("settling", f"this director has just started and has not heard from {', '.join(silent)} yet")

    def _playable(self, stream: str) -> StreamEntry:
        if not STREAM_NAME.fullmatch(stream) or not self._known(stream):
            raise self._unknown(stream)
        entry = self._directory.table.stream(stream)
        if entry is not None and entry.state == "live":
            return entry
        region = self._declared_region(stream) or self._directory.region
        if region != self._directory.region and not self._mesh.reachable(region):
            raise self._unreachable(region, stream)
        raise NotYetError("not-live", f"stream {stream!r} is not live; ask again when its publisher is there")

    def _unreachable(self, region: str, stream: str) -> RefusedError:
        return NotYetError(
            "region-unreachable", f"stream {stream!r} is published in {region}, which is not reached now"
        )

    def _origins(self, stream: str, slot: str | None) -> list[NodeEntry]:
        ranked = choice.origins(self._directory.table, self._directory.region, stream)
        if slot is None:
            return ranked
        holder = choice.holder_of(self._directory.table, stream)
        if holder is not None and holder.node != slot:
            raise RefusedError(
                "name-in-use", f"stream {stream!r} stands at {holder.node}; publish there, or by the region's name"
            )
        return [self._slot(slot)]

    def _edges(self, entry: StreamEntry) -> list[NodeEntry]:
        edges = choice.edges(self._directory.table, self._directory.region)
        if entry.region != self._directory.region and not self._mesh.reachable(entry.region):
            edges = choice.carriers(edges, entry.stream, self._directory.counts)
            if not edges:
                raise self._unreachable(entry.region, entry.stream)
        return self.placements.order(edges, self._directory.counts)

    async def _play_elsewhere(self, call: Call, stream: str) -> Answer:
        regions = choice.regions_with_edges(self._directory.table, self._directory.region)
        for region in regions if not call.passed else ():
            if self._mesh.reachable(region):
                return await self._to_region(region, f"whep/{stream}", call, ANSWER_SECONDS)
        raise NotYetError("no-node", f"no edge of region {self._directory.region} takes viewers now")

    # Asking

    async def _to_region(self, region: str, path: str, call: Call, seconds: float) -> Answer:
        return await self._passing.to_peer(self._peer(region), path, call, seconds=seconds)

    def _peer(self, region: str) -> Peer:
        peer = self._mesh.peer(region)
        if peer is None:
            raise NotYetError("region-unreachable", f"no CDNRegion {region} says where it is reached")
        return peer

    async def _first_answer(
        self, nodes: Iterable[NodeEntry], path: str, call: Call, headers: Mapping[str, str], until: float
    ) -> Answer:
        """The node has the last word: one that is full or does not answer is followed by the next, `until` then."""
        last: Answer | None = None
        tried = list(nodes)[:MOST_TRIES]
        for others, node in zip(reversed(range(len(tried))), tried, strict=True):
            left = until - self._directory.now
            if left <= 0:  # which aiohttp would take for no limit at all
                break
            seconds = min(TRY_SECONDS, left / 2) if others else left
            answer = await self._ask(node, path, call, headers, seconds)
            if answer is not None and answer.status != UNAVAILABLE:
                return self._with_ice(answer)
            last = answer or last
        nobody = f"no node of region {self._directory.region} can take this now"
        return last or refusal(NotYetError("no-node", nobody))

    async def _ask(
        self, node: NodeEntry, path: str, call: Call, headers: Mapping[str, str], seconds: float
    ) -> Answer | None:
        self.placements.begin(node.ref)
        placed = False
        try:
            answer = await self._passing.to_node(node, path, call, headers, seconds=seconds)
            placed = answer.status in OK_STATUSES
        except NoAnswerError:
            return None
        finally:
            self.placements.end(node.ref, self._directory.now, placed=placed)
        return answer

    def _with_ice(self, answer: Answer) -> Answer:
        if answer.status == CREATED:
            for link in self.ice_links():
                answer.headers.add("Link", link)
        return answer


def _seconds_for(call: Call) -> float:
    """How long a client's request may take here."""
    return PASSED_SECONDS if call.passed else ANSWER_SECONDS


def _path(protocol: str, stream: str, slot: str | None) -> str:
    return f"n/{slot}/{protocol}/{stream}" if slot else f"{protocol}/{stream}"
