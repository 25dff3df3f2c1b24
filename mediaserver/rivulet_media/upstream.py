"""What a relay needs of its parent, whatever carries it: `open(parent)`, then `subscribe()`.

Two carriers: links (`link_pull`), one session for all streams of two nodes, and WHEP (`whep_pull`), one for each.
"""

from typing import TYPE_CHECKING, Protocol

from rivulet_media.errors import RivuletError
from rivulet_media.route import Parent
from rivulet_media.table import Transport

if TYPE_CHECKING:
    from aiohttp import ClientResponse

# An answer has an SDP or a stream's entry; directors pass on as much (docs/contract.md §6).
ANSWER_BYTES = 1024 * 1024


class UpstreamError(RivuletError):
    """The parent could not be reached, or has refused."""


class StreamRefusedError(UpstreamError):
    """The parent has answered, and refuses this stream; what it says of another may differ."""


class NoTcpError(UpstreamError):
    """The parent takes no media over TCP, and this stream's relays go by nothing else."""


class StreamOverError(StreamRefusedError):
    """The parent says that the publication has ended; `reason` as for its own viewers."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the stream has ended: {reason}")
        self.reason = reason


class Subscription(Protocol):
    """One stream from one parent, arriving in the engine's `session`."""

    @property
    def session(self) -> str:
        """The engine's session; its events say when packets come and stop."""

    @property
    def transport(self) -> Transport:
        """By what the packets come, for counts."""

    async def answered(self) -> None:
        """Return when the parent has agreed. UpstreamError otherwise."""

    async def leave(self) -> None:
        """End it on both sides, in a bounded time. Once; also while `answered` runs."""


class ParentLink(Protocol):
    """A way to one parent."""

    def subscribe(self) -> Subscription:
        """Ask for the stream. UpstreamError when the engine cannot."""


class Upstream(Protocol):
    """All ways to parents."""

    def open(self, parent: Parent) -> ParentLink:
        """The way to this parent; nothing is sent yet."""


async def read_answer(response: "ClientResponse") -> str:
    """A parent's answer as text. UpstreamError when it is too large or no UTF-8."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > ANSWER_BYTES:
            raise UpstreamError(f"{response.url}: the answer is larger than {ANSWER_BYTES} bytes")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise UpstreamError(f"{response.url}: the answer is not UTF-8 text") from error
