"""S5: how often a client may ask this node, and how often anybody may ask of one session."""

from aiohttp import web

from rivulet_media.errors import NotYetError
from rivulet_media.rate_limit import Rate, RateLimit, of_address
from rivulet_media.signalling.desk import Desk
from rivulet_media.signalling.requests import Handler, is_ours

# Of those who reach a node without a director; directors have limits of their own and speak for thousands.
PER_CLIENT = Rate(per_second=100, burst=1000)
# A client trickles a few candidates and restarts now and then.
PER_SESSION = Rate(per_second=5, burst=50)
_PROBES = ("/healthz", "/readyz", "/metrics", "/v1/table")


class Limits:
    """A middleware: over a limit, 429 and when to come again."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._clients = RateLimit(PER_CLIENT)
        self._sessions = RateLimit(PER_SESSION)

    @web.middleware
    async def check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let the request pass, or refuse it."""
        if request.path in _PROBES:
            return await handler(request)
        now, session = self._desk.clock(), request.match_info.get("session")
        if not is_ours(request, self._desk.join_token):
            _refuse(self._clients.wait(of_address(request.remote or ""), now), "this address asks too often")
        if session is not None and self._desk.sessions.get(session) is not None:
            _refuse(self._sessions.wait(session, now), "this session is asked for too often")
        return await handler(request)


def _refuse(wait: int, what: str) -> None:
    if wait:
        raise NotYetError("too-many-requests", f"{what}; come again in {wait} s", retry_after=wait)
