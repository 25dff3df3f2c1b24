"""Encoders for one sender: raw pictures and sound in, PyAV packets out.

aiortc's own encoders are not used: they clamp the bit rate to 0.5-3 Mbit/s, start at 1, follow every REMB by building a
new encoder, never send a key frame unasked, and assume 30 frames/s. aiortc sends packets that a track has encoded
already, so the camera encodes: constant bit rate, a closed GOP of a fixed length, an IDR picture at once when asked.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, Literal, TypeAlias, cast

import av
import numpy as np
import numpy.typing as npt
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

Packet: TypeAlias = "av.Packet[Any]"
VideoCodec = Literal["h264", "vp8"]
VIDEO_CLOCK: Final = Fraction(1, 90_000)
AUDIO_RATE: Final = 48_000
AUDIO_CLOCK: Final = Fraction(1, AUDIO_RATE)
OPUS_SAMPLES: Final = 960  # 20 ms


@dataclass(frozen=True, slots=True)
class VideoSettings:
    """What a video encoder has to keep to."""

    codec: VideoCodec = "h264"
    width: int = 640
    height: int = 360
    fps: int = 15
    bit_rate: int = 500_000  # bit/s
    gop_seconds: float = 2.0


class VideoEncoder:
    """H.264 (constrained baseline, level 3.1) or VP8 without delay: every picture gives its packet at once."""

    def __init__(self, settings: VideoSettings) -> None:
        self._settings = settings
        self._key_frame_wanted = False
        self._context = _h264(settings) if settings.codec == "h264" else _vp8(settings)

    def want_key_frame(self) -> None:
        """Make the next picture a key frame (a receiver asked by PLI or FIR). Callable from any thread."""
        self._key_frame_wanted = True

    def encode(self, frame: av.VideoFrame, pts: int) -> list[Packet]:
        """Packets of the picture; `pts` in 1/90,000 s."""
        frame = frame.reformat(self._settings.width, self._settings.height, "yuv420p")
        frame.pts, frame.time_base = pts, VIDEO_CLOCK
        wanted, self._key_frame_wanted = self._key_frame_wanted, False
        frame.pict_type = PictureType.I if wanted else PictureType.NONE
        return list(self._context.encode(frame))


class AudioEncoder:
    """Opus, 20 ms per packet. Packets' timestamps begin a little before 0: the encoder looks that far ahead."""

    def __init__(self) -> None:
        context = av.CodecContext.create("libopus", "w")
        context.bit_rate = 64_000
        context.format, context.layout = cast("Any", "s16"), cast("Any", "stereo")
        context.sample_rate, context.time_base = AUDIO_RATE, AUDIO_CLOCK
        context.options = {"application": "audio", "frame_duration": "20"}
        self._context = context

    def encode(self, samples: npt.NDArray[np.int16], pts: int) -> list[Packet]:
        """Packets of OPUS_SAMPLES samples, shaped (samples,) or (samples, 2); `pts` in samples."""
        stereo = np.repeat(samples[:, None], 2, axis=1) if samples.ndim == 1 else samples
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(stereo).reshape(1, -1), format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = AUDIO_RATE, pts, AUDIO_CLOCK
        return list(self._context.encode(frame))


def picture_frame(planes: npt.NDArray[np.uint8]) -> av.VideoFrame:
    """I420 planes in one array as a frame."""
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")


def _context(name: str, settings: VideoSettings) -> VideoCodecContext:
    context = cast("VideoCodecContext", av.CodecContext.create(name, "w"))
    context.width, context.height, context.pix_fmt = settings.width, settings.height, "yuv420p"
    context.bit_rate = settings.bit_rate
    context.framerate, context.time_base = Fraction(settings.fps), VIDEO_CLOCK
    context.gop_size = round(settings.gop_seconds * settings.fps)
    context.thread_count = 1  # one slice per picture; two cores are shared with everybody else
    return context


def _h264(settings: VideoSettings) -> VideoCodecContext:
    context = _context("libx264", settings)
    rate = str(settings.bit_rate)
    context.options = {
        "preset": "superfast",
        "tune": "zerolatency",
        "level": "31",
        "maxrate": rate,
        "bufsize": str(settings.bit_rate // 2),  # half a second: a key frame may not clog a viewer's line for longer
        "forced-idr": "1",
        "sc_threshold": "0",
    }
    context.profile = "Baseline"
    return context


def _vp8(settings: VideoSettings) -> VideoCodecContext:
    context = _context("libvpx", settings)
    rate = str(settings.bit_rate)
    context.options = {
        "deadline": "realtime",
        "cpu-used": "8",
        "lag-in-frames": "0",
        "minrate": rate,
        "maxrate": rate,
        "bufsize": str(settings.bit_rate // 2),
        "undershoot-pct": "100",
        "overshoot-pct": "15",
    }
    return context
