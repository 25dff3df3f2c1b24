"""Names that somebody wants to publish and that have no Stream yet (CDNRegion `openPublishing`)."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from rivulet_media.director.directory import Directory
from rivulet_media.director.resources import Stream
from rivulet_media.wire_operator import UndeclaredStream

WAIT_SECONDS = 3.0


class Undeclared:
    """Who waits for which Stream; the operator is told, and makes it or does not."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._waiting: dict[UndeclaredStream, int] = {}
        self._changed = asyncio.Event()
        directory.listen_to_resources(self._wake)

    @property
    def streams(self) -> tuple[UndeclaredStream, ...]:
        """All that are waited for now."""
        return tuple(sorted(self._waiting, key=lambda item: (item.stream, item.subject)))

    async def wait(self, stream: str, subject: str) -> Stream | None:
        """The Stream, once it is there; None when it has not appeared in 3 s."""
        with self._named(UndeclaredStream(stream=stream, subject=subject)):
            try:
                async with asyncio.timeout(WAIT_SECONDS):
                    while (found := self._find(stream)) is None:
                        await self._changed.wait()
            except TimeoutError:
                return None
            return found

    def _find(self, stream: str) -> Stream | None:
        return self._directory.resources.stream_in(stream, self._directory.region)

    def _wake(self) -> None:
        """Wake all who wait now; later ones wait for the next change."""
        self._changed.set()
        self._changed = asyncio.Event()

    @contextmanager
    def _named(self, item: UndeclaredStream) -> Iterator[None]:
        self._waiting[item] = self._waiting.get(item, 0) + 1
        try:
            yield
        finally:
            self._waiting[item] -= 1
            if not self._waiting[item]:
                del self._waiting[item]
