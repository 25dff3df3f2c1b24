"""A session that ends in the moment in which its event stream begins; a trace that asks a node that has just gone."""

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from rivulet_media.node_table import NodeTable
from rivulet_media.sessions import Session, Sessions
from rivulet_media.signalling.events import SessionEvents
from rivulet_media.trace_command import TraceFailedError, TraceSettings, _trace
from rivulet_media.viewer_events import ViewerEvents
from rivulet_scene.ports import free_port

if TYPE_CHECKING:
    from rivulet_media.signalling.desk import Desk

pytestmark = pytest.mark.timeout(30)

REF, SESSION = "edge-eu-0/3f9c0a11be42", "0123456789abcdef"


async def test_a_session_that_ends_while_the_answer_begins_is_told_and_forgotten() -> None:
    sessions = Sessions()
    events = ViewerEvents(sessions, NodeTable(lambda: 0.0))
    sessions.add(Session(SESSION, "viewer", "s"))
    known = SimpleNamespace(events=events, sessions=sessions, table=SimpleNamespace(ref=REF), clock=lambda: 0.0)
    app = web.Application()
    SessionEvents(cast("Desk", known)).add_to(app.router)

    async def end(_: web.Request, __: web.StreamResponse) -> None:
        sessions.end(SESSION, "stream-ended", 0.0)

    app.on_response_prepare.append(end)
    async with TestServer(app) as server, ClientSession() as http:
        async with http.get(server.make_url(f"/session/{REF}/{SESSION}/events")) as answer:
            assert 'event: ended\ndata: {"reason": "stream-ended"}' in await answer.text()
        assert events.count == 0


async def test_a_trace_passes_over_a_node_that_has_just_gone() -> None:
    async def lines(request: web.Request) -> web.Response:
        return web.Response(text='{"kind": "end"}\n') if request.headers["Authorization"] == "Bearer t" else gone()

    def gone() -> web.Response:
        return web.Response(status=401)

    app = web.Application()
    app.router.add_post("/v1/trace/{session}", lines)
    async with TestServer(app) as server:
        nodes = (f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{server.port}")
        settings = TraceSettings(
            session=SESSION, node="", nodes=nodes, entry="", join_token="t", seconds=1, megabytes=1, output="/dev/null"
        )
        assert await _trace(settings) == "1 lines, 16 bytes"
    with pytest.raises(TraceFailedError, match="no answer"):
        await _trace(settings)
