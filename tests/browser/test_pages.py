"""The pages' own logic in real Chromium, against an endpoint in this process; test_browser_cdn.py has a whole CDN."""

import asyncio
import importlib.resources
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from chromium import Chromium, page_of
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


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Chromium]:
    async with Chromium(tmp_path) as running:
        yield running


async def test_the_camera_page_publishes_picture_and_sound_and_says_goodbye(
    browser: Chromium, endpoint: LoopbackEndpoint
) -> None:
    """R7: a browser publishes audio + video."""
    async with page_of(browser, f"{endpoint.base}/publish/my.show#token=T0K3N&auto") as page:
        await page.until("rivulet.state === 'publishing'", 20)
        ingest = endpoint.ingests[0]
        arrivals = ingest.viewer.arrivals
        await until(lambda: arrivals["video"].frames > 30 and arrivals["audio"].frames > 50)
        assert ingest.authorization == "Bearer T0K3N"
        assert ingest.stream == "my.show"
        figures = await page.evaluate("rivulet.figures()")
        assert figures["video"]["codec"] == "video/H264"
        assert figures["pair"]["relayed"] is False
        session = await page.evaluate("rivulet.session")
        await page.evaluate("document.getElementById('stop').click()")
        await page.until("rivulet.state === 'ended'", 5)
    assert endpoint.deleted == [session.rsplit("/", 1)[1]]


async def test_the_player_page_waits_until_live_plays_and_learns_why_it_ended(
    browser: Chromium, endpoint: LoopbackEndpoint
) -> None:
    """R12: a browser plays audio + video."""
    endpoint.refusal, endpoint.refusals_left = (409, NOT_LIVE, {"Retry-After": "1"}), 1
    async with page_of(browser, f"{endpoint.base}/play/my.show") as page:
        await page.until("rivulet.state === 'playing'", 20)
        assert "waiting" in await page.evaluate("rivulet.states")
        await page.until("rivulet.figures().then(f => f.video.framesDecoded > 30 && f.audio.packetsReceived > 50)", 20)
        figures = await page.evaluate("rivulet.figures()")
        assert (figures["video"]["frameWidth"], figures["video"]["frameHeight"]) == (640, 360)
        assert (figures["pair"]["protocol"], figures["pair"]["relayed"]) == ("udp", False)
        await endpoint.end_all("stream-ended")
        await page.until("rivulet.state === 'ended' && rivulet.detail === 'stream-ended'", 15)


async def test_a_refusal_is_shown_in_the_server_s_words(browser: Chromium, endpoint: LoopbackEndpoint) -> None:
    endpoint.refusal, endpoint.refusals_left = (401, {"detail": "the token expired 9 s ago"}, {}), 1
    async with page_of(browser, f"{endpoint.base}/publish/a#auto") as page:
        await page.until("rivulet.state === 'failed'", 10)
        assert (
            await page.evaluate("document.getElementById('state').textContent") == "failed: the token expired 9 s ago"
        )


async def test_the_servers_of_the_link_headers_are_used(browser: Chromium, endpoint: LoopbackEndpoint) -> None:
    login = 'rel="ice-server"; username="a:b"; credential="c,d;e="; credential-type="password"'
    endpoint.links = [f"<turn:127.0.0.1:9?transport=udp>; {login}", f"<turn:127.0.0.1:9?transport=tcp>; {login}"]
    async with page_of(browser, f"{endpoint.base}/play/a") as page:
        await page.until("rivulet.state === 'playing'", 20)
        servers = await page.evaluate("rivulet.connection.getConfiguration().iceServers")
        assert [(s["urls"], s["username"], s["credential"]) for s in servers] == [
            (["turn:127.0.0.1:9?transport=udp"], "a:b", "c,d;e="),
            (["turn:127.0.0.1:9?transport=tcp"], "a:b", "c,d;e="),
        ]


async def until(condition: object, seconds: float = 20) -> None:
    assert callable(condition)
    for _ in range(int(seconds * 10)):
        if condition():
            return
        await asyncio.sleep(0.1)
    raise AssertionError("it did not happen in time")
