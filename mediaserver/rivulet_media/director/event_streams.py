"""Viewers' event streams on their way through a director: passed on as they come, never collected (contract §4.1)."""

import asyncio
from collections import Counter
from dataclasses import dataclass

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, hdrs, web

from rivulet_media.director.answers import response
from rivulet_media.director.passing import NoAnswerError, Source, answer_of
from rivulet_media.errors import NotYetError
from rivulet_media.rate_limit import of_address

# Each costs two sockets; whoever is refused plays without events.
MOST_STREAMS = 5000
# Half of them: one client leaves room for the others, and many viewers may share an address.
MOST_OF_CLIENT = 2500
# A session has two, the node ends the oldest for a third.
MOST_OF_SESSION = 3
# No end, but a node writes something every 15 s.
LIMITS = ClientTimeout(total=None, connect=3.0, sock_connect=3.0, sock_read=45.0)
WRITE_SECONDS = 10.0
OK = 200
EVENT_STREAM = {
    hdrs.CONTENT_TYPE: "text/event-stream",
    hdrs.CACHE_CONTROL: "no-store",
    "X-Accel-Buffering": "no",
}


@dataclass(frozen=True)
class Reader:
    """Who reads of which session. `client`: its address; "": addresses do not tell clients apart here."""

    session: str
    client: str = ""

    @property
    def counted(self) -> dict[tuple[str, str], int]:
        """As what it is counted, with how many there may be of each."""
        session = {("session", self.session): MOST_OF_SESSION}
        return {**session, ("address", of_address(self.client)): MOST_OF_CLIENT} if self.client else session


class EventStreams:
    """Those that pass through this director now; `count` of them."""

    def __init__(self, http: ClientSession) -> None:
        self.count = 0
        self._of: Counter[tuple[str, str]] = Counter()
        self._http = http

    async def pass_on(self, request: web.Request, source: Source, reader: Reader) -> web.StreamResponse:
        """Answer `request` with what `source` says, until either side ends."""
        self._enter(reader)
        try:
            async with asyncio.timeout(source.seconds):
                upstream = await self._http.get(
                    source.url, headers=source.headers, timeout=LIMITS, allow_redirects=False
                )
            async with upstream:
                if upstream.status != OK:
                    return response(await answer_of(upstream))
                return await _copy(request, upstream)
        except (ClientError, OSError, TimeoutError, NoAnswerError) as error:
            raise source.silent(error) from error
        finally:
            self._leave(reader)

    def _enter(self, reader: Reader) -> None:
        """S5: count it, or refuse it for now."""
        if self.count >= MOST_STREAMS:
            raise NotYetError("full", f"{MOST_STREAMS} event streams pass through this director already")
        for key, most in reader.counted.items():
            if self._of[key] >= most:
                raise NotYetError("too-many-requests", f"this {key[0]} has {most} event streams already; end one first")
        self.count += 1
        self._of.update(reader.counted.keys())

    def _leave(self, reader: Reader) -> None:
        self.count -= 1
        self._of.subtract(reader.counted.keys())
        for key in reader.counted:
            if not self._of[key]:
                del self._of[key]


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
