"""A file, played in a loop with its own timestamps, as `Due`s.

Each kind opens the file for itself: containers interleave as loosely as they like, and no track waits for another.
"""

import itertools
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import av
import numpy as np

from rivulet_media.camera.encoders import AUDIO_RATE, OPUS_SAMPLES, AudioEncoder, Packet, VideoEncoder
from rivulet_media.camera.pacing import Due

Kind = Literal["audio", "video"]


class FileError(Exception):
    """The file cannot be played."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What is in a file: its length, its picture (None: it has none), whether it has sound."""

    seconds: float
    picture: tuple[int, int, int] | None  # width, height, whole frames/s
    sound: bool


def look_into(path: Path) -> FileFacts:
    """Open the file and see. Raises FileError."""
    try:
        with closing(av.open(str(path))) as container:
            if not container.duration:
                raise FileError(f"{path}: it does not say how long it is, so it cannot be looped")
            video = container.streams.video[0] if container.streams.video else None
            picture = None
            if video is not None:
                picture = (video.width // 2 * 2, video.height // 2 * 2, max(1, round(video.average_rate or 25)))
            return FileFacts(container.duration / av.time_base, picture, bool(container.streams.audio))
    except (av.FFmpegError, OSError) as error:
        raise FileError(f"{path}: {error}") from error


def file_pictures(path: Path, facts: FileFacts, encoder: VideoEncoder) -> Iterator[Due]:
    """The file's pictures."""
    for lap in itertools.count():
        for frame, at in _frames(path, "video"):
            due = lap * facts.seconds + at
            yield Due(due, partial(encoder.encode, cast("av.VideoFrame", frame), round(due * 90_000)))


def file_sounds(path: Path, facts: FileFacts, encoder: AudioEncoder) -> Iterator[Due]:
    """The file's sound in pieces of 20 ms, due when their last sample would have been recorded."""
    for lap in itertools.count():
        resampler = av.AudioResampler(format="s16", layout="stereo", rate=AUDIO_RATE, frame_size=OPUS_SAMPLES)
        position: int | None = None
        for frame, at in _frames(path, "audio"):
            if position is None:
                position = round((lap * facts.seconds + at) * AUDIO_RATE)
            for piece in resampler.resample(cast("av.AudioFrame", frame)):
                yield Due((position + OPUS_SAMPLES) / AUDIO_RATE, partial(_record, piece, position, encoder))
                position += OPUS_SAMPLES


def _record(piece: av.AudioFrame, position: int, encoder: AudioEncoder) -> list[Packet]:
    samples = np.asarray(piece.to_ndarray(), dtype=np.int16).reshape(-1, 2)
    return encoder.encode(samples, position)


def _frames(path: Path, kind: Kind) -> Iterator[tuple[av.VideoFrame | av.AudioFrame, float]]:
    """One lap's decoded frames with seconds since the file's start."""
    with closing(av.open(str(path))) as container:
        stream = container.streams.get({kind: 0})[0]
        start = (container.start_time or 0) / av.time_base
        for packet in container.demux(cast("Any", stream)):
            for frame in packet.decode():
                if isinstance(frame, av.VideoFrame | av.AudioFrame) and frame.time is not None:
                    yield frame, max(0.0, frame.time - start)
