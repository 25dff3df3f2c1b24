"""A relay pulled as a viewer would: an SDP offer to the parent, the answer to the engine (docs/contract.md §5, §6)."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp

from rivulet_media._engine import Engine, EngineError, UnknownSessionError
from rivulet_media.errors import PROBLEM_BASE
from rivulet_media.node_table import NodeTable
from rivulet_media.route import Parent
from rivulet_media.tracks import to_engine
from rivulet_media.upstream import NoTcpError, StreamOverError, UpstreamError, read_answer

log = logging.getLogger(__name__)

DIRECT_TIMEOUT = aiohttp.ClientTimeout(total=5.0, connect=2.0)
# A director of ours, one of theirs, the parent: three servers and an ocean.
PASSED_TIMEOUT = aiohttp.ClientTimeout(total=12.0, connect=2.0)
LEAVE_TIMEOUT = aiohttp.ClientTimeout(total=3.0, connect=2.0)
CREATED, GONE, UNPROCESSABLE = 201, 410, 422


@dataclass(frozen=True)
class WhepPull:
    """Opens relays by WHEP. `directors`: URLs of those that are linked now."""

    http: aiohttp.ClientSession
    engine: Engine
    table: NodeTable
    join_token: str
    directors: Callable[[], tuple[str, ...]]

    def open(self, parent: Parent) -> "ParentWay":
        """The way to this parent."""
        return ParentWay(self, parent)

    def headers(self) -> dict[str, str]:
        """Who asks."""
        entry = self.table.entry
        cluster = "" if entry is None else entry.pod.cluster
        authorization = {"Authorization": f"Bearer {self.join_token}"}
        return {**authorization, "Rivulet-Node": self.table.ref, "Rivulet-Cluster": cluster}


@dataclass(frozen=True)
class ParentWay:
    """Straight to the parent's signalling, or through our directors, one after the other."""

    pull: WhepPull
    parent: Parent

    def subscribe(self) -> "PulledStream":
        """A session in the engine, and the offer to send."""
        entry = self.parent.entry
        try:
            session, offer = self.pull.engine.pull(
                entry.stream, entry.incarnation, to_engine(entry.tracks), tcp=entry.transport == "tcp"
            )
        except EngineError as error:
            raise UpstreamError(str(error)) from error
        return PulledStream(self, session, offer)

    @property
    def timeout(self) -> aiohttp.ClientTimeout:
        """How long one request may take."""
        return DIRECT_TIMEOUT if self.parent.way == "direct" else PASSED_TIMEOUT

    def requests(self) -> Iterator[tuple[str, str]]:
        """(URL to post the offer to, what goes before the path of the session it makes)."""
        node, stream = self.parent.node, self.parent.entry.stream
        if self.parent.way == "direct":
            yield f"http://{node.http}/relay/{stream}", f"http://{node.http}"
            return
        for url in self.pull.directors():
            base = f"{url}/v1/relay/{node.region}"
            yield f"{base}/{node.ref}/{stream}", base


class PulledStream:
    """One subscription."""

    def __init__(self, way: ParentWay, session: str, offer: str) -> None:
        self.session = session
        self._way = way
        self._offer = offer
        self.transport = way.parent.entry.transport
        self._session_url: str | None = None
        self._left = False

    async def answered(self) -> None:
        """Ask the parent, then hand its answer to the engine."""
        answer = await self._ask()
        if self._left:
            await self._delete()
            return
        try:
            self._way.pull.engine.pull_answer(self.session, answer)
        except EngineError as error:
            raise UpstreamError(f"the parent's answer is of no use: {error}") from error

    async def leave(self) -> None:
        """Close here, then there; a parent that cannot be reached notices by itself."""
        self._left = True
        with contextlib.suppress(UnknownSessionError):
            self._way.pull.engine.close(self.session)
        await self._delete()

    async def _ask(self) -> str:
        error = UpstreamError("no director is linked")
        for url, base in self._way.requests():
            try:
                return await self._post(url, base)
            except StreamOverError:
                raise
            except UpstreamError as failed:
                error = failed
        raise error

    async def _post(self, url: str, base: str) -> str:
        pull = self._way.pull
        headers = {**pull.headers(), "Content-Type": "application/sdp"}
        try:
            async with pull.http.post(
                url, data=self._offer, headers=headers, timeout=self._way.timeout, allow_redirects=False
            ) as response:
                body = await read_answer(response)
                _check(response.status, body, url)
                self._session_url = _session_url(response.headers, base)
                return body
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise UpstreamError(f"{url}: {error or type(error).__name__}") from error

    async def _delete(self) -> None:
        url, self._session_url = self._session_url, None
        if url is None:
            return
        pull = self._way.pull
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError, asyncio.TimeoutError):
            async with pull.http.delete(url, headers=pull.headers(), timeout=LEAVE_TIMEOUT) as response:
                log.debug("relay's session at the parent: %d", response.status)


def _check(status: int, body: str, url: str) -> None:
    if status == GONE:
        raise StreamOverError(_reason(body))
    if status == UNPROCESSABLE and _problem(body).get("type") == PROBLEM_BASE + "no-tcp":
        raise NoTcpError(f"{url} takes no media over TCP, and the stream's relays go by nothing else")
    if status != CREATED:
        raise UpstreamError(f"{url} answers {status}: {body[:200]}")


def _reason(body: str) -> str:
    reason = _problem(body).get("reason")
    return reason if isinstance(reason, str) else "stream-ended"


def _problem(body: str) -> Mapping[str, object]:
    with contextlib.suppress(ValueError):
        problem = json.loads(body)
        if isinstance(problem, dict):
            return problem
    return {}


def _session_url(headers: Mapping[str, str], base: str) -> str | None:
    path = urlsplit(headers.get("Location", "")).path
    return f"{base}{path}" if path else None
