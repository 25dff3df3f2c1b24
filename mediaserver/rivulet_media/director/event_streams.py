"""Viewers' event streams on their way through a director: passed on as they come, never collected (contract §4.1)."""

import asyncio

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, hdrs, web

from rivulet_media.director.answers import response
from rivulet_media.director.passing import NoAnswerError, Source, answer_of
from rivulet_media.errors import NotYetError

# Each costs two sockets; whoever is refused plays without events.
MOST_STREAMS = 5000
# No end, but a node writes something every 15 s.
LIMITS = ClientTimeout(total=None, connect=3.0, sock_connect=3.0, sock_read=45.0)
WRITE_SECONDS = 10.0
OK = 200
EVENT_STREAM = {
    hdrs.CONTENT_TYPE: "text/event-stream",
    hdrs.CACHE_CONTROL: "no-store",
    "X-Accel-Buffering": "no",
}


class EventStreams:
    """Those that pass through this director now; `count` of them."""

    def __init__(self, http: ClientSession) -> None:
        self.count = 0
        self._http = http

    async def pass_on(self, request: web.Request, source: Source) -> web.StreamResponse:
        """Answer `request` with what `source` says, until either side ends."""
        if self.count >= MOST_STREAMS:
            raise NotYetError("full", f"{MOST_STREAMS} event streams pass through this director already")
        self.count += 1
        try:
            async with self._http.get(
                source.url, headers=source.headers, timeout=LIMITS, allow_redirects=False
            ) as upstream:
                if upstream.status != OK:
                    return response(await answer_of(upstream))
                return await _copy(request, upstream)
        except (ClientError, OSError, TimeoutError, NoAnswerError) as error:
            raise NotYetError("no-node", f"the session's node does not answer: {error or 'time-out'}") from error
        finally:
            self.count -= 1


async def _copy(request: web.Request, upstream: ClientResponse) -> web.StreamResponse:
    """A stream that breaks is one that ends: its reader comes again and is told how things are by then."""
    downstream = web.StreamResponse(headers=EVENT_STREAM)
    await downstream.prepare(request)
    try:
        async for chunk in upstream.content.iter_any():
            async with asyncio.timeout(WRITE_SECONDS):
                await downstream.write(chunk)
    except TimeoutError:
        # It does not read: the end of the answer would wait for it for ever.
        if request.transport is not None:
            request.transport.abort()
    except (ClientError, OSError):
        pass
    return downstream
