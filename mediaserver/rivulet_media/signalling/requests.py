"""Reading requests: bodies with bounds, tokens, names; refusals as problem JSON; CORS."""

import asyncio
import re
from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

from rivulet_media import shared_secret
from rivulet_media._engine import (
    EngineError,
    LimitError,
    NoTcpError,
    OfferError,
    UnknownSessionError,
    UnsupportedError,
)
from rivulet_media.errors import NotYetError, RefusedError
from rivulet_media.problems import problem
from rivulet_media.rate_limit import of_address

SDP = "application/sdp"
SDP_FRAGMENT = "application/trickle-ice-sdpfrag"
BODY_SECONDS = 10.0

_STREAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

CORS_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Location, ETag, Link, Retry-After",
}
PREFLIGHT_HEADERS = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PATCH, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
    "Access-Control-Max-Age": "600",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every refusal becomes a problem object."""
    try:
        return await handler(request)
    except EngineError as error:
        return problem(refusal_of(error), request)
    except Exception as error:  # noqa: BLE001 - what it is decides the answer
        return problem(error, request)


async def allow_all_origins(_: web.Request, response: web.StreamResponse) -> None:
    """CORS on every answer: players live on other people's pages."""
    response.headers.update(CORS_HEADERS)


def refusal_of(error: EngineError, **members: object) -> RefusedError:
    """What the engine does not take, as a problem."""
    if isinstance(error, OfferError):
        return RefusedError("bad-request", str(error))
    if isinstance(error, LimitError):
        return NotYetError("full", str(error))
    if isinstance(error, UnknownSessionError):
        return RefusedError("not-found", str(error))
    if isinstance(error, NoTcpError):
        return RefusedError("no-tcp", str(error))
    if isinstance(error, UnsupportedError):
        return RefusedError("not-playable", str(error), **members)
    return NotYetError("no-node", f"this node's engine does not answer: {error}")


def stream_name(request: web.Request) -> str:
    """The `{stream}` of the path."""
    name = request.match_info["stream"]
    if not _STREAM.fullmatch(name):
        raise RefusedError(
            "not-found", f"{name[:140]!r} is no stream's name: letters, digits, '.', '_', '-', up to 128"
        )
    return name


async def read_text(request: web.Request, media_type: str) -> str:
    """The body, if it is of this type, text, and comes in time."""
    if request.content_type != media_type:
        raise RefusedError("wrong-media-type", f"send {media_type}, not {request.content_type}")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await request.read()
        return body.decode()
    except TimeoutError as error:
        raise RefusedError("bad-request", f"the body did not come within {BODY_SECONDS:g} s") from error
    except UnicodeDecodeError as error:
        raise RefusedError("bad-request", "the body is not UTF-8 text") from error


def check_token(given: str | None, token: str, what: str) -> None:
    """Compare in constant time. RefusedError `unauthorized`."""
    if not shared_secret.fits(given or "", token):
        raise RefusedError("unauthorized", f"{what} needs the region's join token")


def bearer(request: web.Request) -> str:
    """The token of `Authorization: Bearer …`; "" without one."""
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def is_ours(request: web.Request, join_token: str) -> bool:
    """Whether a director or node of the region asks."""
    given = request.headers.get("Rivulet-Join", ""), bearer(request)
    return any(shared_secret.fits(each, join_token) for each in given)


def client_of(request: web.Request, join_token: str) -> str:
    """Whose request it is, by address; a director says for whom it asks. "": nobody can say."""
    address = request.headers.get("Rivulet-Client", "") if is_ours(request, join_token) else request.remote or ""
    return of_address(address) if address else ""


def preflight(**more: str) -> web.Response:
    """The answer to OPTIONS."""
    return web.Response(status=200, headers={**PREFLIGHT_HEADERS, **more})


def hang_up(request: web.Request) -> None:
    """Close without the end of an answer, which would wait for a reader that does not read, for ever."""
    if request.transport is not None:
        request.transport.abort()
