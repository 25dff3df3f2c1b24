"""Sees it when another version of aiortc has another receiver than the probe reaches into."""

from typing import TYPE_CHECKING, Any

from aiortc import RTCConfiguration, RTCPeerConnection
from aiortc.rtp import RtcpSenderInfo, RtcpSrPacket, RtpPacket

from rivulet_media.camera.track import ntp_time
from rivulet_media.probe.receiver_tap import ReceiverTap
from rivulet_media.probe.sender_clock import SenderClock

if TYPE_CHECKING:
    import queue

NOW = 1_795_252_000.0


def inside(receiver: Any, name: str) -> Any:
    return getattr(receiver, f"_RTCRtpReceiver__{name}")


async def test_whole_frames_reach_the_decoder_with_their_own_rtp_timestamps() -> None:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    receiver: Any = connection.addTransceiver("video", direction="recvonly").receiver
    tap = ReceiverTap(receiver, "video", SenderClock(90_000))
    assert inside(receiver, "jitter_buffer") is tap
    decoder_queue: queue.Queue[Any] = inside(receiver, "decoder_queue")
    inside(receiver, "codecs")[97] = "VP8"
    for number, payload in enumerate((b"first", b"last")):
        packet: Any = RtpPacket(97, marker=number, sequence_number=number, timestamp=4_000_000_000)
        packet._data = payload
        assert tap.add(packet) == (False, None)
    codec, frame = decoder_queue.get_nowait()
    assert (codec, frame.data, frame.timestamp) == ("VP8", b"firstlast", 4_000_000_000)
    await connection.close()


async def test_sender_reports_reach_the_clock_and_aiortc() -> None:
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    receiver: Any = connection.addTransceiver("audio", direction="recvonly").receiver
    clock = SenderClock(48_000)
    ReceiverTap(receiver, "audio", clock)
    await receiver._handle_rtcp_packet(RtcpSrPacket(ssrc=7, sender_info=RtcpSenderInfo(ntp_time(NOW), 960, 1, 1)))
    assert clock.unix(960) == NOW
    assert 7 in inside(receiver, "lsr")
    await connection.close()
