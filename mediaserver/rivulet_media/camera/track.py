"""A track of packets that are encoded already, and sender reports that say exactly when they were captured."""

from collections.abc import AsyncIterator, Callable
from fractions import Fraction
from typing import Any, Final, Literal

from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtcrtpsender import RTCRtpSender
from aiortc.rtp import AnyRtcpPacket, RtcpSrPacket

from rivulet_media.camera.encoders import Packet
from rivulet_media.camera.pacing import Timeline

_NTP_EPOCH: Final = 2_208_988_800  # Unix time 0 in seconds since 1900 (RFC 5905)


class EncodedTrack(MediaStreamTrack):
    """Hands an encoder's packets to aiortc's sender, `shift` seconds later on the timeline than they were made."""

    def __init__(self, kind: Literal["audio", "video"], packets: AsyncIterator[Packet], shift: float = 0.0) -> None:
        super().__init__()
        self.kind = kind
        self.frames = 0
        self.bytes = 0
        self.sent_pts: int | None = None  # the packet before the one being waited for: surely sent
        self._packets = packets
        self._shift = shift
        self._handed: int | None = None

    async def recv(self) -> Any:
        """The next packet, when its time has come. The sender asks again only after it has sent the last one."""
        self.sent_pts, self._handed = self._handed, None
        packet = await anext(self._packets, None)
        if packet is None or self.readyState != "live" or packet.pts is None or packet.time_base is None:
            self.stop()
            raise MediaStreamError
        packet.pts += round(self._shift / packet.time_base)
        self._handed = packet.pts
        self.frames += 1
        self.bytes += packet.size
        self.sent_pts = None
        return packet


class SenderReports:
    """Makes a sender's reports (RFC 3550 §6.4.1) say the capture time of an RTP timestamp.

    aiortc writes the time at which the last packet went out: late by encoding and waiting, differently for sound and
    picture, so that lip-sync would be measured wrong by just that. Its `_send_rtcp` is wrapped; reports from before
    the first packet (aiortc sends zeros) are left out.
    """

    def __init__(self, sender: RTCRtpSender, track: EncodedTrack, clock: Fraction, timeline: Timeline) -> None:
        self._send: Callable[[list[AnyRtcpPacket]], Any] = sender._send_rtcp  # noqa: SLF001 - see above
        self._track = track
        self._clock = clock
        self._timeline = timeline
        self._origin: int | None = None  # RTP timestamp of pts 0
        self._last = 0  # pts of the latest report: RTP timestamps wrap around, time does not
        sender._send_rtcp = self._rewritten  # type: ignore[method-assign]  # noqa: SLF001 - see above

    async def _rewritten(self, packets: list[AnyRtcpPacket]) -> None:
        await self._send(
            [packet for packet in packets if not isinstance(packet, RtcpSrPacket) or self._correct(packet)]
        )

    def _correct(self, report: RtcpSrPacket) -> bool:
        info = report.sender_info
        if self._origin is None:
            if self._track.sent_pts is None or not info.packet_count:
                return False
            self._origin = (info.rtp_timestamp - self._track.sent_pts) & 0xFFFF_FFFF
        step = (info.rtp_timestamp - self._origin - self._last) & 0xFFFF_FFFF
        self._last += step - (1 << 32) if step >= 1 << 31 else step
        info.ntp_timestamp = ntp_time(self._timeline.wall(float(self._last * self._clock)))
        return True


def ntp_time(unix: float) -> int:
    """Unix seconds as 64-bit NTP time (RFC 5905 §6)."""
    seconds, fraction = divmod(unix + _NTP_EPOCH, 1)
    return (int(seconds) << 32) | int(fraction * (1 << 32))
