"""S5: over a limit there is an answer that says when to come again, and everybody else is served as before."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from http import HTTPStatus
from itertools import count

import aiohttp
import pytest

from node.clients import SDP, let_in, publisher, session_url, viewer
from node.conftest import STREAMS
from rivulet_media.admission import MOST_PENDING
from rivulet_scene.bare import BareCdn
from rivulet_scene.http import Answer, get, request
from rivulet_scene.waiting import until

pytestmark = pytest.mark.timeout(120)
TOO_MANY = HTTPStatus.TOO_MANY_REQUESTS
AT_ONCE = 25  # so that all are there before the first runs out of time for its handshake
HANDSHAKE_SECONDS = 15


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        yield session


@pytest.fixture
def slow_door(region: BareCdn) -> Iterator[str]:
    """The front door with a limit of 2 requests a second, set while it runs."""
    sheet = region.regions["eu"]
    region.write_file(sheet, STREAMS, limits={"requestsPerSecond": 2})
    until(lambda: any(ask(sheet.public()).status == TOO_MANY for _ in range(12)), "the limit holds", seconds=20)
    yield sheet.public()
    region.write_file(sheet, STREAMS)
    until(lambda: all(ask(sheet.public()).status != TOO_MANY for _ in range(12)), "no limit", seconds=20)


@pytest.fixture
def door(region: BareCdn) -> Iterator[str]:
    """The front door, told that its clients' addresses are their own."""
    sheet = region.regions["eu"]
    region.write_file(sheet, {**STREAMS, "seen": {"region": "eu"}}, limits={"requestsPerSecond": 5000})
    until(lambda: get(f"{sheet.public()}/v1/streams/seen").status == HTTPStatus.OK, "the file is read", seconds=20)
    yield sheet.public()
    region.write_file(sheet, STREAMS)


async def post(
    http: aiohttp.ClientSession, url: str, offer: str, headers: Mapping[str, str] | None = None
) -> tuple[int, Mapping[str, str]]:
    async with http.post(url, data=offer, headers={**SDP, **(headers or {})}) as answer:
        return answer.status, answer.headers


def ask(door: str) -> Answer:
    return get(f"{door}/v1/streams/test_eu")


def test_the_front_door_slows_one_address_down(slow_door: str) -> None:
    answers = [ask(slow_door) for _ in range(12)]
    refused = [answer for answer in answers if answer.status == TOO_MANY]
    assert refused
    assert refused[0].json["type"].endswith("/too-many-requests")
    assert int(refused[0].headers["Retry-After"]) >= 1
    assert refused[0].headers["Access-Control-Allow-Origin"] == "*"
    assert {get(f"{slow_door}{probe}").status for probe in ("/healthz", "/readyz") * 10} == {200}


async def test_one_client_cannot_take_all_handshakes(region: BareCdn, door: str, http: aiohttp.ClientSession) -> None:
    """Offers without a handshake, through the director, from one address: others still find room."""
    origin, edge = (region.processes[name].http for name in ("origin-eu-0", "edge-eu-0"))
    async with publisher() as camera, viewer() as flood, viewer() as other:
        await camera.post(f"{origin}/whip/third_eu", let_in(region))
        await camera.connect()
        await asyncio.to_thread(until, lambda: get(f"{edge}/whep/third_eu").status == 204, "known", seconds=10)
        codes: list[int] = []
        while TOO_MANY not in codes and len(codes) < 2 * MOST_PENDING - AT_ONCE:
            asked = [post(http, f"{door}/whep/third_eu", flood.offer) for _ in range(AT_ONCE)]
            codes += [status for status, _ in await asyncio.gather(*asked)]
        assert set(codes) == {HTTPStatus.CREATED, TOO_MANY}
        assert codes.count(HTTPStatus.CREATED) >= MOST_PENDING - 5, "pending ones of this test only, but for a few"
        join = {"Rivulet-Join": region.regions["eu"].join_token, "Rivulet-Client": "192.0.2.9"}
        assert (await other.post(f"{edge}/whep/third_eu", join)).status == 201
        await other.connect()
        await asyncio.to_thread(request, "DELETE", session_url(origin, camera.posted))


async def test_a_publisher_is_told_to_come_again_when_its_origin_has_no_room(
    region: BareCdn, http: aiohttp.ClientSession
) -> None:
    """The engine's limit of sessions, straight and through the front door; a session that ends makes room."""
    full = region.node("origin-eu-1", "origin", "eu")
    through_door = f"{region.regions['eu'].public()}/n/origin-eu-1/whip/other_eu"
    token = {"Authorization": f"Bearer {region.token('other_eu')}"}
    try:
        async with publisher() as camera:
            made: list[tuple[float, str]] = []
            numbers = count()

            async def fill() -> None:
                """Until one more is refused: of what was made before, some may have ended meanwhile."""
                for _ in range(8 * MOST_PENDING // AT_ONCE):
                    begun = time.monotonic()
                    urls = [f"{full.http}/whip/held-{next(numbers)}" for _ in range(AT_ONCE)]
                    answers = await asyncio.gather(*(post(http, url, camera.offer, let_in(region)) for url in urls))
                    new = [headers["Location"] for status, headers in answers if status == HTTPStatus.CREATED]
                    made.extend((begun, location) for location in new)
                    if len(new) < AT_ONCE:
                        return

            late = f"{full.http}/whip/late"
            for url, headers in ((late, let_in(region)), (through_door, token)):
                await fill()
                status, said = await post(http, url, camera.offer, headers)
                assert status == HTTPStatus.SERVICE_UNAVAILABLE
                assert said["Content-Type"] == "application/problem+json"
                assert int(said["Retry-After"]) >= 1
            assert len(made) >= 2 * MOST_PENDING
            living = [when for when, _ in made if when > time.monotonic() - HANDSHAKE_SECONDS]
            assert len(living) <= 2 * MOST_PENDING
            assert (await asyncio.to_thread(request, "DELETE", full.http + made[-1][1])).status == HTTPStatus.OK
            assert (await post(http, late, camera.offer, let_in(region)))[0] == HTTPStatus.CREATED
    finally:
        await asyncio.to_thread(full.stop)
