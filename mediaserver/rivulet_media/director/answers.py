"""What clients and nodes get to read: answers and refusals as values, problem JSON (RFC 9457)."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

from rivulet_media.errors import RefusedError
from rivulet_media.problems import problem

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Answer:
    """A response that is not yet one of aiohttp's."""

    status: int
    headers: CIMultiDict[str] = field(default_factory=CIMultiDict)
    body: bytes = b""


def refusal(refused: RefusedError) -> Answer:
    """The refusal as problem JSON."""
    return Answer(refused.status, CIMultiDict(refused.headers), refused.body())


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
    except Exception as error:  # noqa: BLE001 - what it is decides the answer
        return problem(error, request)
