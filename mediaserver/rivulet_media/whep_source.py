"""A foreign WHEP server that a stream is pulled from: the offer posted, its session deleted (docs/contract.md §5.3).

Only it is trusted with the token: where it sends us elsewhere, to another scheme, host or port, the token does not go
along.
"""

import contextlib
import json
import logging
from dataclasses import dataclass

import aiohttp
from yarl import URL

from rivulet_media.upstream import UpstreamError, read_answer

log = logging.getLogger(__name__)

ASK_TIMEOUT = aiohttp.ClientTimeout(total=10.0, connect=5.0)
LEAVE_TIMEOUT = aiohttp.ClientTimeout(total=3.0, connect=2.0)
MOST_REDIRECTS = 3
LONGEST_SDP = 64 * 1024
CREATED = 201
# POST and body stay what they are (RFC 9110, 15.4).
REDIRECTS = (307, 308)


class SourceError(UpstreamError):
    """No session came about; the message is for people, and has neither token nor query. `retry_after`: seconds."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True)
class SourceSession:
    """What the server has answered. `url`: what is deleted at the end; None: it named none that is its own."""

    answer: str
    url: URL | None


@dataclass(frozen=True)
class WhepSource:
    """The server at `url`. `token`: sent as a bearer token."""

    http: aiohttp.ClientSession
    url: str
    token: str | None

    async def ask(self, offer: str) -> SourceSession:
        """POST the offer. SourceError."""
        url = URL(self.url)
        for _ in range(MOST_REDIRECTS + 1):
            answered = await self._post(url, offer)
            if isinstance(answered, SourceSession):
                return answered
            url = answered
        raise SourceError(f"{shown(self.url)} redirects more than {MOST_REDIRECTS} times")

    async def leave(self, session: SourceSession) -> None:
        """DELETE it, in a bounded time; a server that is not reached notices by itself."""
        if session.url is None:
            return
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with self.http.delete(
                session.url, headers=self._headers(session.url), timeout=LEAVE_TIMEOUT, allow_redirects=False
            ) as response:
                log.debug("session at %s deleted: %d", shown(self.url), response.status)

    async def _post(self, url: URL, offer: str) -> SourceSession | URL:
        headers = {**self._headers(url), "Content-Type": "application/sdp", "Accept": "application/sdp"}
        where = shown(str(url))
        try:
            async with self.http.post(
                url, data=offer.encode(), headers=headers, timeout=ASK_TIMEOUT, allow_redirects=False
            ) as response:
                if response.status in REDIRECTS:
                    return _redirected(url, response)
                return await self._session(url, response)
        except SourceError:
            raise
        except UpstreamError as error:  # whose words have the whole URL
            raise SourceError(f"{where} answers with what is no text, or too much of it") from error
        except TimeoutError as error:
            raise SourceError(f"{where} does not answer in time") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise SourceError(f"{where}: {_reason(error)}") from error

    async def _session(self, url: URL, response: aiohttp.ClientResponse) -> SourceSession:
        body, where = await read_answer(response), shown(str(url))
        if response.status != CREATED:
            detail = _detail(self._without_secrets(body))
            raise SourceError(f"{where} answers {response.status}{detail}", _retry_after(response))
        if len(body) > LONGEST_SDP:
            raise SourceError(f"{where} answers with more than {LONGEST_SDP} bytes")
        return SourceSession(body, _session_url(url, response))

    def _without_secrets(self, text: str) -> str:
        """Some servers say what they were asked."""
        for secret in (self.token, URL(self.url).query_string, URL(self.url).raw_query_string):
            text = text.replace(secret, "…") if secret else text
        return text

    def _headers(self, url: URL) -> dict[str, str]:
        if self.token is None or url.origin() != URL(self.url).origin():
            return {}
        return {"Authorization": f"Bearer {self.token}"}


def shown(url: str) -> str:
    """A URL for messages: a query may hold a secret."""
    try:
        return str(URL(url).with_query(None).with_fragment(None))
    except ValueError:
        return "the URL"


def host_of(url: str) -> str:
    """Host, and port where it is not the usual one."""
    found = URL(url)
    name = f"[{found.host}]" if ":" in (found.host or "") else (found.host or "")
    return name if found.is_default_port() else f"{name}:{found.port}"


def _redirected(url: URL, response: aiohttp.ClientResponse) -> URL:
    location = response.headers.get("Location", "")
    try:
        to = url.join(URL(location))
        good = bool(location) and to.scheme in ("http", "https") and bool(to.host) and to.user is None
    except ValueError:
        good = False
    if not good:
        raise SourceError(f"{shown(str(url))} redirects to nowhere")
    return to


def _session_url(url: URL, response: aiohttp.ClientResponse) -> URL | None:
    """Relative or absolute; of another server we delete nothing."""
    location = response.headers.get("Location", "")
    try:
        session = url.join(URL(location)) if location else None
        return session if session is not None and session.origin() == url.origin() else None
    except ValueError:
        return None


def _detail(body: str) -> str:
    """What a problem document says, or a short text; pages say nothing."""
    text = body.strip()
    with contextlib.suppress(ValueError):
        problem = json.loads(text)
        said = problem.get("detail") or problem.get("title") if isinstance(problem, dict) else None
        text = said if isinstance(said, str) else ""
    if not text or text.startswith("<"):
        return ""
    return ": " + " ".join("".join(c if c.isprintable() else " " for c in text[:200]).split())


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not valid"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name is not known"
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or "no connection"
    return type(error).__name__


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    value = response.headers.get("Retry-After", "").strip()
    return float(value) if value.isdecimal() and len(value) <= 9 else None  # noqa: PLR2004 - no number that overflows
