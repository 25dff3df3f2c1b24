"""The public listener (docs/contract.md §4): what browsers, encoders and players reach."""

import asyncio
import importlib.resources
from collections.abc import Mapping
from dataclasses import replace

from aiohttp import web
from multidict import CIMultiDict

from rivulet_media.director import choice
from rivulet_media.director.answers import Handler, json_answer, refusals, response
from rivulet_media.director.balancer import RoundRobin, server_list
from rivulet_media.director.directory import Directory
from rivulet_media.director.event_streams import EventStreams, Reader
from rivulet_media.director.passing import Call
from rivulet_media.director.resources import Limits
from rivulet_media.director.session_place import SessionPart, SessionPlace
from rivulet_media.director.signalling import Signalling
from rivulet_media.errors import NotYetError, RefusedError
from rivulet_media.problems import MAX_BODY
from rivulet_media.rate_limit import Rate, RateLimit, of_address

BODY_SECONDS = 10.0
# What a client may ask at once, after a silence: this many seconds' worth of its rate.
BURST_SECONDS = 4
# Requests that are being answered: most of them wait for a node.
MOST_IN_FLIGHT = 2000
_PROBES = ("/healthz", "/readyz")
SDP = "application/sdp"
SCRIPT = "whip-whep.js"
SDP_FRAGMENT = "application/trickle-ice-sdpfrag"
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Location, ETag, Link, Retry-After",
}
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PATCH, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match, Accept",
    "Access-Control-Max-Age": "86400",
}


async def read_call(request: web.Request, *, authorization: str, client: str, passed: bool = False) -> Call:
    """The request as it may be passed on; the body has 10 s to come."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await request.read()
    except TimeoutError as error:
        raise RefusedError("bad-request", f"the body did not come within {BODY_SECONDS:g} s") from error
    call = Call.of(request.method, request.headers, body)
    if layer := request.query.get("layer"):
        call = replace(call, headers={**call.headers, "Rivulet-Layer": layer[:16]})
    _check_words(call.headers, authorization)
    return Call(call.method, call.headers, body, authorization, client, passed)


def _check_words(headers: Mapping[str, str], authorization: str) -> None:
    """What is passed on becomes a header again, which not every query or every byte of a client's header may be."""
    if not _fits_header(authorization):
        raise RefusedError("unauthorized", "the token has characters that no token has")
    for name, text in headers.items():
        if not _fits_header(text):
            what = "?layer=" if name == "Rivulet-Layer" else f"header {name}"
            raise RefusedError("bad-request", f"{what} has characters that no header may have")


def _fits_header(text: str) -> bool:
    return text.replace("\t", " ").isprintable()


def session_place(request: web.Request, part: SessionPart = "") -> SessionPlace:
    """The session that the path names."""
    info = request.match_info
    return SessionPlace(info["slot"], info["incarnation"], info["session"], part)


