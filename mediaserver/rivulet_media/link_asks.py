"""What a node asks of a parent about links (docs/contract.md §5.2, §6): straight, or through our directors in turn."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar

import aiohttp

from rivulet_media.link_words import LegAnswer, LegWish, LinkAnswer, LinkEnd, LinkWish
from rivulet_media.route import Parent
from rivulet_media.upstream import StreamOverError, StreamRefusedError, UpstreamError, read_answer
from rivulet_media.whep_pull import DIRECT_TIMEOUT, LEAVE_TIMEOUT, PASSED_TIMEOUT, WhepPull
from rivulet_media.wire import parse_body, render_body
from rivulet_media.wire_codec import WireError

NO_LINKS = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED)
# Problems of one stream: the parent has links, and may have other streams.
OF_STREAM = ("not-here", "not-live", "not-playable", "tcp-only")
# What fails before a byte of the request has left.
_UNSENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)

T = TypeVar("T")


class NoLinksError(UpstreamError):
    """The parent has no links: it is older than they are, or foreign."""


class NoLinkError(UpstreamError):
    """The parent does not know this link any more."""


class LinkWornError(UpstreamError):
    """The parent refuses an SSRC of ours on this link."""


class UnsureError(UpstreamError):
    """Nobody knows whether the parent has heard the request."""


@dataclass(frozen=True)
class LinkAsks:
    """Requests to one parent. `pull` has what they need."""

    pull: WhepPull
    parent: Parent

    async def open(self, end: LinkEnd, wish: LegWish) -> LinkAnswer:
        """A new link, with its first leg. UpstreamError."""
        return await self._post("", LinkWish(end=end, leg=wish), LinkAnswer)

    async def leg(self, link: str, wish: LegWish) -> LegAnswer:
        """One more leg on the parent's `link`. UpstreamError."""
        return await self._post(f"/{link}/legs", wish, LegAnswer)

    async def look(self, link: str) -> None:
        """Whether the link stands. UpstreamError."""
        await self._request("GET", f"/{link}", None)

    async def delete(self, session: str) -> None:
        """Take a leg back; a parent that cannot be reached notices by itself."""
        for _, base in self._bases():
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                url = f"{base}/session/{self.parent.node.ref}/{session}"
                async with self.pull.http.delete(url, headers=self.pull.headers(), timeout=LEAVE_TIMEOUT):
                    return

    async def _post(self, path: str, wish: LinkWish | LegWish, kind: type[T]) -> T:
        try:
            return parse_body(kind, await self._request("POST", path, render_body(wish)))
        except WireError as error:
            raise UpstreamError(f"the parent's answer is of no use: {error}") from error

    async def _request(self, method: str, path: str, body: str | None) -> str:
        error, unsure = UpstreamError("no director is linked"), False
        for base, _ in self._bases():
            try:
                return await self._ask_at(method, f"{base}{path}", body)
            except LinkWornError as worn:
                if unsure:  # the parent has these SSRCs from the try before
                    raise UpstreamError(str(worn)) from worn
                raise
            except (StreamRefusedError, NoLinksError, NoLinkError):
                raise
            except UpstreamError as failed:
                error, unsure = failed, unsure or isinstance(failed, UnsureError)
        raise error

    async def _ask_at(self, method: str, url: str, body: str | None) -> str:
        timeout = DIRECT_TIMEOUT if self.parent.way == "direct" else PASSED_TIMEOUT
        headers = {**self.pull.headers(), "Content-Type": "application/json"}
        try:
            async with self.pull.http.request(
                method, url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                text = await read_answer(response)
                _check(response.status, text, url)
                return text
        except _UNSENT as error:
            raise UpstreamError(f"{url}: {error}") from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise UnsureError(f"{url}: {error or type(error).__name__}") from error

    def _bases(self) -> Iterator[tuple[str, str]]:
        """(Where the link is asked for, what goes before the path of a session), at each who may be asked."""
        node = self.parent.node
        if self.parent.way == "direct":
            yield f"http://{node.http}/links", f"http://{node.http}"
            return
        for url in self.pull.directors():
            yield f"{url}/v1/links/{node.region}/{node.ref}", f"{url}/v1/relay/{node.region}"


def _check(status: int, body: str, url: str) -> None:
    if status in (HTTPStatus.OK, HTTPStatus.CREATED):
        return
    if status == HTTPStatus.GONE:
        raise StreamOverError(_member(body, "reason") or "stream-ended")
    said = f"{url} answers {status}: {body[:200]}"
    kind = _member(body, "type").rpartition("/")[2]
    if kind == "no-link":
        raise NoLinkError(said)
    if kind == "ssrc-used":
        raise LinkWornError(said)
    if kind in OF_STREAM:
        raise StreamRefusedError(said)
    if status in NO_LINKS:
        raise NoLinksError(said)
    raise UnsureError(said) if status >= HTTPStatus.INTERNAL_SERVER_ERROR else UpstreamError(said)


def _member(body: str, name: str) -> str:
    """A string of a problem object; "" without it."""
    with contextlib.suppress(ValueError):
        problem = json.loads(body)
        value = problem.get(name) if isinstance(problem, Mapping) else None
        return value if isinstance(value, str) else ""
    return ""
