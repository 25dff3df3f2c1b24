"""What clients and nodes get to read: answers and refusals as values, problem JSON (RFC 9457)."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

PROBLEMS = "https://rivulet.dev/problems/"
PROBLEM_TYPE = "application/problem+json"
BODY_BYTES = 64 * 1024

_STATUS: Mapping[str, int] = {
    "bad-request": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not-found": 404,
    "method-not-allowed": 405,
    "not-live": 409,
    "name-in-use": 409,
    "ended": 410,
    "too-large": 413,
    "full": 503,
    "settling": 503,
    "region-unreachable": 503,
    "no-node": 503,
}
_RETRY_SECONDS = 2

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Answer:
    """A response that is not yet one of aiohttp's."""

    status: int
    headers: CIMultiDict[str] = field(default_factory=CIMultiDict)
    body: bytes = b""


class RefusedError(Exception):
    """The request is refused; `slug` is one of docs/contract.md §3."""

    def __init__(self, slug: str, detail: str, **members: Any) -> None:
        """`detail`: what is wrong, where, what to do. `members` stand beside it in the body."""
        super().__init__(detail)
        self.slug = slug
        self.members = members

    @property
    def status(self) -> int:
        """The HTTP status of the slug."""
        return _STATUS[self.slug]

    def answer(self) -> Answer:
        """The refusal as problem JSON, with Retry-After where trying again helps."""
        title = self.slug.replace("-", " ").capitalize()
        problem = {"type": PROBLEMS + self.slug, "title": title, "status": self.status, "detail": str(self)}
        headers = CIMultiDict({"Content-Type": PROBLEM_TYPE})
        if self.status in (409, 503) and self.slug != "name-in-use":
            headers["Retry-After"] = str(_RETRY_SECONDS)
        if self.slug == "unauthorized":
            headers["WWW-Authenticate"] = "Bearer"
        return Answer(self.status, headers, json.dumps(problem | self.members).encode())


def response(answer: Answer) -> web.Response:
    """The answer as aiohttp sends it."""
    return web.Response(status=answer.status, headers=answer.headers, body=answer.body)


def json_answer(data: Any, status: int = 200) -> Answer:
    """Data as JSON; never cached."""
    headers = CIMultiDict({"Content-Type": "application/json", "Cache-Control": "no-store"})
    return Answer(status, headers, json.dumps(data).encode())


@web.middleware
async def refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error of a listener becomes problem JSON."""
    try:
        return await handler(request)
    except RefusedError as refused:
        return response(refused.answer())
    except web.HTTPRequestEntityTooLarge:
        too_large = RefusedError("too-large", f"the body is larger than {BODY_BYTES} bytes; an SDP never needs that")
        return response(too_large.answer())
    except web.HTTPNotFound:
        return response(RefusedError("not-found", f"there is nothing at {request.path}").answer())
    except web.HTTPMethodNotAllowed as error:
        answer = response(RefusedError("method-not-allowed", f"{request.method} is not possible here").answer())
        answer.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
        return answer
