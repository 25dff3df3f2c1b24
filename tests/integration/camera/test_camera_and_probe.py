"""`rivulet-media publish` and `play` as processes, against an endpoint in this process. Real media, no CDN."""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import av
import pytest
from aiohttp import web

from attempts import ATTEMPTS
from loopback_endpoint import LoopbackEndpoint
from rivulet_media.camera.encoders import VideoSettings, picture_frame
from rivulet_media.camera.picture import Moment, TimerPicture
from rivulet_media.camera.sources import CameraSettings
from rivulet_media.camera.tone import burst_samples
from rivulet_media.probe.viewer import Viewer

pytestmark = pytest.mark.timeout(180)

TIMER = CameraSettings(None, VideoSettings(), audio=True)


@contextlib.asynccontextmanager
async def endpoint(camera: CameraSettings = TIMER) -> AsyncIterator[LoopbackEndpoint]:
    here = LoopbackEndpoint(camera)
    runner = web.AppRunner(here.app())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    here.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield here
    finally:
        await here.close()
        await runner.cleanup()


async def arrived(viewer: Viewer, *, video: int, audio: int) -> None:
    for _ in range(400):
        if viewer.arrivals["video"].frames >= video and viewer.arrivals["audio"].frames >= audio:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(viewer.figures(("audio", "video")))


