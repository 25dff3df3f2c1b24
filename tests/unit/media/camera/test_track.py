import asyncio
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import pytest
from aiortc.mediastreams import MediaStreamError
from aiortc.rtp import AnyRtcpPacket, RtcpSdesPacket, RtcpSenderInfo, RtcpSrPacket

from rivulet_media.camera.pacing import Timeline
from rivulet_media.camera.track import EncodedTrack, SenderReports, ntp_time

if TYPE_CHECKING:
    from rivulet_media.camera.encoders import Packet

CLOCK = Fraction(1, 90_000)
STARTED = 1_795_252_000.0


class Sender:
    """As much of aiortc's sender as writes reports."""

    def __init__(self) -> None:
        self.sent: list[list[AnyRtcpPacket]] = []

    async def _send_rtcp(self, packets: list[AnyRtcpPacket]) -> None:
        self.sent.append(packets)


class Started(Timeline):
    def wall(self, at: float) -> float:
        return STARTED + at


async def pictures(*times: int) -> Any:
    for pts in times:
        packet: Packet = av.Packet(b"picture")
        packet.pts, packet.time_base = pts, CLOCK
        yield packet
    await asyncio.Event().wait()


def report(rtp_timestamp: int, packets: int = 1) -> RtcpSrPacket:
    return RtcpSrPacket(ssrc=1, sender_info=RtcpSenderInfo(ntp_time(7.0), rtp_timestamp, packets, 100))


async def waiting_for_more(track: EncodedTrack, frames: int) -> asyncio.Task[Any]:
    for _ in range(frames):
        await track.recv()
    task = asyncio.create_task(track.recv())
    await asyncio.sleep(0)
    return task


@pytest.mark.parametrize("origin", [1000, 0xFFFF_FFF0])
async def test_a_report_says_when_the_picture_of_its_timestamp_was_captured(origin: int) -> None:
    """R17: also where the RTP timestamp wraps around."""
    track = EncodedTrack("video", pictures(0, 6000))
    sender: Any = Sender()
    SenderReports(sender, track, CLOCK, Started())
    task = await waiting_for_more(track, 2)
    for pts in (6000, 90_000, 90_000 * 86_400):
        await sender._send_rtcp([report((origin + pts) & 0xFFFF_FFFF)])
        if pts == 90_000:  # a day passes, a report at a time
            for hour in range(1, 24):
                await sender._send_rtcp([report((origin + hour * 3600 * 90_000) & 0xFFFF_FFFF)])
    task.cancel()
    times = [packets[0].sender_info.ntp_timestamp for packets in sender.sent]
    assert times[:2] == [ntp_time(STARTED + 6000 / 90_000), ntp_time(STARTED + 1)]
    assert times[-1] == ntp_time(STARTED + 86_400)


async def test_reports_from_before_the_first_picture_are_left_out() -> None:
    track = EncodedTrack("video", pictures(0))
    sender: Any = Sender()
    SenderReports(sender, track, CLOCK, Started())
    await sender._send_rtcp([report(0, packets=0), RtcpSdesPacket()])
    assert [[type(packet).__name__ for packet in packets] for packets in sender.sent] == [["RtcpSdesPacket"]]


async def test_a_shifted_track_puts_its_packets_later_on_the_timeline() -> None:
    """R17: the skewed publisher of the negative test."""
    track = EncodedTrack("video", pictures(0, 6000), shift=0.3)
    assert [(await track.recv()).pts for _ in range(2)] == [27_000, 33_000]


async def test_a_stopped_track_gives_no_more_packets() -> None:
    track = EncodedTrack("video", pictures(0, 6000))
    track.stop()
    with pytest.raises(MediaStreamError):
        await track.recv()
