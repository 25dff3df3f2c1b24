"""Operator ⇄ director (docs/contract.md §7.5): one WebSocket to each director's pod, what they say merged into facts.

A lost link takes no fact away: with another director linked its words count, with none the last words stand.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp

from rivulet_operator.errors import OperatorError
from rivulet_operator.model.facts import Facts
from rivulet_operator.model.facts_messages import Words, changed, merged, snapshot

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from rivulet_operator.model.kinds import Json

log = logging.getLogger(__name__)

BEAT_SECONDS = 2.0
SILENCE_SECONDS = 6.0
CONNECT_SECONDS = 5.0
LARGEST_FRAME = 4 * 2**20
FIRST_BACKOFF = 0.5
LAST_BACKOFF = 2.0
SPREAD = 0.2
BAD_FRAME = 4400


class BadFrame(OperatorError):  # noqa: N818 - the director's fault
    """A frame that does not parse or comes out of order."""


@dataclass(frozen=True, kw_only=True)
class Orders:
    """What the directors have to know, always whole: slots to drain by when, slots to expect and of which pool."""

    drain: Mapping[str, float] = field(default_factory=dict)
    expected: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def frames(self) -> tuple[Json, Json]:
        """As they go over the link."""
        drain = {slot: {"deadline": deadline} for slot, deadline in self.drain.items()}
        expected = {slot: {"role": role, "node": node} for slot, (role, node) in self.expected.items()}
        return {"type": "expected", "slots": expected}, {"type": "drain", "slots": drain}


class Links:
    """Keeps a link to every director that `follow` names; calls `news` with the facts before and after a change."""

    def __init__(self, token: Callable[[], Awaitable[str]], news: Callable[[Facts, Facts], None]) -> None:
        """`token` gives the operator token as it is now."""
        self._token = token
        self._news = news
        self._orders = Orders()
        self._ordered: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._words: dict[str, Words] = {}
        self.facts = Facts()

    def follow(self, urls: frozenset[str]) -> None:
        """Be linked with exactly these directors (`ws://…/v1/operator`)."""
        for url in self._tasks.keys() - urls:
            self._tasks.pop(url).cancel()
            self._ordered.pop(url, None)
        for url in urls - self._tasks.keys():
            self._ordered[url] = asyncio.Event()
            self._tasks[url] = asyncio.create_task(self._keep(url), name=f"link {url}")

    def order(self, orders: Orders) -> None:
        """Tell all directors, now and whenever one is linked anew."""
        if orders == self._orders:
            return
        self._orders = orders
        for event in self._ordered.values():
            event.set()

    async def close(self) -> None:
        """End all links."""
        tasks = list(self._tasks.values())
        self.follow(frozenset())
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self, url: str) -> None:
        backoff = FIRST_BACKOFF
        while True:
            try:
                await self._session(url)
                backoff = FIRST_BACKOFF
            except (aiohttp.ClientError, OSError, TimeoutError, OperatorError) as error:
                log.info("director %s: %s", url, error or type(error).__name__)
            finally:
                if self._words.pop(url, None) is not None:
                    backoff = FIRST_BACKOFF
                    self._tell()
            await asyncio.sleep(backoff * random.uniform(1 - SPREAD, 1 + SPREAD))  # noqa: S311 - spreads load
            backoff = min(backoff * 2, LAST_BACKOFF)

    async def _session(self, url: str) -> None:
        headers = {"Authorization": f"Bearer {await self._token()}"}
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS, sock_connect=CONNECT_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            async with asyncio.timeout(CONNECT_SECONDS):
                socket = await http.ws_connect(url, headers=headers, max_msg_size=LARGEST_FRAME)
            async with socket:
                talking = asyncio.create_task(self._talk(url, socket), name=f"orders {url}")
                try:
                    await self._listen(url, socket)
                finally:
                    talking.cancel()
                    await asyncio.gather(talking, return_exceptions=True)

    async def _talk(self, url: str, socket: aiohttp.ClientWebSocketResponse) -> None:
        """All orders at once, then on change; between them beats."""
        ordered = self._ordered[url]
        ordered.set()
        while True:
            try:
                await asyncio.wait_for(ordered.wait(), BEAT_SECONDS)
            except TimeoutError:
                await socket.send_json({"type": "beat"})
                continue
            ordered.clear()
            for frame in self._orders.frames():
                await socket.send_json(frame)

    async def _listen(self, url: str, socket: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            message = await socket.receive(timeout=SILENCE_SECONDS)
            if message.type is not aiohttp.WSMsgType.TEXT:
                log.info("director %s closed the link: %s", url, message.extra or message.data)
                return
            try:
                self._heard(url, message.data)
            except BadFrame as error:
                await socket.close(code=BAD_FRAME, message=str(error).encode()[:120])
                raise

    def _heard(self, url: str, text: str) -> None:
        try:
            words = _understood(json.loads(text), self._words.get(url))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadFrame(f"a frame that makes no sense: {type(error).__name__} {error}") from error
        if words is not None:
            self._words[url] = words
            self._tell()

    def _tell(self) -> None:
        before, self.facts = self.facts, merged(self._words.values(), self.facts)
        if before != self.facts:
            self._news(before, self.facts)


def _understood(frame: Json, known: Words | None) -> Words | None:
    """What the director has said with this frame included; None: it said nothing new."""
    kind = frame["type"]
    if kind == "snapshot":
        return snapshot(frame)
    if kind == "change":
        if known is None:
            raise ValueError("change before snapshot")
        return changed(known, frame)
    return None
