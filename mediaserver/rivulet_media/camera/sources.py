"""What a camera shows and plays: the timer or a file, as tracks ready to be sent."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from rivulet_media.camera.encoders import AudioEncoder, VideoEncoder, VideoSettings
from rivulet_media.camera.file import FileError, file_pictures, file_sounds, look_into
from rivulet_media.camera.pacing import Due, Timeline, in_time
from rivulet_media.camera.timer import timer_pictures, timer_sounds
from rivulet_media.camera.track import EncodedTrack


@dataclass(frozen=True, slots=True)
class CameraSettings:
    """What to send. `file` None: the timer. A file keeps its own size and frame rate.

    `skew` (s) moves the sound against the picture: positive means that it comes too late.
    """

    file: Path | None
    video: VideoSettings | None
    audio: bool
    skew: float = 0.0


@dataclass(frozen=True, slots=True)
class Camera:
    """The tracks of one publication and the timeline that they share; no track of a kind: None."""

    timeline: Timeline
    video: EncodedTrack | None
    encoder: VideoEncoder | None
    audio: EncodedTrack | None


def open_camera(settings: CameraSettings) -> Camera:
    """Encoders and tracks; nothing runs before the first packet is asked for. Raises FileError."""
    settings = settings if settings.file is None else _fitted(settings, settings.file)
    timeline = Timeline()
    video, encoder = None, None
    if settings.video is not None:
        encoder = VideoEncoder(settings.video)
        shift = max(0.0, -settings.skew)
        video = EncodedTrack("video", in_time(_pictures(settings, settings.video, encoder), timeline, shift), shift)
    audio = None
    if settings.audio:
        shift = max(0.0, settings.skew)
        audio = EncodedTrack("audio", in_time(_sounds(settings), timeline, shift), shift)
    return Camera(timeline, video, encoder, audio)


def _fitted(settings: CameraSettings, path: Path) -> CameraSettings:
    facts = look_into(path)
    video = settings.video
    if video is not None and facts.picture is not None:
        width, height, fps = facts.picture
        video = replace(video, width=width, height=height, fps=fps)
    fitted = replace(settings, video=video if facts.picture else None, audio=settings.audio and facts.sound)
    if fitted.video is None and not fitted.audio:
        raise FileError(f"{path}: nothing in it is both present and wanted")
    return fitted


def _pictures(settings: CameraSettings, video: VideoSettings, encoder: VideoEncoder) -> Iterator[Due]:
    if settings.file is None:
        return timer_pictures(video, encoder)
    return file_pictures(settings.file, look_into(settings.file), encoder)


def _sounds(settings: CameraSettings) -> Iterator[Due]:
    if settings.file is None:
        return timer_sounds(AudioEncoder())
    return file_sounds(settings.file, look_into(settings.file), AudioEncoder())
