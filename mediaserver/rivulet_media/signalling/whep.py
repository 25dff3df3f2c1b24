"""`/whep/{stream}`: viewers. An edge answers from the stream's table entry, while the relay is being opened."""

import re

from aiohttp import hdrs, web

from rivulet_media._engine import EngineError
from rivulet_media.errors import NotYetError, RefusedError
from rivulet_media.sessions import Session
from rivulet_media.signalling.answers import created
from rivulet_media.signalling.desk import Desk
from rivulet_media.signalling.requests import SDP, client_of, preflight, read_text, refusal_of, stream_name
from rivulet_media.table import NodeEntry, StreamEntry
from rivulet_media.tracks import named, offered_codecs, to_engine

TRACKS_SECONDS = 2.0
_RID = re.compile(r"[A-Za-z0-9_-]{1,16}")


class Whep:
    """Handlers of the endpoint."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Register the routes."""
        router.add_post("/whep/{stream}", self.play)
        router.add_get("/whep/{stream}", self.look)
        router.add_options("/whep/{stream}", self.options)

    async def play(self, request: web.Request) -> web.Response:
        """POST: a viewer's offer."""
        desk, stream = self._desk, stream_name(request)
        self._standing(stream)
        client = client_of(request, desk.join_token)
        desk.admission.check_viewer(client)
        sdp = await read_text(request, SDP)
        entry = await self._with_tracks(stream)
        node = desk.admission.check_viewer()
        layer = _asked_layer(request)
        try:
            session_id, answer = desk.engine.play(stream, to_engine(entry.tracks), sdp, layer=layer)
        except EngineError as error:
            raise refusal_of(error, published=named(entry.tracks), offered=offered_codecs(sdp)) from error
        session = Session(session_id, "viewer", stream, client=client, chosen_layer=layer)
        desk.sessions.add(session)
        if entry.origin != node.ref:
            desk.relaying.watch(stream)
        return created(session, node.ref, answer)

    async def look(self, request: web.Request) -> web.Response:
        """GET, HEAD: 2xx without content when the stream is known."""
        stream = stream_name(request)
        if self._desk.table.table.stream(stream) is None:
            raise _unknown(stream)
        if request.method == hdrs.METH_HEAD:
            return web.Response(status=200, headers={"Content-Type": SDP, "Accept-Post": SDP})
        return web.Response(status=204, headers={"Accept-Post": SDP})

    async def options(self, request: web.Request) -> web.Response:
        """OPTIONS: CORS, and what may be posted."""
        stream_name(request)
        return preflight(**{"Accept-Post": SDP, hdrs.ALLOW: "POST, GET, HEAD, OPTIONS"})

    # Which streams play here

    def _standing(self, stream: str) -> StreamEntry:
        """The entry, if a viewer may have it from this node now."""
        desk = self._desk
        entry, node = desk.table.table.stream(stream), desk.table.entry
        if node is None:
            raise NotYetError("settling", "this node has not joined its region yet: no director has answered")
        if entry is None:
            raise _unknown(stream)
        own = entry.origin == node.ref
        if node.role == "origin" and not own:
            detail = f"{stream} is published on {entry.origin.partition('/')[0]}; an origin plays its own streams only"
            raise RefusedError("not-here", f"{detail}: ask an edge")
        if entry.state != "live" and not (entry.state == "lost" and (own or desk.relaying.carries(stream))):
            raise NotYetError("not-live", f"{stream} is not live now ({entry.state}); ask again")
        if not own and not desk.relaying.carries(stream):
            self._check_parent(entry, node)
        return entry

    def _check_parent(self, entry: StreamEntry, node: NodeEntry) -> None:
        """A new relay needs an origin that takes one."""
        origin = self._desk.table.table.node(entry.origin)
        if origin is None or origin.state in ("down", "draining"):
            detail = f"{entry.stream} is on {entry.origin.partition('/')[0]}, which takes no new relays now"
            raise NotYetError("no-node", f"{detail}; {node.node} does not carry it yet")

    async def _with_tracks(self, stream: str) -> StreamEntry:
        """The same with its codecs, which follow the first packets: wait for them, not for long."""
        desk = self._desk
        deadline = desk.clock() + TRACKS_SECONDS
        entry = self._standing(stream)
        while not entry.tracks:
            left = deadline - desk.clock()
            if left <= 0 or not await desk.table.change(left):
                raise NotYetError(
                    "not-live", f"{stream} has only just begun: its codecs are not known yet", retry_after=1
                )
            entry = self._standing(stream)
        return entry


def _asked_layer(request: web.Request) -> str | None:
    """`?layer=` of those who cannot ask later; a director passes it on as a header."""
    rid = request.query.get("layer") or request.headers.get("Rivulet-Layer") or ""
    return rid if _RID.fullmatch(rid) else None


def _unknown(stream: str) -> RefusedError:
    return RefusedError("not-found", f"nobody publishes {stream}, and nobody did a minute ago")
