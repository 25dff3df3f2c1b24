"""A WHIP publisher made of FFmpeg's own muxer, as PyAV carries it (FFmpeg 8): H.264 and Opus.

    ffmpeg_client.py publish URL [--token T] [--seconds N] [--active]

One line of JSON says that it is connected, a last one what was sent. `--active`: it is the DTLS client, not the server.
"""

import argparse
import json
import sys
import time
from typing import Final

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream

from moving_bar import FRAMES_PER_SECOND, HEIGHT, RATE, SAMPLES, WIDTH, picture, sound

# No B-frames, as the muxer wants it, and a key frame a second for who comes later: it hears no requests.
X264: Final = {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline", "g": "30", "bf": "0"}


def main() -> None:
    """Publish for so long, in real time."""
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["publish"])
    parser.add_argument("url")
    parser.add_argument("--token", default="")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--active", action="store_true")
    options = parser.parse_args()
    flags = {"authorization": options.token, "handshake_timeout": "20000"}  # ms; of itself 5 s
    if options.active:
        flags["whip_flags"] = "dtls_active"
    with av.open(options.url, "w", format="whip", options=flags) as container:
        video = container.add_stream("libx264", FRAMES_PER_SECOND, options=X264)
        assert isinstance(video, VideoStream)
        video.width, video.height, video.pix_fmt, video.bit_rate = WIDTH, HEIGHT, "yuv420p", 800_000
        audio = container.add_stream("libopus", RATE, layout="stereo")
        assert isinstance(audio, AudioStream)
        began = time.monotonic()
        container.start_encoding()  # the whole of its WHIP, ICE and DTLS
        say(connected=True, post_to_connected=round(1000 * (time.monotonic() - began), 1))
        say(**send(container, video, audio, options.seconds))


def send(container: OutputContainer, video: VideoStream, audio: AudioStream, seconds: float) -> dict[str, int]:
    """Frames of both kinds as they fall due; how many."""
    began = time.monotonic()
    pictures = sounds = 0
    while (now := time.monotonic() - began) < seconds:
        while sounds * SAMPLES / RATE <= now:
            container.mux(audio.encode(sound(sounds)))
            sounds += 1
        if pictures / FRAMES_PER_SECOND <= now:
            container.mux(video.encode(picture(pictures)))
            pictures += 1
        time.sleep(0.005)
    return {"video_frames_sent": pictures, "audio_frames_sent": sounds}


def say(**words: float | bool) -> None:
    """A line for whoever reads."""
    print(json.dumps(words), flush=True)


if __name__ == "__main__":
    try:
        main()
    except av.FFmpegError as error:
        sys.exit(f"ffmpeg: {error}")
