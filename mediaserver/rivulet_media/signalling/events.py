"""`/session/{slot}/{incarnation}/{session}/events`: a viewer's session as server-sent events, a WHEP extension.

docs/contract.md §4.1.
"""

import asyncio
import json

from aiohttp import hdrs, web

from rivulet_media.errors import RefusedError
from rivulet_media.sessions import Session
from rivulet_media.signalling.answers import events_path
from rivulet_media.signalling.desk import Desk
from rivulet_media.signalling.requests import hang_up, preflight, read_text
from rivulet_media.signalling.session import SessionResource
from rivulet_media.viewer_events import EVENT_NAMES, Event, EventStream

JSON = "application/json"
EVENT_STREAM = {
    hdrs.CONTENT_TYPE: "text/event-stream",
    hdrs.CACHE_CONTROL: "no-store",
    "X-Accel-Buffering": "no",  # reverse proxies that would collect events before they pass them on
}
# Shorter than the patience of common proxies (30 s and more); a reader that has gone is noticed by the same.
BEAT_SECONDS = 15.0
WRITE_SECONDS = 10.0
# A player whose connection breaks comes back after so long.
RETRY_MS = 1000


class SessionEvents:
    """Handlers of a session's events."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._living = SessionResource(desk).living

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Register the routes."""
        path = "/session/{slot}/{incarnation}/{session}/events"
        router.add_get(path, self.listen, allow_head=False)
        router.add_post(path, self.choose)
        router.add_options(path, self.options)

    async def listen(self, request: web.Request) -> web.StreamResponse:
        """GET: events until the session ends or the reader goes."""
        session = self._viewer(request)
        names = _chosen(request.query["events"].split(",")) if "events" in request.query else EVENT_NAMES
        response = web.StreamResponse(headers=EVENT_STREAM)
        # Before anything is waited for: the session may end meanwhile, and nobody would end the stream.
        events = self._desk.events.open(session, names)
        try:
            await response.prepare(request)
            await _write_all(response, events)
        except (ConnectionError, TimeoutError):
            hang_up(request)  # gone, or it does not read: it may come again
        finally:
            self._desk.events.close(session, events)
        return response

    async def choose(self, request: web.Request) -> web.Response:
        """POST: as the draft has it, a JSON array of event names is answered with the URL that carries those."""
        session = self._viewer(request)
        names = await _posted_names(request)
        location = f"{events_path(self._desk.table.ref, session.id)}?events={','.join(names)}"
        return web.Response(status=201, headers={hdrs.LOCATION: location})

    async def options(self, _: web.Request) -> web.Response:
        """OPTIONS: CORS."""
        return preflight(**{"Accept-Post": JSON, hdrs.ALLOW: "GET, POST, OPTIONS"})

    def _viewer(self, request: web.Request) -> Session:
        session = self._living(request)
        if session.kind != "viewer":
            raise RefusedError("not-found", "only viewers' sessions have events")
        return session


async def _write_all(response: web.StreamResponse, events: EventStream) -> None:
    await _write(response, f"retry: {RETRY_MS}\n\n")
    while (news := await events.read(BEAT_SECONDS)) is not None:
        await _write(response, "".join(map(_text, news)) or ": beat\n\n")


async def _write(response: web.StreamResponse, text: str) -> None:
    async with asyncio.timeout(WRITE_SECONDS):
        await response.write(text.encode())


def _text(event: Event) -> str:
    return f"event: {event.name}\ndata: {json.dumps(event.data)}\n\n"


def _chosen(names: list[str]) -> tuple[str, ...]:
    """Those that we have, in our order; names that nobody here knows may be of a later draft."""
    return tuple(name for name in EVENT_NAMES if name in names)


async def _posted_names(request: web.Request) -> tuple[str, ...]:
    """The array; without a body all of them."""
    if not request.can_read_body:
        return EVENT_NAMES
    try:
        names = json.loads(await read_text(request, JSON))
    except (ValueError, RecursionError) as error:
        raise RefusedError("bad-request", "the body is not JSON: send an array of event names, or nothing") from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RefusedError("bad-request", 'the body must be an array of event names, such as ["active","ended"]')
    return _chosen(names)
