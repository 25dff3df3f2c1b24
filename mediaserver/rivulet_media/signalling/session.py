"""`/session/{slot}/{incarnation}/{session}`: one session's life after its POST."""

from aiohttp import hdrs, web

from rivulet_media.errors import RefusedError
from rivulet_media.sessions import Ended, Session
from rivulet_media.signalling.desk import Desk
from rivulet_media.signalling.requests import SDP_FRAGMENT, preflight, read_text
from rivulet_media.tracks import ice_user

_PATH = "/session/{slot}/{incarnation}/{session}"
_ANY_TAG = ("*", '"*"')


class SessionResource:
    """Handlers of session URLs."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Register the routes."""
        router.add_get(_PATH, self.look)
        router.add_patch(_PATH, self.patch)
        router.add_delete(_PATH, self.delete)
        router.add_options(_PATH, self.options)

    async def look(self, request: web.Request) -> web.Response:
        """GET, HEAD: 200 while it lives, then 410 with the reason."""
        return web.Response(status=200, headers={"ETag": self.living(request).etag})

    async def delete(self, request: web.Request) -> web.Response:
        """DELETE: over at once, whatever the entity tag. A publisher whose session broke may still say so."""
        found = self._find(request)
        session = found.session if isinstance(found, Ended) else found
        over = session.kind == "publisher" and self._desk.publishing.deleted(session)
        if not over and isinstance(found, Ended):
            raise _gone(found)
        if not over:
            self._desk.closing.close(session.id, "deleted")
        return web.Response(status=200)

    async def patch(self, request: web.Request) -> web.Response:
        """PATCH: a candidate (204) or an ICE restart (200, with If-Match)."""
        session = self.living(request)
        fragment = await read_text(request, SDP_FRAGMENT)
        user = ice_user(fragment)
        restart = bool(user) and user != session.ice_user
        _check_tag(request.headers.get(hdrs.IF_MATCH), session, restart=restart)
        self.living(request)
        answer = self._desk.engine.patch(session.id, fragment)
        if answer is None:
            return web.Response(status=204)
        session.ice_user = user
        session.restarts += 1
        headers = {"Content-Type": SDP_FRAGMENT, "ETag": session.etag}
        return web.Response(status=200, headers=headers, body=answer.encode())

    async def options(self, _: web.Request) -> web.Response:
        """OPTIONS: CORS."""
        return preflight(**{"Accept-Patch": SDP_FRAGMENT, hdrs.ALLOW: "GET, HEAD, PATCH, DELETE, OPTIONS"})

    def _find(self, request: web.Request) -> Session | Ended:
        desk, path = self._desk, request.match_info
        ref = f"{path['slot']}/{path['incarnation']}"
        if ref != desk.table.ref:
            raise RefusedError("not-found", f"this is {desk.table.ref or 'a node that has not joined'}, not {ref}")
        found = desk.sessions.get(path["session"]) or desk.sessions.ended(path["session"], desk.clock())
        if found is None:
            raise RefusedError("not-found", "no such session; one that has ended is remembered for 10 minutes")
        return found

    def living(self, request: web.Request) -> Session:
        """The session that a request's path names, if it lives. RefusedError `not-found`, `ended`."""
        found = self._find(request)
        if isinstance(found, Ended):
            raise _gone(found)
        return found


def _gone(ended: Ended) -> RefusedError:
    return RefusedError("ended", f"the session has ended: {ended.reason}", reason=ended.reason)


def _check_tag(given: str | None, session: Session, *, restart: bool) -> None:
    """RFC 9725 §4.3.1 wants If-Match; players that trickle without it are let through, restarts are not."""
    if given is None:
        if restart:
            raise RefusedError("if-match-required", 'an ICE restart needs If-Match: "*" or the session\'s ETag')
        return
    if given.strip() not in (*_ANY_TAG, session.etag):
        raise RefusedError("stale-etag", "If-Match names an ICE session that was replaced; its new tag is in the ETag")
