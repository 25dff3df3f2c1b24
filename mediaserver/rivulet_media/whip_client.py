"""The client's side of WHIP (RFC 9725) and WHEP: POST an offer, keep the session's URL, DELETE it at the end.

The two differ only in which way the media go, so one class serves the camera and the probe. It knows nothing of WebRTC.
"""

import asyncio
import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import aiohttp
from yarl import URL

from rivulet_media.ice_links import IceServer, ice_servers

REQUEST_SECONDS: Final = 10.0


class ExitCode(enum.IntEnum):
    """How `publish` and `play` end; scripts tell refusals apart by it."""

    DONE = 0
    NO_MEDIA = 1  # connected, but a promised track carried nothing, or the media connection never came up
    USAGE = 2
    UNREACHABLE = 3  # no HTTP answer
    REFUSED = 4  # any other refusal: bad offer, token missing or wrong
    NOT_FOUND = 5  # 404
    NOT_LIVE = 6  # 409
    ENDED = 7  # 410
    UNAVAILABLE = 8  # 503


_EXIT_CODES: Final = {
    404: ExitCode.NOT_FOUND,
    409: ExitCode.NOT_LIVE,
    410: ExitCode.ENDED,
    503: ExitCode.UNAVAILABLE,
}


class SignallingError(Exception):
    """The offer led to no session."""

    exit_code = ExitCode.REFUSED


class UnreachableError(SignallingError):
    """No HTTP answer came from the URL."""

    exit_code = ExitCode.UNREACHABLE


class RefusedError(SignallingError):
    """The server said no. `problem` is its problem JSON (RFC 9457), empty if it sent none."""

    def __init__(self, status: int, problem: Mapping[str, Any], retry_after: float | None = None) -> None:
        detail = problem.get("detail") or problem.get("title") or "no reason was given"
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.problem = problem
        self.retry_after = retry_after
        self.exit_code = _EXIT_CODES.get(status, ExitCode.REFUSED)


@dataclass(frozen=True, slots=True)
class Session:
    """What a 201 brought."""

    url: URL
    answer: str
    ice_servers: tuple[IceServer, ...]


class WhipClient:
    """One signalling conversation with the endpoint at `url`; `token` goes with every request of it."""

    def __init__(self, http: aiohttp.ClientSession, url: str, token: str | None = None) -> None:
        self._http = http
        self._url = URL(url)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def offer(self, sdp: str, *, patience: float = 0.0) -> Session:
        """POST the offer.

        For up to `patience` seconds a 409 (not live yet) or 503 (no room yet) is tried again when its Retry-After has
        passed. Raises UnreachableError, RefusedError.
        """
        give_up = asyncio.get_running_loop().time() + patience
        while True:
            try:
                return await self._post(sdp)
            except RefusedError as refusal:
                pause = min(max(refusal.retry_after or 0.5, 0.1), 2.0)
                if refusal.status not in (409, 503) or asyncio.get_running_loop().time() + pause > give_up:
                    raise
                await asyncio.sleep(pause)

    async def end(self, session: Session) -> int | None:
        """DELETE the session, whatever its state; the status, or None when nobody answered."""
        try:
            async with self._http.delete(session.url, headers=self._headers, timeout=_timeout(3)) as response:
                return response.status
        except (aiohttp.ClientError, TimeoutError):
            return None

    async def reason_of_end(self, session: Session) -> str | None:
        """Why the server ended the session (docs/contract.md §3); None while it lives or when nobody answers."""
        try:
            async with self._http.get(session.url, headers=self._headers, timeout=_timeout(3)) as response:
                if response.status == HTTPStatus.GONE:
                    return str((await _problem(response)).get("reason", "ended"))
        except (aiohttp.ClientError, TimeoutError):
            pass
        return None

    async def _post(self, sdp: str) -> Session:
        headers = {**self._headers, "Content-Type": "application/sdp", "Accept": "application/sdp"}
        try:
            async with self._http.post(
                self._url, data=sdp.encode(), headers=headers, timeout=_timeout(REQUEST_SECONDS)
            ) as response:
                if response.status != HTTPStatus.CREATED:
                    raise RefusedError(response.status, await _problem(response), _retry_after(response))
                return await _session(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UnreachableError(f"no answer from {self._url.with_query(None)}: {error or 'time-out'}") from error


async def _session(response: aiohttp.ClientResponse) -> Session:
    location = response.headers.get("Location")
    if not location:
        raise RefusedError(response.status, {"detail": "the answer has no Location, so the session has no URL"})
    links = ice_servers(response.headers.getall("Link", []))
    return Session(response.url.join(URL(location)), await response.text(), links)


async def _problem(response: aiohttp.ClientResponse) -> Mapping[str, Any]:
    text = await response.text(errors="replace")
    try:
        problem = json.loads(text)
    except ValueError:
        return {"detail": text.strip()[:200]} if text.strip() else {}
    return problem if isinstance(problem, dict) else {}


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdecimal() else None


def _timeout(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds)
