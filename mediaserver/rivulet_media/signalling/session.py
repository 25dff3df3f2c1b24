"""`/session/{slot}/{incarnation}/{session}`: one session's life after its POST."""

from collections.abc import Sequence

from aiohttp import hdrs, web

from rivulet_media.errors import RefusedError, StaleTagError
from rivulet_media.sessions import Ended, Session
from rivulet_media.signalling.desk import Desk
from rivulet_media.signalling.requests import SDP_FRAGMENT, preflight, read_text

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
        """PATCH: a candidate (204) or an ICE restart (200), under the entity tag of the ICE session that is meant."""
        session = self.living(request)
        fragment = await read_text(request, SDP_FRAGMENT)
        self.living(request)
        _check_tag(request.headers.getall(hdrs.IF_MATCH, []), session)
        answer = self._desk.engine.patch(session.id, fragment)
        if answer is None:
            return web.Response(status=204)
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


def _check_tag(given: Sequence[str], session: Session) -> None:
    """RFC 9725 §4.3.1 and RFC 9110 §13.1.1: PATCH names its ICE session; `*`, which many write as `"*"`, is any."""
    tags = [tag.strip() for header in given for tag in header.split(",")]
    if not tags:
        raise RefusedError(
            "if-match-required", 'PATCH needs If-Match: the session\'s ETag, or "*" to restart ICE (RFC 9725 §4.3.1)'
        )
    if not set(tags) & {*_ANY_TAG, session.etag}:
        raise StaleTagError("If-Match names an ICE session that was replaced; its new tag is in the ETag", session.etag)
