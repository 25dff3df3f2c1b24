"""What a relay needs of its parent, whatever carries it: `open(parent)`, then `subscribe()`.

Two carriers: links (`link_pull`), one session for all streams of two nodes, and WHEP (`whep_pull`), one for each.
"""

from typing import Protocol

from rivulet_media.errors import RivuletError
from rivulet_media.route import Parent
from rivulet_media.table import Transport


class UpstreamError(RivuletError):
    """The parent could not be reached, or has refused."""


class NoTcpError(UpstreamError):
    """The parent takes no media over TCP, and this stream's relays go by nothing else."""


class StreamOverError(UpstreamError):
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
