"""`/v1/trace/{session}`: what passes on one session, header by header, for who has the join token (contract §5.1)."""

import asyncio

from aiohttp import hdrs, web

from rivulet_media.errors import RefusedError
from rivulet_media.signalling.desk import Desk
from rivulet_media.signalling.requests import bearer, check_token, hang_up

LINES = {hdrs.CONTENT_TYPE: "application/x-ndjson", hdrs.CACHE_CONTROL: "no-store"}
READ_SECONDS = 0.25
WRITE_SECONDS = 10.0
MOST_SECONDS = 3600
MOST_BYTES = 100_000_000


class Tracing:
    """Handler of the endpoint."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Register the route."""
        router.add_post("/v1/trace/{session}", self.trace)

    async def trace(self, request: web.Request) -> web.StreamResponse:
        """POST: lines as they come, until the session ends, it is as long or large as asked, or the reader goes."""
        engine, session = self._desk.engine, request.match_info["session"]
        check_token(bearer(request), self._desk.join_token, "a trace")
        seconds = _number(request, "seconds", 60, MOST_SECONDS)
        engine.trace(session, seconds, _number(request, "bytes", 20_000_000, MOST_BYTES))
        response = web.StreamResponse(headers=LINES)
        try:
            await response.prepare(request)
            over = False
            while not over:
                await asyncio.sleep(READ_SECONDS)
                lines, over = engine.read_trace(session)
                async with asyncio.timeout(WRITE_SECONDS):
                    await response.write(lines.encode())
        except (ConnectionError, TimeoutError):
            hang_up(request)
        finally:
            engine.read_trace(session, stop=True)
        return response


def _number(request: web.Request, name: str, default: int, most: int) -> int:
    text = request.query.get(name, str(default))
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise RefusedError("bad-request", f"{name} must be a whole number from 1 to {most}, not {text[:32]!r}")
    return int(text)
