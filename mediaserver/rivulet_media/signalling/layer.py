"""`/session/{slot}/{incarnation}/{session}/layer`: which of a stream's layers a viewer gets, a WHEP extension.

docs/contract.md §4.2.
"""

import json

from aiohttp import hdrs, web

from rivulet_media.errors import RefusedError
from rivulet_media.sessions import Session
from rivulet_media.signalling.desk import Desk
from rivulet_media.signalling.requests import preflight, read_text
from rivulet_media.signalling.session import SessionResource
from rivulet_media.viewer_events import layers_of

JSON = "application/json"


class LayerChoice:
    """Handlers of a viewer's layer."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._living = SessionResource(desk).living

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Register the routes."""
        path = "/session/{slot}/{incarnation}/{session}/layer"
        router.add_get(path, self.look, allow_head=False)
        router.add_post(path, self.choose)
        router.add_delete(path, self.release)
        router.add_options(path, self.options)

    async def look(self, request: web.Request) -> web.Response:
        """GET: the layers that there are, and which one is chosen and sent."""
        session = self._viewer(request)
        return web.json_response(layers_of(session, self._desk.table.table.stream(session.stream)) or {})

    async def choose(self, request: web.Request) -> web.Response:
        """POST: this layer, from its next key frame on."""
        session = self._viewer(request)
        rid = _rid(await read_text(request, JSON))
        self._check_known(session, rid)
        self._choose(session, rid)
        return web.Response(status=200)

    async def release(self, request: web.Request) -> web.Response:
        """DELETE: the best that the viewer's path carries."""
        self._choose(self._viewer(request), None)
        return web.Response(status=200)

    async def options(self, _: web.Request) -> web.Response:
        """OPTIONS: CORS."""
        return preflight(**{"Accept-Post": JSON, hdrs.ALLOW: "GET, POST, DELETE, OPTIONS"})

    def _choose(self, session: Session, rid: str | None) -> None:
        self._desk.engine.choose_layer(session.id, rid)
        session.chosen_layer = rid
        self._desk.events.layers_changed(session)

    def _check_known(self, session: Session, rid: str) -> None:
        entry = self._desk.table.table.stream(session.stream)
        known = [layer.rid for track in entry.tracks for layer in track.layers or ()] if entry else []
        if rid not in known:
            there = f"it has {', '.join(known)}" if known else "it has no layers"
            raise RefusedError("bad-request", f"{session.stream} has no layer of this name: {there}")

    def _viewer(self, request: web.Request) -> Session:
        session = self._living(request)
        if session.kind != "viewer":
            raise RefusedError("not-found", "only viewers choose layers")
        return session


def _rid(text: str) -> str:
    try:
        wish = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RefusedError("bad-request", 'the body is not JSON: send {"encodingId": RID}') from error
    rid = wish.get("encodingId", wish.get("rid")) if isinstance(wish, dict) else None
    if not isinstance(rid, str):
        raise RefusedError("bad-request", 'the body must name a layer: {"encodingId": RID}')
    return rid
