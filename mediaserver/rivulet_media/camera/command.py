"""`rivulet-media publish URL --timer | --file F`: publish by WHIP until told to stop.

Prints one JSON line when connected and one when it ends. SIGINT and SIGTERM end the session properly (DELETE).
"""

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any, Final

import aiohttp

from rivulet_media.camera.encoders import AUDIO_CLOCK, VIDEO_CLOCK, VideoSettings
from rivulet_media.camera.file import FileError
from rivulet_media.camera.sources import Camera, CameraSettings, open_camera
from rivulet_media.camera.track import EncodedTrack, SenderReports
from rivulet_media.peer import NotConnectedError, Peer, prefer_codecs
from rivulet_media.whip_client import ExitCode, Session, SignallingError, WhipClient

_UNITS: Final = {"k": 1_000, "M": 1_000_000}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-command's options."""
    parser.add_argument("url", help="WHIP endpoint, for instance http://HOST:8080/whip/STREAM")
    parser.add_argument("--token", help="publish token (see `rivulet-media token`)")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--timer", action="store_true", help="a looping countdown with a time stamp, flash and tone")
    source.add_argument("--file", type=Path, help="a file, played in a loop with its own timestamps, size and rate")
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=360)
    parser.add_argument("--fps", type=int, default=15)
    parser.add_argument(
        "--bitrate", type=bit_rate, default="500k", help="of the video, bit/s: 500k, 2M (default: 500k)"
    )
    parser.add_argument("--codec", choices=("h264", "vp8"), default="h264")
    parser.add_argument("--gop", type=float, default=2.0, help="seconds between key frames (default: 2)")
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--no-audio", action="store_true")
    one.add_argument("--no-video", action="store_true")
    parser.add_argument(
        "--skew-ms", type=float, default=0, help="send the sound this much too late (a broken publisher)"
    )
    parser.add_argument("--duration", type=float, metavar="S", help="stop after S seconds of sending")
    parser.add_argument("--wait", type=float, default=0, metavar="S", help="try again for S seconds on 409 and 503")


def bit_rate(text: str) -> int:
    """`500k`, `2M` or plain bit/s. Raises ValueError."""
    factor = _UNITS.get(text[-1:], 1)
    return round(float(text[:-1] if factor > 1 else text) * factor)


def run(args: argparse.Namespace) -> int:
    """Publish; returns an ExitCode."""
    try:
        return asyncio.run(_publish(args, open_camera(_settings(args))))
    except FileError as error:
        print(f"rivulet-media publish: {error}", file=sys.stderr)
        return ExitCode.USAGE
    except SignallingError as error:
        print(f"rivulet-media publish: {error}", file=sys.stderr)
        return error.exit_code
    except NotConnectedError as error:
        print(f"rivulet-media publish: {error}", file=sys.stderr)
        return ExitCode.NO_MEDIA


def _settings(args: argparse.Namespace) -> CameraSettings:
    video = VideoSettings(args.codec, args.width, args.height, args.fps, args.bitrate, args.gop)
    return CameraSettings(args.file, None if args.no_video else video, not args.no_audio, args.skew_ms / 1000)


async def _publish(args: argparse.Namespace, camera: Camera) -> int:
    stopped = _stop_signals()
    peer = Peer()
    _attach(peer, camera, args.codec)
    async with aiohttp.ClientSession() as http:
        client = WhipClient(http, args.url, args.token)
        session = await peer.negotiate(client, patience=args.wait)
        reason = "not-connected"
        try:
            await peer.connected()
            _print(_connected(session, peer, camera, args.codec))
            reason = await _first(args.duration, stopped, peer.over)
            if reason == "peer-closed":
                reason = await client.reason_of_end(session) or reason
        finally:
            deleted = await client.end(session)
            await peer.close()
        _print({"event": "ended", "ended": reason, "delete": deleted, **_sent(camera)})
    return ExitCode.DONE


def _attach(peer: Peer, camera: Camera, codec: str) -> None:
    if camera.audio is not None:
        transceiver = peer.connection.addTransceiver(camera.audio, direction="sendonly")
        prefer_codecs(transceiver, "audio", "opus")
        SenderReports(transceiver.sender, camera.audio, AUDIO_CLOCK, camera.timeline)
    if camera.video is not None and camera.encoder is not None:
        transceiver = peer.connection.addTransceiver(camera.video, direction="sendonly")
        prefer_codecs(transceiver, "video", codec)
        SenderReports(transceiver.sender, camera.video, VIDEO_CLOCK, camera.timeline)
        transceiver.sender._send_keyframe = camera.encoder.want_key_frame  # type: ignore[method-assign]  # noqa: SLF001


def _stop_signals() -> asyncio.Event:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped


async def _first(duration: float | None, stopped: asyncio.Event, over: asyncio.Event) -> str:
    """Wait for the first reason to stop."""
    waits = {asyncio.create_task(stopped.wait()): "signal", asyncio.create_task(over.wait()): "peer-closed"}
    done, pending = await asyncio.wait(waits, timeout=duration, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    return next((waits[task] for task in done), "duration")


def _connected(session: Session, peer: Peer, camera: Camera, codec: str) -> dict[str, Any]:
    codecs = [name for name, track in (("opus", camera.audio), (codec, camera.video)) if track is not None]
    pair = peer.pair()
    return {"event": "connected", "session": str(session.url), "codecs": codecs, "pair": pair and pair.as_json()}


def _sent(camera: Camera) -> dict[str, Any]:
    return {"video": _counts(camera.video), "audio": _counts(camera.audio)}


def _counts(track: EncodedTrack | None) -> dict[str, int] | None:
    return None if track is None else {"frames": track.frames, "bytes": track.bytes}


def _print(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)