class FrontDoor:
    """Routes of the public listener."""

    def __init__(self, directory: Directory, signalling: Signalling, event_streams: EventStreams) -> None:
        self._directory = directory
        self._signalling = signalling
        self._event_streams = event_streams
        self._round_robin = RoundRobin()
        self._requests = RateLimit(Rate(0, 0))
        self._in_flight = 0

    def application(self) -> web.Application:
        """The listener's application; bodies over 64 KiB are refused."""
        app = web.Application(middlewares=[refusals, self._limited], client_max_size=MAX_BODY)
        app.on_response_prepare.append(_allow_all_origins)
        for prefix in ("", "/n/{slot}"):
            for protocol in ("whip", "whep"):
                self._add_endpoint(app, f"{prefix}/{protocol}/{{stream}}", protocol)
        session = "/session/{slot}/{incarnation}/{session}"
        for method in ("GET", "HEAD", "PATCH", "DELETE"):
            app.router.add_route(method, session, self._session)
        app.router.add_route("OPTIONS", session, self._session_options)
        app.router.add_get(f"{session}/events", self._events, allow_head=False)
        app.router.add_post(f"{session}/events", self._choose_events)
        app.router.add_route("OPTIONS", f"{session}/events", self._events_options)
        for method in ("GET", "POST", "DELETE"):
            app.router.add_route(method, f"{session}/layer", self._layer)
        app.router.add_route("OPTIONS", f"{session}/layer", self._events_options)
        app.router.add_get("/", self._balancer)
        app.router.add_get("/v1/ice-servers", self._ice_servers)
        app.router.add_get("/v1/streams/{stream}", self._stream)
        app.router.add_get("/{page:publish|play}/{stream}", _page)
        app.router.add_get(f"/pages/{SCRIPT}", _script)
        app.router.add_get("/healthz", _healthy)
        app.router.add_get("/readyz", self._ready)
        return app

    def _add_endpoint(self, app: web.Application, path: str, protocol: str) -> None:
        app.router.add_post(path, self._publish if protocol == "whip" else self._play)
        app.router.add_get(path, self._endpoint, allow_head=True)
        app.router.add_route("OPTIONS", path, self._endpoint_options)

    # WHIP and WHEP

    async def _publish(self, request: web.Request) -> web.Response:
        call = await self._client_call(request)
        info = request.match_info
        return response(await self._signalling.publish(call, info["stream"], info.get("slot")))

    async def _play(self, request: web.Request) -> web.Response:
        call = await self._client_call(request)
        info = request.match_info
        return response(await self._signalling.play(call, info["stream"], info.get("slot")))

    async def _endpoint(self, request: web.Request) -> web.Response:
        self._signalling.endpoint(request.match_info["stream"], publishing="/whip/" in request.path)
        headers = {"Accept-Post": SDP}
        if request.method == "HEAD":
            return web.Response(status=200, headers={**headers, "Content-Type": SDP})
        return web.Response(status=204, headers=headers)

    async def _endpoint_options(self, request: web.Request) -> web.Response:
        """A pre-flight brings no token and gets no credentials; another OPTIONS with the right to use them does."""
        headers = CIMultiDict({"Accept-Post": SDP, **PREFLIGHT})
        stream = request.match_info["stream"]
        if "Access-Control-Request-Method" not in request.headers and await self._may_use(request, stream):
            for link in self._signalling.ice_links():
                headers.add("Link", link)
        return web.Response(status=200, headers=headers)

    async def _may_use(self, request: web.Request, stream: str) -> bool:
        if "/whep/" in request.path:
            return True
        return self._signalling.may_publish(await self._client_call(request), stream)

    async def _session(self, request: web.Request) -> web.Response:
        call = await self._client_call(request)
        return response(await self._signalling.session(call, session_place(request)))

    async def _session_options(self, _: web.Request) -> web.Response:
        return web.Response(status=200, headers={"Accept-Patch": SDP_FRAGMENT, **PREFLIGHT})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        call, place = await self._client_call(request), session_place(request, "events")
        source = self._signalling.events(call, place, request.query.get("events", ""))
        return await self._event_streams.pass_on(request, source, Reader(place.session, call.client))

    async def _choose_events(self, request: web.Request) -> web.Response:
        call = await self._client_call(request)
        return response(await self._signalling.session(call, session_place(request, "events")))

    async def _layer(self, request: web.Request) -> web.Response:
        call = await self._client_call(request)
        return response(await self._signalling.session(call, session_place(request, "layer")))

    async def _events_options(self, _: web.Request) -> web.Response:
        return web.Response(status=200, headers={"Accept-Post": "application/json", **PREFLIGHT})

    # The rest

    @web.middleware
    async def _limited(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """S5: over a client's rate 429, over what this director serves at once 503; probes always pass."""
        if request.path in _PROBES:
            return await handler(request)
        if per_second := self._requests_per_second():
            self._check_rate(request.remote or "", per_second)
        if self._in_flight >= MOST_IN_FLIGHT:
            raise NotYetError("full", f"this director is busy with {MOST_IN_FLIGHT} requests; ask again")
        if request.match_info.handler == self._events:  # these stay open and have a limit of their own
            return await handler(request)
        self._in_flight += 1
        try:
            return await handler(request)
        finally:
            self._in_flight -= 1

    def _check_rate(self, address: str, per_second: int) -> None:
        self._requests.rate = Rate(per_second, per_second * BURST_SECONDS)
        wait = self._requests.wait(of_address(address), self._directory.now)
        if wait:
            raise NotYetError(
                "too-many-requests", f"this address asks too often; come again in {wait} s", retry_after=wait
            )

    async def _client_call(self, request: web.Request) -> Call:
        """The client's request; its token may also come as `?token=`, for encoders that know only a URL."""
        token = request.query.get("token")
        authorization = request.headers.get("Authorization") or (f"Bearer {token}" if token else "")
        client = request.remote or "" if self._requests_per_second() else ""
        return await read_call(request, authorization=authorization, client=client)

    def _requests_per_second(self) -> int:
        sheet = self._directory.resources.regions.get(self._directory.region)
        return (Limits() if sheet is None else sheet.spec.limits).requests_per_second

    async def _balancer(self, request: web.Request) -> web.Response:
        sheet = self._directory.resources.regions.get(self._directory.region)
        asked = request.query.get("action") == "server_list"
        if not asked or sheet is None or not sheet.spec.balancer.enabled:
            raise RefusedError("not-found", "nothing here; the classic /?action=server_list is off in this region")
        if not self._directory.settled:
            raise NotYetError("settling", "this director has just started and is still learning what there is")
        edge = self._round_robin.next(choice.edges(self._directory.table, self._directory.region))
        if edge is None:
            raise NotYetError("no-node", f"no edge of region {self._directory.region} takes viewers now")
        return response(json_answer(server_list(sheet, edge.node).as_json()))

    async def _ice_servers(self, _: web.Request) -> web.Response:
        servers = [server.as_json() for server in self._signalling.ice()]
        return response(json_answer({"iceServers": servers}))

    async def _stream(self, request: web.Request) -> web.Response:
        return response(json_answer(self._signalling.public_entry(request.match_info["stream"])))

    async def _ready(self, _: web.Request) -> web.Response:
        if not self._directory.settled:
            raise NotYetError("settling", "this director is still learning what there is")
        return web.Response(text="ok")


async def _page(request: web.Request) -> web.Response:
    """A page finds its stream in its own address, so it is the same text for all."""
    return _file(f"{request.match_info['page']}.html", "text/html")


async def _script(_: web.Request) -> web.Response:
    return _file(SCRIPT, "text/javascript")


def _file(name: str, content_type: str) -> web.Response:
    """One of our pages' files: never kept by browsers without asking, so that page and script are of one version."""
    file = importlib.resources.files("rivulet_media.pages") / name
    if not file.is_file():
        raise RefusedError("not-found", "this installation has no pages")
    headers = {"Cache-Control": "no-cache"}
    return web.Response(text=file.read_text("utf-8"), content_type=content_type, charset="utf-8", headers=headers)


async def _healthy(_: web.Request) -> web.Response:
    return web.Response(text="ok")


async def _allow_all_origins(_: web.Request, answer: web.StreamResponse) -> None:
    answer.headers.update(CORS)
