"""Four seconds of picture and tone as files: what clients that have no encoder send, round and round."""

import subprocess
from pathlib import Path

TONE = ["-f", "lavfi", "-i", "sine=440:sample_rate=48000", "-t", "4"]
H264 = ["-c:v", "libx264", "-profile:v", "baseline", "-preset", "ultrafast", "-bf", "0", "-g", "30", "-slices", "1"]
VP8 = ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-g", "30", "-b:v", "1M"]
OPUS = ["-c:a", "libopus", "-b:a", "64k", "-ac", "2", "-page_duration", "20000"]


def picture(width: int = 640, height: int = 360) -> list[str]:
    """FFmpeg's moving test picture as an input, 30 frames a second."""
    return ["-f", "lavfi", "-i", f"testsrc2=size={width}x{height}:rate=30", "-t", "4"]


def encode(source: list[str], encoder: list[str], file: Path) -> None:
    """Write one file."""
    subprocess.run(["ffmpeg", "-v", "error", *source, *encoder, file], check=True, timeout=60)


def record(folder: Path) -> Path:
    """Make `video.h264`, `video.ivf` (VP8) and `audio.ogg` (Opus) in `folder`."""
    encode(picture(), H264, folder / "video.h264")
    encode(picture(), VP8, folder / "video.ivf")
    encode(TONE, OPUS, folder / "audio.ogg")
    return folder
