"""From packets to frames, as soon as a browser would have them. Sans-IO: packets and the time in, frames out.

Invariant: frames come out in sending order, each at most once, and a hole holds them up for at most `patience` seconds.
aiortc's own buffer waits for the next frame's first packet (one frame late), and for a hole until 512 packets later.
"""

from dataclasses import dataclass
from typing import Final, Literal

PATIENCE: Final = {"audio": 0.1, "video": 0.5}  # seconds; a repair takes a round trip or two


@dataclass(frozen=True, slots=True)
class Piece:
    """One RTP packet's share of a frame."""

    sequence: int  # 16 bit
    timestamp: int  # 32 bit
    marker: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """A whole frame; `timestamp` is the RTP timestamp with its wraps undone."""

    data: bytes
    timestamp: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one packet brought about. `lost`: something was given up, video needs a key frame."""

    frames: list[EncodedFrame]
    lost: bool = False


class Unwrapped:
    """A counter of few bits as one that never wraps."""

    def __init__(self, bits: int) -> None:
        self._size = 1 << bits
        self._last: int | None = None

    def __call__(self, value: int) -> int:
        """The value nearest to the last one that has these low bits."""
        if self._last is None:
            self._last = value
        step = (value - self._last) % self._size
        self._last += step - self._size if step >= self._size // 2 else step
        return self._last


class FrameBuffer:
    """Puts one track's packets into order and frames together."""

    def __init__(self, kind: Literal["audio", "video"]) -> None:
        self._patience = PATIENCE[kind]
        self._sound = kind == "audio"  # every packet of Opus is a frame
        self._sequence = Unwrapped(16)
        self._timestamp = Unwrapped(32)
        self._next: int | None = None
        self._waiting: dict[int, tuple[float, Piece, int]] = {}
        self._begun: list[bytes] = []
        self._begun_timestamp: int | None = None
        self._broken: int | None = None  # timestamp of a frame of which a part was given up

    def add(self, piece: Piece, now: float) -> Outcome:
        """Take a packet that arrived at `now` (s)."""
        sequence = self._sequence(piece.sequence)
        if self._next is None:
            self._next = sequence
        if sequence < self._next:
            return Outcome([])
        self._waiting.setdefault(sequence, (now, piece, self._timestamp(piece.timestamp)))
        frames = self._in_order()
        lost = bool(self._waiting) and now - min(arrived for arrived, _, _ in self._waiting.values()) > self._patience
        if lost:
            self._give_up()
            frames += self._in_order()
        return Outcome(frames, lost)

    def _in_order(self) -> list[EncodedFrame]:
        frames: list[EncodedFrame] = []
        while self._next in self._waiting:
            _, piece, timestamp = self._waiting.pop(self._next)
            self._next += 1
            frames += self._join(piece, timestamp)
        return frames

    def _join(self, piece: Piece, timestamp: int) -> list[EncodedFrame]:
        frames = []
        if self._begun and timestamp != self._begun_timestamp:  # its marker was missing
            frames += self._finish()
        if timestamp == self._broken:
            return frames
        self._begun.append(piece.data)
        self._begun_timestamp = timestamp
        if piece.marker or self._sound:
            frames += self._finish()
        return frames

    def _finish(self) -> list[EncodedFrame]:
        data, self._begun = b"".join(self._begun), []
        return [EncodedFrame(data, self._begun_timestamp or 0)] if data else []

    def _give_up(self) -> None:
        """Go on behind the hole, without the frames that it cuts into."""
        self._next = min(self._waiting)
        self._begun = []
        # The first packet behind the hole may be the middle of a frame: nobody can tell, so that frame goes as well.
        self._broken = None if self._sound else self._waiting[self._next][2]
