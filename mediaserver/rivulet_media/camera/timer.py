"""The timer: pictures and sounds of a looping countdown, as `Due`s."""

import itertools
import time
from collections.abc import Iterator
from functools import partial
from typing import Final

from rivulet_media.camera.encoders import (
    AUDIO_RATE,
    OPUS_SAMPLES,
    AudioEncoder,
    Packet,
    VideoEncoder,
    VideoSettings,
    picture_frame,
)
from rivulet_media.camera.pacing import Due
from rivulet_media.camera.picture import Moment, TimerPicture
from rivulet_media.camera.tone import burst_samples

FLASH_PICTURES: Final = 2  # one lost picture does not take the flash with it


def timer_pictures(settings: VideoSettings, encoder: VideoEncoder) -> Iterator[Due]:
    """A picture every 1/fps s; the first of every second flashes. The stamp is the wall clock when it is drawn."""
    picture = TimerPicture(settings.width, settings.height)
    for number in itertools.count():
        yield Due(number / settings.fps, partial(_shoot, number, settings, picture, encoder))


def timer_sounds(encoder: AudioEncoder) -> Iterator[Due]:
    """20 ms of sound every 20 ms, due when its last sample would have been recorded."""
    for number in itertools.count():
        first = number * OPUS_SAMPLES
        yield Due((first + OPUS_SAMPLES) / AUDIO_RATE, partial(_record, first, encoder))


def _shoot(number: int, settings: VideoSettings, picture: TimerPicture, encoder: VideoEncoder) -> list[Packet]:
    flash = number % settings.fps < FLASH_PICTURES
    moment = Moment(number * 1000 // settings.fps, time.time_ns() // 1_000_000, flash)
    return encoder.encode(picture_frame(picture.draw(moment)), number * 90_000 // settings.fps)


def _record(first: int, encoder: AudioEncoder) -> list[Packet]:
    return encoder.encode(burst_samples(first, OPUS_SAMPLES), first)
