"""Chromium publishes a fake camera and plays it back, straight through one engine."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from engine.peers import AUDIO, LOOPBACK, MakeNode, Node, eventually

if TYPE_CHECKING:
    from rivulet_media._engine import Track

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(shutil.which("chromium") is None, reason="needs the package chromium"),
]

Report = dict[str, Any]
PAGE = """<!doctype html><video autoplay muted playsinline></video><script>
const gather = pc => new Promise(done => {
  if (pc.iceGatheringState === 'complete') done();
  pc.addEventListener('icegatheringstatechange', () => pc.iceGatheringState === 'complete' && done());
});
const exchange = async (pc, path) => {
  await pc.setLocalDescription(await pc.createOffer());
  await gather(pc);
  const response = await fetch(path, {method: 'POST', body: pc.localDescription.sdp});
  if (!response.ok) throw new Error(await response.text());
  await pc.setRemoteDescription({type: 'answer', sdp: await response.text()});
};
const report = async facts => fetch('/report', {method: 'POST', body: JSON.stringify(facts)});
const noise = media => {
  const canvas = Object.assign(document.createElement('canvas'), {width: 320, height: 240});
  const pen = canvas.getContext('2d'), picture = pen.createImageData(320, 240);
  const words = new Uint32Array(picture.data.buffer);
  setInterval(() => {
    for (let i = 0; i < words.length; i++) words[i] = 0xff000000 | Math.random() * 0x1000000;
    pen.putImageData(picture, 0, 0);
  }, 50);
  return new MediaStream([...canvas.captureStream(20).getVideoTracks(), ...media.getAudioTracks()]);
};
(async () => {
  let media = await navigator.mediaDevices.getUserMedia({video: {width: 320, height: 240}, audio: true});
  if (location.hash === '#noise') media = noise(media);
  const up = new RTCPeerConnection(), down = new RTCPeerConnection();
  media.getTracks().forEach(track => up.addTransceiver(track, {direction: 'sendonly', streams: [media]}));
  await exchange(up, '/publish');
  down.addTransceiver('video', {direction: 'recvonly'});
  down.addTransceiver('audio', {direction: 'recvonly'});
  down.ontrack = event => { document.querySelector('video').srcObject = event.streams[0]; };
  await exchange(down, '/play');
  setInterval(async () => {
    // Seconds from the page's load.
    const facts = {up: up.connectionState, down: down.connectionState, seconds: performance.now() / 1000};
    for (const entry of (await down.getStats()).values()) {
      if (entry.type === 'inbound-rtp') {
        facts[entry.kind] = {frames: entry.framesDecoded, lost: entry.packetsLost, packets: entry.packetsReceived,
                             codec: entry.codecId && (await down.getStats(null)).get(entry.codecId)?.mimeType};
      }
    }
    for (const entry of (await up.getStats()).values()) {
      if (entry.type === 'candidate-pair' && entry.nominated) facts.estimate = entry.availableOutgoingBitrate;
    }
    await report(facts);
  }, 250);
})().catch(error => report({error: String(error)}));
</script>"""


@asynccontextmanager
async def browser(url: str, profile: Path) -> AsyncIterator[None]:
    """Headless Chromium with a fake camera on `url`."""
    process = await asyncio.create_subprocess_exec(
        "chromium",
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        "--autoplay-policy=no-user-gesture-required",
        f"--user-data-dir={profile}",
        url,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 5)
        except TimeoutError:
            process.kill()
            await process.wait()


@asynccontextmanager
async def pages(node: Node, codecs: list[str]) -> AsyncIterator[tuple[str, list[Report]]]:
    """The page and the two exchanges behind it; what the page reports."""
    reports: list[Report] = []

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async def publish(request: web.Request) -> web.Response:
        _, answer = node.engine.publish("s", "i1", await request.text(), codecs)
        return web.Response(text=answer)

    async def play(request: web.Request) -> web.Response:
        video: Track = {"kind": "video", "codec": codecs[0], "clock_rate": 90000, "fmtp": FMTP.get(codecs[0], "")}
        _, answer = node.engine.play("s", [video, AUDIO], await request.text())
        return web.Response(text=answer)

    async def report(request: web.Request) -> web.Response:
        reports.append(json.loads(await request.text()))
        return web.Response()

    app = web.Application()
    app.add_routes(
        [web.get("/", page), web.post("/publish", publish), web.post("/play", play), web.post("/report", report)]
    )
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, LOOPBACK, 0)
    await site.start()
    try:
        yield f"http://{LOOPBACK}:{runner.addresses[0][1]}/", reports
    finally:
        await runner.cleanup()


def plays(report: Report, frames: int = 0, packets: int = 0) -> bool:
    """Whether a page has more pictures and sounds by then."""
    video, audio = report.get("video"), report.get("audio")
    return bool(video and audio and (video["frames"] or 0) > frames and (audio["packets"] or 0) > packets)


FMTP = {"h264": "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f", "vp9": "profile-id=0"}


@pytest.mark.parametrize("codec", ["vp8", "h264", "vp9", "av1"])
async def test_chromium_plays_what_chromium_publishes(make_node: MakeNode, tmp_path: Path, codec: str) -> None:
    node = make_node()
    async with pages(node, [codec, "opus"]) as (url, reports), browser(url, tmp_path):
        await eventually(lambda: bool(reports), "the page's first report", 30)
        if "error" in reports[-1] and codec == "h264":
            pytest.skip(f"this Chromium has no {codec}: {reports[-1]}")

        def loses_nothing() -> bool:
            """For 30 frames."""
            *earlier, last = [report["video"] for report in reports if plays(report)] or [None]
            return any(last["frames"] - video["frames"] >= 30 and last["lost"] == video["lost"] for video in earlier)

        await eventually(lambda: plays(reports[-1], 30, 50), f"frames of {reports[-1:]}", 40)
        await eventually(loses_nothing, f"30 frames without a loss in {reports}", 20)
        assert reports[-1]["video"]["codec"].lower() == f"video/{codec}"


async def test_a_browsers_estimate_of_its_uplink_rises(make_node: MakeNode, tmp_path: Path) -> None:
    """It starts at 300 kbit/s and learns from our transport-wide feedback that loopback carries more.

    Noise fills whatever the estimate allows. Chromium's own camera does not: then only one short probe at the start
    tells it of more, and a busy machine can spoil that.
    """
    node = make_node()
    async with pages(node, ["vp8", "opus"]) as (url, reports), browser(f"{url}#noise", tmp_path):

        def estimates() -> list[float]:
            return [value for report in reports if isinstance(value := report.get("estimate"), int | float)]

        await eventually(lambda: max(estimates(), default=0) > 500_000, "an estimate above 500 kbit/s", 90)
