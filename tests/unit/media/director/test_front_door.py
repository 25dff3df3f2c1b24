"""What every request passes first, without a director: no node is asked."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict, CIMultiDictProxy

from rivulet_media.director.front_door import MOST_IN_FLIGHT, FrontDoor, read_call
from rivulet_media.errors import NotYetError, RefusedError

SESSION = "/session/edge-eu-0/000000000000/0123456789abcdef"


def front_door() -> FrontDoor:
    directory = SimpleNamespace(resources=SimpleNamespace(regions={}), region="eu")
    return FrontDoor(cast("Any", directory), cast("Any", None), cast("Any", None))


async def in_flight(door: FrontDoor, method: str, path: str) -> int:
    """How many requests are counted while this one is answered."""
    request = make_mocked_request(method, path)
    request._match_info = await door.application().router.resolve(request)
    counted = []

    async def handler(_: web.Request) -> web.StreamResponse:
        counted.append(door._in_flight)
        return web.Response()

    await door._limited(request, handler)
    assert door._in_flight == 0
    return counted[0]


@pytest.mark.parametrize(
    ("method", "path", "counted"),
    [
        ("GET", f"{SESSION}/events", 0),
        ("POST", f"{SESSION}/events", 1),
        ("OPTIONS", f"{SESSION}/events", 1),
        ("POST", "/whep/events", 1),
        ("POST", "/whip/events", 1),
        ("GET", "/v1/streams/events", 1),
        ("GET", "/nothing/events", 1),
        ("POST", "/whep/s", 1),
        ("GET", "/healthz", 0),
    ],
)
async def test_all_requests_count_but_probes_and_event_streams_which_stay_open(
    method: str, path: str, counted: int
) -> None:
    """S5."""
    assert await in_flight(front_door(), method, path) == counted


@pytest.mark.parametrize("path", ["/whep/events", f"{SESSION}/events", "/whep/s"])
async def test_a_director_with_enough_to_do_says_so(path: str) -> None:
    door = front_door()
    door._in_flight = MOST_IN_FLIGHT
    with pytest.raises(NotYetError, match="busy"):
        await in_flight(door, "POST", path)


NOT_UTF_8 = b"\xff".decode(errors="surrogateescape")


@pytest.mark.parametrize(
    ("path", "headers", "authorization", "slug"),
    [
        ("/whep/s?layer=%0Aa", {}, "", "bad-request"),
        ("/whep/s?layer=a%00", {}, "", "bad-request"),
        ("/whep/s", {"If-Match": NOT_UTF_8}, "", "bad-request"),
        ("/whep/s", {"Content-Type": f"application/{NOT_UTF_8}"}, "", "bad-request"),
        ("/whip/s", {}, f"Bearer {NOT_UTF_8}.b.c", "unauthorized"),
        ("/whip/s", {}, "Bearer a\nRivulet-Join: x", "unauthorized"),
    ],
)
async def test_what_can_be_no_header_is_not_passed_on_as_one(
    path: str, headers: dict[str, str], authorization: str, slug: str
) -> None:
    request = make_mocked_request("POST", path)
    request._headers = CIMultiDictProxy(CIMultiDict(headers))
    request._read_bytes = b"v=0"
    with pytest.raises(RefusedError) as refused:
        await read_call(request, authorization=authorization, client="")
    assert refused.value.slug == slug


async def test_white_space_that_headers_may_have_is_passed_on() -> None:
    content_type = "application/sdp;\tcharset=utf-8"
    request = make_mocked_request("POST", "/whep/s?layer=h", headers={"Content-Type": content_type})
    request._read_bytes = b"v=0"
    call = await read_call(request, authorization="Bearer x", client="192.0.2.1")
    assert call.headers == {"Content-Type": content_type, "Rivulet-Layer": "h"}