class Run:
    """One `rivulet-media` process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self, seconds: float = 45) -> dict[str, Any]:
        assert self.process.stdout is not None
        text = await asyncio.wait_for(self.process.stdout.readline(), seconds)
        assert text, await self.errors()
        parsed: dict[str, Any] = json.loads(text)
        return parsed

    async def exit_code(self, seconds: float = 30) -> int:
        return await asyncio.wait_for(self.process.wait(), seconds)

    async def errors(self) -> str:
        assert self.process.stderr is not None
        return (await self.process.stderr.read()).decode()


@contextlib.asynccontextmanager
async def rivulet_media(*arguments: str) -> AsyncIterator[Run]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "rivulet_media.main", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield Run(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def played(url: str, *options: str) -> tuple[int, dict[str, Any]]:
    async with rivulet_media("play", url, "--json", *options) as run:
        result = await run.line(40)
        return await run.exit_code(), result


async def test_the_probe_sees_the_timer_in_full_and_in_step() -> None:
    """E4 R12 R17 T8: in one of three looks, for the machine may pause."""
    async with endpoint() as server:
        options = ("--duration", "5", "--warm-up", "0", "--playout-delay", "100")
        for look in range(ATTEMPTS):
            code, seen = await played(f"{server.base}/whep/a", *options)
            assert code == 0
            assert (seen["video"]["width"], seen["video"]["height"], seen["video"]["codec"]) == (640, 360, "h264")
            assert (seen["pair"]["protocol"], seen["pair"]["relayed"], seen["ended"]) == ("udp", False, "duration")
            assert server.deleted[look:] == [seen["session"].rsplit("/", 1)[1]]
            if in_full_and_in_step(seen, 5):
                break
    assert in_full_and_in_step(seen, 5), seen


def in_full_and_in_step(seen: dict[str, Any], seconds: float) -> bool:
    return bool(
        seen["video"]["fps"] >= 0.95 * 15
        and seen["video"]["screen"]["fps"] >= 0.95 * 15
        and seen["audio"]["frames"] >= 0.9 * 50 * seconds
        and seen["lip_sync_ms"]["samples"] >= 3
        and seen["lip_sync_ms"]["p95"] < 100
        and seen["latency_ms"]["p95"] < 1000
        and seen["latency_ms"]["samples"] >= 0.9 * 15 * seconds
    )


async def test_a_publisher_skewed_by_300_ms_is_seen_as_such() -> None:
    """R17: the check can fail."""
    async with endpoint(CameraSettings(None, VideoSettings(), audio=True, skew=0.3)) as server:
        _, seen = await played(f"{server.base}/whep/a", "--duration", "8", "--warm-up", "0")
    assert seen["lip_sync_ms"]["p50"] > 200
    assert seen["lip_sync_ms"]["late"] > 200


@pytest.mark.parametrize(
    ("camera", "absent", "present"),
    [
        pytest.param(CameraSettings(None, VideoSettings(), audio=False), "audio", "video", id="picture only"),
        pytest.param(CameraSettings(None, None, audio=True), "video", "audio", id="sound only"),
    ],
)
async def test_a_stream_of_one_track_is_complete_without_the_other(
    camera: CameraSettings, absent: str, present: str
) -> None:
    async with endpoint(camera) as server:
        code, seen = await played(f"{server.base}/whep/a", "--frames", "20")
    assert (code, seen["ended"], seen[absent]) == (0, "frames", None)
    assert seen[present]["frames"] >= 20


async def test_the_server_s_reason_for_the_end_is_told() -> None:
    async with (
        endpoint() as server,
        rivulet_media("play", f"{server.base}/whep/a", "--json", "--until-ended", "--progress") as run,
    ):
        connected, line = await run.line(), await run.line()
        assert (connected["event"], line["event"]) == ("connected", "progress")
        await server.end_all("stream-ended")
        while "ended" not in line:
            line = await run.line()
        assert await run.exit_code() == 0
    assert line["ended"] == "stream-ended"


async def test_a_stream_that_does_not_end_fails_until_ended() -> None:
    async with endpoint() as server:
        code, seen = await played(f"{server.base}/whep/a", "--until-ended", "--duration", "1")
    assert (code, seen["ended"]) == (1, "duration")


@pytest.mark.parametrize("command", ["publish", "play"])
@pytest.mark.parametrize(("status", "code"), [(400, 4), (401, 4), (404, 5), (409, 6), (410, 7), (503, 8)])
async def test_every_refusal_has_its_exit_code_and_the_server_s_words(command: str, status: int, code: int) -> None:
    async with endpoint() as server:
        server.refusal, server.refusals_left = (status, {"detail": f"because of {status}"}, {}), 1
        options = ["--timer"] if command == "publish" else []
        kind = "whip" if command == "publish" else "whep"
        async with rivulet_media(command, f"{server.base}/{kind}/a", *options) as run:
            assert await run.exit_code() == code
            assert f"{status}: because of {status}" in await run.errors()


async def test_nobody_there_has_an_exit_code_of_its_own() -> None:
    async with rivulet_media("play", "http://127.0.0.1:9/whep/a") as run:
        assert await run.exit_code() == 3
        assert "no answer from http://127.0.0.1:9/whep/a" in await run.errors()


async def test_with_patience_a_stream_that_is_not_live_yet_is_waited_for() -> None:
    async with endpoint() as server:
        server.refusal, server.refusals_left = (409, {"detail": "not live"}, {"Retry-After": "1"}), 2
        code, seen = await played(f"{server.base}/whep/a", "--wait", "10", "--frames", "5")
    assert (code, seen["ended"]) == (0, "frames")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_camera_publishes_until_told_to_stop_and_deletes_its_session(number: signal.Signals) -> None:
    """E4 R7."""
    async with endpoint() as server:
        server.relative_location = number is signal.SIGTERM
        url = f"{server.base}/whip/a"
        async with rivulet_media("publish", url, "--timer", "--token", "T0K3N", "--codec", "vp8") as run:
            connected = await run.line()
            ingest = server.ingests[0]
            await arrived(ingest.viewer, video=20, audio=40)
            run.process.send_signal(number)
            ended = await run.line()
            assert await run.exit_code() == 0
        figures = ingest.viewer.figures(("audio", "video"))
    assert (connected["event"], connected["codecs"]) == ("connected", ["opus", "vp8"])
    assert ingest.authorization == "Bearer T0K3N"
    assert figures["video"]["codec"] == "vp8"
    assert (ended["event"], ended["ended"], ended["delete"]) == ("ended", "signal", 200)
    assert ended["video"]["frames"] >= 20
    assert server.deleted == [connected["session"].rsplit("/", 1)[1]]


async def test_a_file_is_played_in_a_loop_with_its_own_size_and_times(tmp_path: Path) -> None:
    """R7."""
    path = tmp_path / "film.mp4"
    make_film(path, seconds=2)
    async with endpoint() as server:
        async with rivulet_media("publish", f"{server.base}/whip/a", "--file", str(path), "--duration", "6") as run:
            await run.line()
            ended = await run.line()
            assert await run.exit_code() == 0
        seen = server.ingests[0].viewer.figures(("audio", "video"))
    assert (seen["video"]["width"], seen["video"]["height"]) == (320, 180)
    # A camera that was late leaves frames out.
    assert seen["video"]["fps"] == pytest.approx(10, rel=0.3)
    assert ended["video"]["frames"] >= 35, "more than one lap"
    for kind in ("video", "audio"):
        assert seen[kind]["frames"] >= 0.9 * ended[kind]["frames"], kind
    assert seen["lip_sync_ms"]["p95"] < 100, "flash and tone of the film, over three laps"


async def test_a_file_that_is_no_film_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no film")
    async with endpoint() as server, rivulet_media("publish", f"{server.base}/whip/a", "--file", str(path)) as run:
        assert await run.exit_code() == 2
        assert str(path) in await run.errors()
    assert server.ingests == []


def make_film(path: Path, seconds: int) -> None:
    """Flash and tone once per second, 320 x 180 at 10 frames/s."""
    picture = TimerPicture(320, 180)
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("libx264", rate=10)
        pictures.width, pictures.height, pictures.pix_fmt = 320, 180, "yuv420p"
        sounds = container.add_stream("aac", rate=48_000)
        assert isinstance(pictures, av.VideoStream)
        assert isinstance(sounds, av.AudioStream)
        for number in range(seconds * 10):
            frame = picture_frame(picture.draw(Moment(number * 100, number * 100, number % 10 < 2)))
            container.mux(pictures.encode(frame))
        for first in range(0, seconds * 48_000, 960):
            samples = burst_samples(first, 960)
            sound = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
            sound.sample_rate, sound.pts = 48_000, first
            container.mux(sounds.encode(sound))
        container.mux(pictures.encode(None))
        container.mux(sounds.encode(None))
