"""The node's own limits, without a node: the clock stands still."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from rivulet_media.errors import NotYetError
from rivulet_media.sessions import Session, Sessions
from rivulet_media.signalling.limits import PER_CLIENT, PER_SESSION, Limits

SESSION = "0123456789abcdef"


def limits() -> Limits:
    sessions = Sessions()
    sessions.add(Session(SESSION, "viewer", "s"))
    return Limits(cast("Any", SimpleNamespace(join_token="join", sessions=sessions, clock=lambda: 1.0)))


async def taken(limits: Limits, path: str, count: int, **headers: str) -> int:
    """How many of `count` requests pass before the first that does not."""
    given = {name.replace("_", "-"): text for name, text in headers.items()}

    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response()

    passed, refused = 0, None
    while passed < count and refused is None:
        request = make_mocked_request("GET", path, headers=given)
        request._match_info = cast("Any", {"session": path.rpartition("/")[2]} if "/session/" in path else {})
        try:
            await limits.check(request, handler)
            passed += 1
        except NotYetError as error:
            refused = error
    if refused is not None:
        assert (refused.slug, refused.status, refused.headers["Retry-After"]) == ("too-many-requests", 429, "1")
    return passed


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({}, PER_CLIENT.burst),
        ({"Rivulet_Join": "wrong"}, PER_CLIENT.burst),
        ({"Rivulet_Join": "join"}, PER_CLIENT.burst + 5),
        ({"Authorization": "Bearer join"}, PER_CLIENT.burst + 5),
    ],
    ids=["stranger", "wrong token", "director", "node"],
)
async def test_strangers_have_a_rate_and_the_region_has_none(headers: dict[str, str], passes: float) -> None:
    """S5."""
    assert await taken(limits(), "/whep/s", int(PER_CLIENT.burst) + 5, **headers) == passes


async def test_probes_always_pass() -> None:
    """S5: a node under a flood is not restarted for it."""
    busy = limits()
    await taken(busy, "/whep/s", int(PER_CLIENT.burst) + 5)
    assert await taken(busy, "/readyz", 50) == 50


async def test_a_session_has_a_rate_of_its_own_whoever_asks() -> None:
    """S5."""
    url = f"/session/edge-eu-0/000000000000/{SESSION}"
    assert await taken(limits(), url, 100, Rivulet_Join="join") == PER_SESSION.burst
    assert await taken(limits(), url.replace(SESSION, "f" * 16), 100, Rivulet_Join="join") == 100
