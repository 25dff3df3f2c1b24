"""The one place that reaches into aiortc's receiver: RTP timestamps, sender reports and whole frames, untouched.

aiortc subtracts the first RTP timestamp from every frame's pts and keeps of a sender report only its NTP time, so
neither can be placed on the sender's clock afterwards. Here
- the jitter buffer is replaced by our FrameBuffer, which puts frames into the decoder's queue with pts = RTP timestamp;
- the handler of RTCP is wrapped, to see sender reports before aiortc does.
The names are private and may change: aiortc is pinned, tests/unit/media/probe/test_receiver_tap.py sees a change.
"""

import time
from typing import Any, Literal

from aiortc.jitterbuffer import JitterFrame
from aiortc.rtcrtpreceiver import RTCRtpReceiver
from aiortc.rtp import AnyRtcpPacket, RtcpSrPacket, RtpPacket

from rivulet_media.probe.frame_buffer import FrameBuffer, Piece
from rivulet_media.probe.sender_clock import SenderClock

_PREFIX = "_RTCRtpReceiver__"


class ReceiverTap:
    """Stands in for the jitter buffer of one receiver."""

    def __init__(self, receiver: RTCRtpReceiver, kind: Literal["audio", "video"], clock: SenderClock) -> None:
        self._receiver = receiver
        self._buffer = FrameBuffer(kind)
        self._video = kind == "video"
        self._clock = clock
        self._handle_rtcp = receiver._handle_rtcp_packet  # noqa: SLF001 - aiortc has no hook
        receiver._handle_rtcp_packet = self._on_rtcp  # type: ignore[method-assign]  # noqa: SLF001 - the same
        if not hasattr(receiver, _PREFIX + "jitter_buffer"):
            raise RuntimeError("this version of aiortc has another receiver than the probe knows")
        setattr(receiver, _PREFIX + "jitter_buffer", self)

    @property
    def packets_lost(self) -> int:
        """RTP packets that never came, of all sources, as receiver reports count them."""
        return sum(source.packets_lost for source in self._inside("remote_streams").values())

    @property
    def codec(self) -> str | None:
        """Name of the codec that the next packets are expected in, in lower case."""
        codecs = [codec.name for codec in self._inside("codecs").values() if codec.name.lower() != "rtx"]
        return codecs[0].lower() if codecs else None

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        """What aiortc calls for every packet: (whether to ask for a key frame, no frame)."""
        data: bytes = packet._data  # type: ignore[attr-defined] # noqa: SLF001 - set by the depacketizer, no field
        piece = Piece(packet.sequence_number, packet.timestamp, bool(packet.marker), data)
        outcome = self._buffer.add(piece, time.monotonic())
        codec = self._inside("codecs").get(packet.payload_type)
        for frame in outcome.frames:
            self._inside("decoder_queue").put((codec, JitterFrame(frame.data, frame.timestamp)))
        return outcome.lost and self._video, None

    async def _on_rtcp(self, packet: AnyRtcpPacket) -> None:
        if isinstance(packet, RtcpSrPacket):
            self._clock.report(packet.sender_info.rtp_timestamp, packet.sender_info.ntp_timestamp)
        await self._handle_rtcp(packet)

    def _inside(self, name: str) -> Any:
        return getattr(self._receiver, _PREFIX + name)
