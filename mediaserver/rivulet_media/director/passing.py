"""Signalling passed on to nodes and to other regions' directors: bounded bodies, bounded waits, chosen headers only."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout
from multidict import CIMultiDict

from rivulet_media.director.answers import Answer
from rivulet_media.director.mesh import Peer, mesh_headers
from rivulet_media.errors import NotYetError, RefusedError
from rivulet_media.table import NodeEntry

# A relay over an ocean needs a few round trips.
NODE_SECONDS = 10.0
PEER_SECONDS = 15.0
CONNECT_SECONDS = 2.0
PEER_CONNECT_SECONDS = 3.0
ANSWER_BYTES = 1024 * 1024

_TO_NODE = ("Content-Type", "If-Match", "Accept", "Rivulet-Node", "Rivulet-Cluster", "Rivulet-Layer")
_FROM_NODE = (
    "Content-Type",
    "Location",
    "ETag",
    "Link",
    "Retry-After",
    "Accept-Patch",
    "Accept-Post",
    "Allow",
    "WWW-Authenticate",
)


class NoAnswerError(Exception):
    """The node or director could not be reached, or has not answered in time."""


@dataclass(frozen=True)
class Call:
    """A client's request, as far as it is passed on. `passed`: by another region's director, so never again."""

    method: str
    headers: Mapping[str, str]
    body: bytes = b""
    authorization: str = ""
    client: str = ""
    passed: bool = False

    @classmethod
    def of(cls, method: str, headers: Mapping[str, str], body: bytes) -> "Call":
        """With only those headers that nodes are to see."""
        return cls(method, {name: headers[name] for name in _TO_NODE if name in headers}, body)


@dataclass(frozen=True)
class Source:
    """Where an event stream is read from, which has to begin within so many seconds.

    `name` is that of the node or region there, `slug` the problem when it does not answer.
    """

    url: str
    headers: Mapping[str, str]
    seconds: float
    name: str
    slug: str

    def silent(self, error: Exception) -> NotYetError:
        """The refusal when it does not answer."""
        return NotYetError(self.slug, f"{self.name} does not answer: {str(error) or 'time-out'}")


@dataclass
class Passing:
    """Sends calls on. `region` is the director's own, `join_token` opens nodes."""

    http: ClientSession
    region: str
    join_token: str

    async def to_node(
        self,
        node: NodeEntry,
        path: str,
        call: Call,
        extra: Mapping[str, str] | None = None,
        *,
        seconds: float = NODE_SECONDS,
    ) -> Answer:
        """What the node answers within so many seconds, with its session's URL made ours. NoAnswerError."""
        headers = {"Rivulet-Join": self.join_token, "Rivulet-Client": call.client, **(extra or {})}
        timeout = exactly(seconds, CONNECT_SECONDS)
        answer = await self._send(f"http://{node.http}{path}", call, headers, timeout)
        return _with_session_path(answer, node)

    async def to_peer(self, peer: Peer, path: str, call: Call, *, seconds: float = PEER_SECONDS) -> Answer:
        """What another region's director answers to `/v1/pass/…` within so many seconds.

        A region that is not reached, or whose director is silent, is refused as such.
        """
        source = self.peer_source(peer, path, call, seconds)
        timeout = exactly(seconds, PEER_CONNECT_SECONDS)
        try:
            return await self._send(source.url, call, source.headers, timeout)
        except NoAnswerError as error:
            raise source.silent(error) from error

    def peer_source(self, peer: Peer, path: str, call: Call, seconds: float) -> Source:
        """How that region's director is asked."""
        if call.passed:
            raise RefusedError("not-found", f"a passed request is not passed again ({path})")
        if peer.problem:
            raise NotYetError("region-unreachable", f"region {peer.region} is not reached: {peer.problem}")
        headers = {**mesh_headers(peer, self.region), "Rivulet-Client": call.client}
        if call.authorization:
            headers["Rivulet-Authorization"] = call.authorization
        url = f"http://{peer.address}/v1/pass/{path}"
        return Source(url, headers, seconds, f"region {peer.region}", "region-unreachable")

    async def _send(self, url: str, call: Call, extra: Mapping[str, str], limits: ClientTimeout) -> Answer:
        headers = {**call.headers, **extra}
        try:
            async with self.http.request(
                call.method, url, headers=headers, data=call.body or None, timeout=limits, allow_redirects=False
            ) as response:
                return await answer_of(response)
        except TimeoutError as error:
            raise NoAnswerError(f"nothing within {limits.total:g} s") from error
        except (ClientError, OSError) as error:
            raise NoAnswerError(str(error) or type(error).__name__) from error


def exactly(seconds: float, connect: float) -> ClientTimeout:
    """So long in all and no longer: aiohttp would round times of 5 s and more up to a whole second of its clock."""
    return ClientTimeout(total=seconds, connect=connect, sock_connect=connect, ceil_threshold=math.inf)


async def answer_of(response: ClientResponse) -> Answer:
    """What came, with those headers that clients are to see. NoAnswerError when it is too large."""
    return Answer(response.status, _headers_from(response), await _bounded_body(response))


def _headers_from(response: ClientResponse) -> CIMultiDict[str]:
    came = response.headers
    return CIMultiDict((name, value) for name in _FROM_NODE if name in came for value in came.getall(name))


async def _bounded_body(response: ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > ANSWER_BYTES:
            raise NoAnswerError(f"the answer is larger than {ANSWER_BYTES} bytes")
    return bytes(body)


def _with_session_path(answer: Answer, node: NodeEntry) -> Answer:
    """Whatever form the node's Location has, ours is an absolute path that names slot, incarnation and session."""
    location = answer.headers.get("Location")
    if location is None or location.startswith(f"/session/{node.ref}/"):
        return answer
    session = urlsplit(location).path.rstrip("/").rpartition("/")[2]
    headers = CIMultiDict(answer.headers)
    headers["Location"] = f"/session/{node.ref}/{session}"
    return replace(answer, headers=headers)
