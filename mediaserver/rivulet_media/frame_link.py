"""One WebSocket with another part of the CDN: typed frames in, a bounded outbox, an end to silence.

A peer that does not read fills the outbox and loses the link; it may connect again and is told everything anew. Nothing
waits for a slow peer.
"""

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NoReturn, Self

from aiohttp import ClientWebSocketResponse, ClientWSTimeout, WSMsgType, web

from rivulet_media.wire import CLOSE_BAD_FRAME, MAX_FRAME, SILENT_SECONDS, Frame, Frames, parse, render
from rivulet_media.wire_codec import WireError

log = logging.getLogger(__name__)

OUTBOX_BYTES = 16 * 1024 * 1024
CLOSE_SECONDS = 1.0
CLOSE_ABANDONED = 4408
FIRST_DELAY = 0.5
LONGEST_DELAY = 2.0

Socket = ClientWebSocketResponse | web.WebSocketResponse


class LinkClosedError(Exception):
    """The link has ended; the message says why."""


def server_socket() -> web.WebSocketResponse:
    """A WebSocket for a link that the peer has dialled."""
    return web.WebSocketResponse(timeout=CLOSE_SECONDS, max_msg_size=2 * MAX_FRAME, compress=False)


def client_timeout() -> ClientWSTimeout:
    """Bounds for a link that we dial."""
    return ClientWSTimeout(ws_close=CLOSE_SECONDS)


class Link:
    """Frames both ways over `socket`. Use inside `async with`: it owns the writing task."""

    def __init__(self, socket: Socket, frames: Frames, *, peer: str, outbox_bytes: int = OUTBOX_BYTES) -> None:
        self.peer = peer
        self._socket = socket
        self._frames = frames
        self._outbox: deque[str] = deque()
        self._outbox_bytes = 0
        self._limit = outbox_bytes
        self._wake = asyncio.Event()
        self._ending: str | None = None
        self._writer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start to write."""
        self._writer = asyncio.create_task(self._write(), name=f"link to {self.peer}")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop to write and close."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.wait([self._writer])
        await self.close(1000, "")

    def send(self, frame: Frame) -> None:
        """Put a frame into the outbox. Never waits."""
        self.send_text(render(frame))

    def send_text(self, text: str) -> None:
        """A frame that was rendered before, for instance once for many links."""
        if self._ending is not None:
            return
        if self._outbox_bytes + len(text) > self._limit:
            self.abandon("does not read")
            return
        self._outbox.append(text)
        self._outbox_bytes += len(text)
        self._wake.set()

    def abandon(self, reason: str) -> None:
        """End the link soon; what is in the outbox is lost. Never waits."""
        self._ending = reason
        self._outbox.clear()
        self._wake.set()

    async def receive(self, timeout: float = SILENT_SECONDS) -> Frame:  # noqa: ASYNC109
        """The next frame. LinkClosedError when the peer is silent, has closed, or sends what is no frame."""
        try:
            message = await asyncio.wait_for(self._socket.receive(), timeout)
        except TimeoutError as error:
            await self.close(4000, "silent")
            raise LinkClosedError(f"silent for {timeout:g} s") from error
        if message.type is WSMsgType.TEXT:
            return await self._parse(message.data)
        if message.type is WSMsgType.BINARY:
            await self.refuse("frames are text")
        raise LinkClosedError(self._why_closed())

    async def frames(self) -> AsyncIterator[Frame]:
        """All frames until the link ends."""
        while True:
            yield await self.receive()

    async def refuse(self, reason: str) -> NoReturn:
        """The peer has said something that it may not: close, and raise LinkClosedError."""
        await self.close(CLOSE_BAD_FRAME, reason)
        raise LinkClosedError(reason)

    async def close(self, code: int, reason: str) -> None:
        """Close within a bounded time, whatever the peer does."""
        with contextlib.suppress(TimeoutError, ConnectionError, RuntimeError):
            await asyncio.wait_for(
                self._socket.close(code=code, message=reason.encode(errors="replace")[:120]), 2 * CLOSE_SECONDS
            )

    async def _parse(self, text: str) -> Frame:
        try:
            return parse(text, self._frames)
        except WireError as error:
            await self.refuse(str(error))

    def _why_closed(self) -> str:
        return self._ending or f"closed by the peer (code {self._socket.close_code})"

    async def _write(self) -> None:
        """Send what is in the outbox; a frame that does not leave in 6 s ends the link."""
        try:
            while self._ending is None:
                await self._wake.wait()
                self._wake.clear()
                await self._empty_outbox()
        except TimeoutError:
            self._ending = "does not read"
        except (ConnectionError, RuntimeError):
            return  # the reader sees the end and says why
        await self.close(CLOSE_ABANDONED, self._ending)

    async def _empty_outbox(self) -> None:
        while self._outbox:
            text = self._outbox.popleft()
            self._outbox_bytes -= len(text)
            await asyncio.wait_for(self._socket.send_str(text), SILENT_SECONDS)


async def keep_dialling(attempt: Callable[[], Awaitable[None]]) -> None:
    """Call `attempt` for ever; it returns when its link has ended. The pauses grow while it fails at once.

    A defect in it is logged and does not end the dialling: that would cost the link until this process ends.
    """
    clock = asyncio.get_running_loop().time
    delay = FIRST_DELAY
    while True:
        started = clock()
        try:
            await attempt()
        except Exception:
            log.exception("a link has died of a defect")
        delay = FIRST_DELAY if clock() - started > SILENT_SECONDS else min(2 * delay, LONGEST_DELAY)
        spread = random.uniform(0.8, 1.2)  # noqa: S311 - only to keep peers apart
        await asyncio.sleep(delay * spread)
