"""The pages' own logic in real Chromium, against an endpoint in this process; test_browser_cdn.py has a whole CDN."""

import asyncio
import importlib.resources
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from aiohttp import web

from chromium import Chromium, Page
from flash_and_tone import wait_until_in_step, watch
from loopback_endpoint import LoopbackEndpoint
from rivulet_media.camera.encoders import VideoSettings
from rivulet_media.camera.sources import CameraSettings

pytestmark = pytest.mark.timeout(90)  # Chromium takes its time to start while two cores are busy
NOT_LIVE = {"title": "not live", "detail": "nobody publishes it"}


@pytest.fixture
async def endpoint() -> AsyncIterator[LoopbackEndpoint]:
    here = LoopbackEndpoint(CameraSettings(None, VideoSettings(), audio=True))
    app = here.app()
    app.router.add_get("/{page:publish|play}/{stream}", serve_page)
    app.router.add_get("/pages/whip-whep.js", serve_script)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    here.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield here
    await here.close()
    await runner.cleanup()


async def serve_page(request: web.Request) -> web.Response:
    page = importlib.resources.files("rivulet_media.pages") / f"{request.match_info['page']}.html"
    return web.Response(text=page.read_text(), content_type="text/html")


async def serve_script(_: web.Request) -> web.Response:
    script = importlib.resources.files("rivulet_media.pages") / "whip-whep.js"
    return web.Response(text=script.read_text(), content_type="text/javascript")


@pytest.fixture
def browser() -> Iterator[Chromium]:
    with Chromium() as running:
        yield running


async def opened(browser: Chromium, url: str) -> Page:
    return await asyncio.to_thread(browser.open, url)


async def shows(page: Page, script: str, seconds: float = 20) -> Any:
    return await asyncio.to_thread(page.until, script, seconds)


async def value(page: Page, script: str) -> Any:
    return await asyncio.to_thread(page.evaluate, script)


async def test_the_camera_page_publishes_picture_and_sound_and_says_goodbye(
    browser: Chromium, endpoint: LoopbackEndpoint
) -> None:
    """R7: a browser publishes audio + video."""
    page = await opened(browser, f"{endpoint.base}/publish/my.show#token=T0K3N&start")
    await shows(page, "rivulet.state === 'live'")
    ingest = endpoint.ingests[0]
    arrivals = ingest.viewer.arrivals
    await until(lambda: arrivals["video"].frames > 30 and arrivals["audio"].frames > 50)
    assert (ingest.stream, ingest.authorization) == ("my.show", "Bearer T0K3N")
    figures = await value(page, "rivulet.figures()")
    assert figures["video"]["codec"] == "video/H264"
    assert figures["pair"]["relayed"] is False
    session = await value(page, "rivulet.session")
    await value(page, "document.getElementById('stop').click()")
    await shows(page, "rivulet.state === 'ended'")
    assert endpoint.deleted == [session.rsplit("/", 1)[1]]


async def test_the_player_page_waits_until_live_plays_and_learns_why_it_ended(
    browser: Chromium, endpoint: LoopbackEndpoint
) -> None:
    """R12: a browser plays audio + video."""
    endpoint.refusal, endpoint.refusals_left = (409, NOT_LIVE, {"Retry-After": "1"}), 1
    page = await opened(browser, f"{endpoint.base}/play/my.show")
    await shows(page, "rivulet.framesDecoded > 30 && rivulet.audioPackets > 50")
    assert await value(page, "rivulet.states") == [
        "idle",
        "idle",
        "connecting",
        "waiting",
        "idle",
        "connecting",
        "playing",
    ]
    figures = await value(page, "rivulet.figures()")
    assert (figures["video"]["frameWidth"], figures["video"]["frameHeight"]) == (640, 360)
    assert (figures["pair"]["protocol"], figures["pair"]["relayed"]) == ("udp", False)
    await endpoint.end_all("stream-ended")
    await shows(page, "rivulet.state === 'ended' && rivulet.detail === 'stream-ended'")


async def test_a_tab_that_is_closed_ends_its_session(browser: Chromium, endpoint: LoopbackEndpoint) -> None:
    page = await opened(browser, f"{endpoint.base}/play/a")
    await shows(page, "rivulet.state === 'playing'")
    session = await value(page, "rivulet.session")
    await asyncio.to_thread(page.close)
    await until(lambda: endpoint.deleted == [session.rsplit("/", 1)[1]])


async def test_a_refusal_is_shown_in_the_server_s_words(browser: Chromium, endpoint: LoopbackEndpoint) -> None:
    endpoint.refusal, endpoint.refusals_left = (401, {"detail": "the token expired 9 s ago"}, {}), 1
    page = await opened(browser, f"{endpoint.base}/publish/a#start")
    await shows(page, "rivulet.state === 'failed'")
    shown = await value(page, "document.getElementById('state').textContent")
    assert shown == "failed: the token expired 9 s ago"


async def test_the_servers_of_the_link_headers_are_used(browser: Chromium, endpoint: LoopbackEndpoint) -> None:
    login = 'rel="ice-server"; username="a:b"; credential="c,d;e="; credential-type="password"'
    endpoint.links = [f"<turn:127.0.0.1:9?transport=udp>; {login}", f"<turn:127.0.0.1:9?transport=tcp>; {login}"]
    page = await opened(browser, f"{endpoint.base}/play/a")
    await shows(page, "rivulet.state === 'playing'")
    servers = await value(page, "rivulet.connection.getConfiguration().iceServers")
    assert [(server["urls"], server["username"], server["credential"]) for server in servers] == [
        (["turn:127.0.0.1:9?transport=udp"], "a:b", "c,d;e="),
        (["turn:127.0.0.1:9?transport=tcp"], "a:b", "c,d;e="),
    ]


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("skew", "least", "most"), [(0.0, -100, 100), (0.3, 200, 500)], ids=["in step", "skewed"])
async def test_flash_and_tone_reach_a_browser_s_viewer_together(
    browser: Chromium, endpoint: LoopbackEndpoint, skew: float, least: float, most: float
) -> None:
    """R17: lip-sync in Chromium; a publisher skewed by 300 ms is seen as such."""
    endpoint.camera = CameraSettings(None, VideoSettings(), audio=True, skew=skew)
    page = await opened(browser, f"{endpoint.base}/play/a")
    await shows(page, "rivulet.framesDecoded > 0")
    await asyncio.to_thread(watch, page)
    await asyncio.to_thread(wait_until_in_step, page, least, most)


async def until(condition: object, seconds: float = 20) -> None:
    assert callable(condition)
    for _ in range(int(seconds * 10)):
        if condition():
            return
        await asyncio.sleep(0.1)
    raise AssertionError("it did not happen in time")
