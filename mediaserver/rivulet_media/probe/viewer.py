"""One viewer: takes the decoded frames of both tracks and keeps the figures."""

import asyncio
import time
from typing import Any, Final, Literal

import av
import numpy as np
from aiortc import RTCPeerConnection
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from rivulet_media.camera.picture import is_flash
from rivulet_media.camera.stamp import Luma, read_stamp
from rivulet_media.probe.figures import Arrivals, Screen, spread
from rivulet_media.probe.lip_sync import FlashOnsets, LipSync, ToneOnsets
from rivulet_media.probe.receiver_tap import ReceiverTap
from rivulet_media.probe.sender_clock import SenderClock

Kind = Literal["audio", "video"]
_RATES: Final[dict[Kind, int]] = {"audio": 48_000, "video": 90_000}
# A stamp farther off than this is another clock's, not a latency.
_PLAUSIBLE_MS: Final = 600_000


class Viewer:
    """Watches the tracks that a connection receives; `started` is `time.monotonic()` when the user pressed play.

    `warm_up`: seconds from then on that count neither for latency, lip-sync nor screen: a viewer starts with the newest
    key frame and catches up with the live edge. `playout_delay`: of a screen (seconds, see Screen), or None for none.
    """

    def __init__(
        self, connection: RTCPeerConnection, *, started: float, warm_up: float, playout_delay: float | None = None
    ) -> None:
        self._started = started
        self._warm_up = warm_up
        self._screen = None if playout_delay is None else Screen(playout_delay)
        self.arrivals: dict[Kind, Arrivals] = {"audio": Arrivals(), "video": Arrivals()}
        self._clocks: dict[Kind, SenderClock] = {kind: SenderClock(rate) for kind, rate in _RATES.items()}
        self._taps: dict[Kind, ReceiverTap] = {}
        self._lip_sync = LipSync(self._clocks["video"], self._clocks["audio"])
        self._flashes, self._tones = FlashOnsets(), ToneOnsets()
        self.latencies: list[float] = []  # ms
        self._size: tuple[int, int] | None = None
        self._resolution_changes = 0
        self._tasks: list[asyncio.Task[None]] = []
        for kind in _RATES:
            transceiver = connection.addTransceiver(kind, direction="recvonly")
            self._taps[kind] = ReceiverTap(transceiver.receiver, kind, self._clocks[kind])
        connection.on("track", self._on_track)

    async def close(self) -> None:
        """Stop watching."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def finished(self) -> bool:
        """Whether every track has ended (RTCP BYE, or the transport was closed)."""
        return bool(self._tasks) and all(task.done() for task in self._tasks)

    def figures(self, promised: tuple[Kind, ...]) -> dict[str, Any]:
        """Everything seen so far, as the command prints it. A track that was not promised is None."""
        now = time.monotonic()
        return {
            "first_frame_ms": self._first_frame_ms(promised),
            "video": self._video(now) if "video" in promised else None,
            "audio": self._audio(now) if "audio" in promised else None,
            "lip_sync_ms": self._lip_sync_figures(),
            "latency_ms": spread(self.latencies),
            "packets_lost": sum(tap.packets_lost for tap in self._taps.values()),
        }

    def _on_track(self, track: MediaStreamTrack) -> None:
        watch = self._watch_video if track.kind == "video" else self._watch_audio
        self._tasks.append(asyncio.create_task(self._watch(track, watch)))

    async def _watch(self, track: MediaStreamTrack, take: Any) -> None:
        kind: Kind = "video" if track.kind == "video" else "audio"
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            self.arrivals[kind].add(time.monotonic())
            take(frame)

    def _watch_video(self, frame: av.VideoFrame) -> None:
        decoded = time.time()
        luma = _luma(frame)
        size = (frame.width, frame.height)
        if self._size not in (None, size):
            self._resolution_changes += 1
        self._size = size
        stamp = read_stamp(luma)
        is_warm = time.monotonic() - self._started >= self._warm_up
        if stamp is not None and is_warm:
            latency = decoded * 1000 - stamp
            if abs(latency) < _PLAUSIBLE_MS:
                self.latencies.append(latency)
        if frame.pts is not None:
            if self._screen is not None and is_warm:
                self._screen.add(frame.pts / _RATES["video"], time.monotonic())
            onset = self._flashes.add(frame.pts, flashes=stamp is not None and is_flash(luma))
            if onset is not None and is_warm:
                self._lip_sync.flash(onset)

    def _watch_audio(self, frame: av.AudioFrame) -> None:
        if frame.pts is None or frame.sample_rate != _RATES["audio"]:
            return
        samples = frame.to_ndarray().reshape(-1, len(frame.layout.channels))[:, 0]
        for onset in self._tones.add(frame.pts, np.asarray(samples, dtype=np.int16)):
            self._lip_sync.tone(onset)

    def _first_frame_ms(self, promised: tuple[Kind, ...]) -> float | None:
        """Until the first picture; of a stream without pictures until the first sound."""
        first = self.arrivals["video" if "video" in promised else "audio"].first
        return None if first is None else round((first - self._started) * 1000, 1)

    def _video(self, now: float) -> dict[str, Any]:
        width, height = self._size or (None, None)
        arrivals = self.arrivals["video"]
        return {
            "frames": arrivals.frames,
            "fps": round(arrivals.rate(), 2),
            "width": width,
            "height": height,
            "codec": self._taps["video"].codec,
            "longest_gap_ms": round(arrivals.gap_at(now) * 1000),
            "freezes": arrivals.freezes,
            "resolution_changes": self._resolution_changes,
            "screen": self._screen and _shown(self._screen.shown, now),
        }

    def _audio(self, now: float) -> dict[str, Any]:
        arrivals = self.arrivals["audio"]
        return {"frames": arrivals.frames, "longest_gap_ms": round(arrivals.gap_at(now) * 1000)}

    def _lip_sync_figures(self) -> dict[str, float] | None:
        """Absolute differences, and their signed mean: `late` > 0 means that the sound comes after the picture."""
        offsets = self._lip_sync.offsets_ms
        figures = spread([abs(offset) for offset in offsets])
        return figures and {**figures, "late": round(sum(offsets) / len(offsets), 1)}


def _shown(pictures: Arrivals, now: float) -> dict[str, Any]:
    longest = round(pictures.gap_at(now) * 1000)
    return {"fps": round(pictures.rate(), 2), "freezes": pictures.freezes, "longest_gap_ms": longest}


def _luma(frame: av.VideoFrame) -> Luma:
    plane = frame.planes[0]
    rows = np.frombuffer(plane, dtype=np.uint8).reshape(-1, plane.line_size)  # type: ignore[call-overload]
    return rows[: frame.height, : frame.width]  # type: ignore[no-any-return]
