"""`/whip/{stream}`: publishers, let in by a director (RFC 9725)."""

from aiohttp import hdrs, web

from rivulet_media._engine import EngineError
from rivulet_media.errors import RefusedError
from rivulet_media.publishing import WhipOffer
from rivulet_media.signalling.answers import created
from rivulet_media.signalling.desk import Desk
from rivulet_media.signalling.requests import SDP, check_token, preflight, read_text, refusal_of, stream_name
from rivulet_media.tracks import offered_codecs
from rivulet_media.wire import StreamPolicy, parse_body
from rivulet_media.wire_codec import WireError


class Whip:
    """Handlers of the endpoint."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Register the routes."""
        router.add_post("/whip/{stream}", self.publish)
        router.add_get("/whip/{stream}", self.look)
        router.add_options("/whip/{stream}", self.options)

    async def publish(self, request: web.Request) -> web.Response:
        """POST: a publisher's offer, with the subject and the Stream's policy as the director says."""
        desk, stream = self._desk, stream_name(request)
        check_token(request.headers.get("Rivulet-Join"), desk.join_token, "publishing straight to a node")
        entry = desk.admission.check()
        if entry.role != "origin":
            raise RefusedError("wrong-role", f"{entry.node} is an {entry.role}; publish through the region's director")
        subject, policy = _subject(request), _policy(request, stream)
        sdp = await read_text(request, SDP)
        desk.admission.check()
        try:
            session, answer = desk.publishing.publish(WhipOffer(stream, subject, policy, sdp))
        except EngineError as error:
            raise refusal_of(error, accepted=list(policy.codecs), offered=offered_codecs(sdp)) from error
        return created(session, entry.ref, answer)

    async def look(self, request: web.Request) -> web.Response:
        """GET, HEAD: the endpoint is here."""
        stream_name(request)
        return web.Response(status=204, headers={"Accept-Post": SDP})

    async def options(self, request: web.Request) -> web.Response:
        """OPTIONS: CORS, and what may be posted."""
        stream_name(request)
        return preflight(**{"Accept-Post": SDP, hdrs.ALLOW: "POST, GET, HEAD, OPTIONS"})


def _subject(request: web.Request) -> str:
    subject = request.headers.get("Rivulet-Subject", "")
    if not subject:
        raise RefusedError("bad-request", "header Rivulet-Subject is missing: who publishes?")
    return subject


def _policy(request: web.Request, stream: str) -> StreamPolicy:
    text = request.headers.get("Rivulet-Stream-Policy")
    if not text:
        return StreamPolicy(stream=stream)
    try:
        return parse_body(StreamPolicy, text)
    except WireError as error:
        raise RefusedError("bad-request", f"header Rivulet-Stream-Policy: {error}") from error
