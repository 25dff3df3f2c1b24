"""The internal listener (docs/contract.md §6): nodes, siblings, other regions' directors and the operator."""

from dataclasses import dataclass, replace

from aiohttp import web

from rivulet_media import shared_secret
from rivulet_media.director.answers import json_answer, refusals, response
from rivulet_media.director.directory import Directory
from rivulet_media.director.event_streams import EventStreams, Reader
from rivulet_media.director.front_door import read_call, session_place
from rivulet_media.director.joining import JoinRefusedError
from rivulet_media.director.mesh import Mesh
from rivulet_media.director.metrics import DirectorMetrics
from rivulet_media.director.node_links import NodeLinks
from rivulet_media.director.operator_link import OperatorLinks
from rivulet_media.director.passing import Call
from rivulet_media.director.settings import Settings
from rivulet_media.director.siblings import Siblings
from rivulet_media.director.signalling import SESSION, Signalling
from rivulet_media.errors import NotYetError, RefusedError
from rivulet_media.frame_link import server_socket
from rivulet_media.wire import DirectorState, Hello, parse_body, render_body, table_body
from rivulet_media.wire_codec import WireError, encode

HELLO_BYTES = 64 * 1024


@dataclass(frozen=True)
class Internal:
    """Routes of the internal listener; every one but health and metrics needs its token."""

    settings: Settings
    directory: Directory
    nodes: NodeLinks
    siblings: Siblings
    mesh: Mesh
    operators: OperatorLinks
    signalling: Signalling
    event_streams: EventStreams
    metrics: DirectorMetrics
    me: str

    def application(self) -> web.Application:
        """The listener's application."""
        app = web.Application(middlewares=[refusals], client_max_size=HELLO_BYTES)
        router = app.router
        router.add_post("/v1/join", self._join)
        router.add_get("/v1/link", self._link)
        router.add_get("/v1/sibling", self._sibling)
        router.add_get("/v1/mesh", self._mesh)
        router.add_get("/v1/operator", self._operator)
        router.add_post("/v1/relay/{region}/{slot}/{incarnation}/{stream}", self._relay_out)
        router.add_delete("/v1/relay/{region}/session/{slot}/{incarnation}/{session}", self._relay_out_end)
        for prefix, handler in (
            ("/v1/links/{region}/{slot}/{incarnation}", self._links_out),
            ("/v1/pass/links/{slot}/{incarnation}", self._passed_links),
        ):
            router.add_post(prefix, handler)
            router.add_get(f"{prefix}/{{link}}", handler, allow_head=False)
            router.add_post(f"{prefix}/{{link}}/legs", handler)
        for prefix in ("/v1/pass", "/v1/pass/n/{slot}"):
            router.add_post(f"{prefix}/whip/{{stream}}", self._passed_publish)
            router.add_post(f"{prefix}/whep/{{stream}}", self._passed_play)
        passed_session = "/v1/pass/session/{slot}/{incarnation}/{session}"
        router.add_route("*", passed_session, self._passed_session)
        router.add_get(f"{passed_session}/events", self._passed_events, allow_head=False)
        router.add_post(f"{passed_session}/events", self._passed_choice_of_events)
        router.add_route("*", f"{passed_session}/layer", self._passed_layer)
        router.add_post("/v1/pass/relay/{slot}/{incarnation}/{stream}", self._passed_relay)
        router.add_get("/v1/table", self._table)
        router.add_get("/v1/turn-peers", self._turn_peers)
        router.add_get("/metrics", self._metrics)
        router.add_get("/healthz", _healthy)
        router.add_get("/readyz", self._ready)
        return app

    # Nodes and directors of this region

    async def _join(self, request: web.Request) -> web.Response:
        _require(request, self.settings.join_token)
        try:
            hello = parse_body(Hello, await request.read())
            welcome = self.nodes.join(hello, request.remote or "")
        except WireError as error:
            raise RefusedError("bad-request", f"hello: {error}") from error
        except JoinRefusedError as refused:
            raise RefusedError("name-in-use", str(refused)) from refused
        return response(json_answer(encode(welcome)))

    async def _link(self, request: web.Request) -> web.WebSocketResponse:
        _require(request, self.settings.join_token)
        socket = server_socket()
        await socket.prepare(request)
        await self.nodes.serve(socket, request.remote or "")
        return socket

    async def _sibling(self, request: web.Request) -> web.WebSocketResponse:
        _require(request, self.settings.join_token)
        socket = server_socket()
        await socket.prepare(request)
        await self.siblings.serve(socket, f"from {request.remote}")
        return socket

    async def _relay_out(self, request: web.Request) -> web.Response:
        _require(request, self.settings.join_token)
        info = request.match_info
        path = f"relay/{info['slot']}/{info['incarnation']}/{info['stream']}"
        call = await read_call(request, authorization="", client=request.remote or "")
        return response(await self.signalling.to_region(info["region"], path, call))

    async def _relay_out_end(self, request: web.Request) -> web.Response:
        _require(request, self.settings.join_token)
        info = request.match_info
        path = f"session/{info['slot']}/{info['incarnation']}/{info['session']}"
        call = await read_call(request, authorization="", client=request.remote or "")
        return response(await self.signalling.to_region(info["region"], path, call))

    async def _links_out(self, request: web.Request) -> web.Response:
        _require(request, self.settings.join_token)
        info = request.match_info
        path = f"links/{info['slot']}/{info['incarnation']}{_part_of_link(request)}"
        call = await read_call(request, authorization="", client=request.remote or "")
        return response(await self.signalling.to_region(info["region"], path, call))

    async def _table(self, request: web.Request) -> web.Response:
        _require(request, self.settings.join_token)
        body = table_body(
            self.directory.table,
            me=self.me,
            state="up" if self.directory.settled else "settling",
            directors=tuple(DirectorState(url=url, state="linked") for url in self.siblings.urls[:1]),
            unreachable=self.mesh.unreachable(),
        )
        own = replace(body, region=self.directory.region)
        return web.Response(text=render_body(own), content_type="application/json")

    async def _turn_peers(self, request: web.Request) -> web.Response:
        _require(request, self.settings.join_token)
        peers = {entry.pod.ip for entry in self.directory.own_nodes() if entry.state != "down"}
        return response(json_answer({"peers": sorted(peers)}))

    # The operator

    async def _operator(self, request: web.Request) -> web.WebSocketResponse:
        _require(request, self.settings.operator_token)
        socket = server_socket()
        await socket.prepare(request)
        await self.operators.serve(socket)
        return socket

    # Other regions

    async def _mesh(self, request: web.Request) -> web.WebSocketResponse:
        region = self._require_mesh(request)
        if not self.directory.settled:
            raise NotYetError("settling", "this director has just started and keeps off the mesh")
        socket = server_socket()
        await socket.prepare(request)
        await self.mesh.serve(socket, region)
        return socket

    async def _passed_publish(self, request: web.Request) -> web.Response:
        call, info = await self._passed_call(request), request.match_info
        return response(await self.signalling.publish(call, info["stream"], info.get("slot")))

    async def _passed_play(self, request: web.Request) -> web.Response:
        call, info = await self._passed_call(request), request.match_info
        return response(await self.signalling.play(call, info["stream"], info.get("slot")))

    async def _passed_session(self, request: web.Request) -> web.Response:
        call = await self._passed_call(request)
        return response(await self.signalling.session(call, session_place(request)))

    async def _passed_events(self, request: web.Request) -> web.StreamResponse:
        call, place = await self._passed_call(request), session_place(request, "events")
        source = self.signalling.events(call, place, request.query.get("events", ""))
        return await self.event_streams.pass_on(request, source, Reader(place.session, call.client))

    async def _passed_choice_of_events(self, request: web.Request) -> web.Response:
        call = await self._passed_call(request)
        return response(await self.signalling.session(call, session_place(request, "events")))

    async def _passed_layer(self, request: web.Request) -> web.Response:
        call = await self._passed_call(request)
        return response(await self.signalling.session(call, session_place(request, "layer")))

    async def _passed_relay(self, request: web.Request) -> web.Response:
        call, info = await self._passed_call(request), request.match_info
        return response(await self.signalling.relay(call, info["slot"], info["incarnation"], info["stream"]))

    async def _passed_links(self, request: web.Request) -> web.Response:
        call, info = await self._passed_call(request), request.match_info
        part = _part_of_link(request)
        return response(await self.signalling.links(call, info["slot"], info["incarnation"], part))

    async def _passed_call(self, request: web.Request) -> Call:
        self._require_mesh(request)
        authorization = request.headers.get("Rivulet-Authorization", "")
        client = request.headers.get("Rivulet-Client", "")
        return await read_call(request, authorization=authorization, client=client, passed=True)

    def _require_mesh(self, request: web.Request) -> str:
        region = request.headers.get("Rivulet-Region", "")
        _require(request, self.mesh.token(region) or "")
        return region

    # Probes

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self.metrics.render(), headers={"Content-Type": "text/plain; version=0.0.4"})

    async def _ready(self, _: web.Request) -> web.Response:
        if not self.directory.settled:
            raise NotYetError("settling", "this director is still learning what there is")
        return web.Response(text="ok")


def _require(request: web.Request, token: str) -> None:
    """The bearer token, compared in constant time; where none is set, none fits."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if not token or scheme.lower() != "bearer" or not shared_secret.fits(given.strip(), token):
        raise RefusedError("unauthorized", f"{request.path} needs its token as `Authorization: Bearer …`")


def _part_of_link(request: web.Request) -> str:
    """What a path says after the node: nothing, a link, or its legs. It becomes part of an inner URL."""
    link = request.match_info.get("link")
    if link is None:
        return ""
    if not SESSION.fullmatch(link):
        raise RefusedError("no-link", f"{link[:64]!r} is no link: 16 lower-case hex characters")
    return f"/{link}/legs" if request.method == "POST" else f"/{link}"


async def _healthy(_: web.Request) -> web.Response:
    return web.Response(text="ok")
