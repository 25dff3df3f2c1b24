"""Reading requests: bodies with bounds, tokens, names; refusals as problem JSON; CORS."""

import asyncio
import hmac
import re
from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

from rivulet_media._engine import EngineError, LimitError, OfferError, UnknownSessionError, UnsupportedError
from rivulet_media.errors import NotYetError, RefusedError

SDP = "application/sdp"
SDP_FRAGMENT = "application/trickle-ice-sdpfrag"
MAX_BODY = 64 * 1024
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
    except RefusedError as refused:
        return _answer(refused)
    except EngineError as error:
        return _answer(refusal_of(error))
    except web.HTTPRequestEntityTooLarge:
        return _answer(RefusedError("too-large", f"the body is larger than {MAX_BODY} bytes"))
    except web.HTTPNotFound:
        return _answer(RefusedError("not-found", f"there is nothing at {request.path}"))
    except web.HTTPMethodNotAllowed as error:
        refusal = RefusedError("method-not-allowed", f"{request.method} is not possible at {request.path}")
        answer = _answer(refusal)
        answer.headers[hdrs.ALLOW] = ", ".join(sorted(error.allowed_methods))
        return answer


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
    if not hmac.compare_digest((given or "").encode(), token.encode()):
        raise RefusedError("unauthorized", f"{what} needs the region's join token")


def bearer(request: web.Request) -> str:
    """The token of `Authorization: Bearer …`; "" without one."""
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def preflight(**more: str) -> web.Response:
    """The answer to OPTIONS."""
    return web.Response(status=200, headers={**PREFLIGHT_HEADERS, **more})


def _answer(refused: RefusedError) -> web.Response:
    return web.Response(status=refused.status, headers=refused.headers, body=refused.body())
