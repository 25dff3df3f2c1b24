from itertools import pairwise

import av
import numpy as np
import pytest

from rivulet_media.camera.encoders import (
    OPUS_SAMPLES,
    AudioEncoder,
    Packet,
    VideoCodec,
    VideoEncoder,
    VideoSettings,
    picture_frame,
)
from rivulet_media.camera.picture import Moment, TimerPicture
from rivulet_media.camera.stamp import read_stamp
from rivulet_media.camera.tone import burst_samples

START_MS = 1_795_252_000_000
SECONDS = 6


def encoded(codec: VideoCodec, *, key_frame_wanted_at: int | None = None) -> list[Packet]:
    settings = VideoSettings(codec)
    encoder, picture = VideoEncoder(settings), TimerPicture(settings.width, settings.height)
    packets = []
    for number in range(SECONDS * settings.fps):
        if number == key_frame_wanted_at:
            encoder.want_key_frame()
        drawn = picture.draw(Moment(number * 1000 // 15, START_MS + number * 1000 // 15, number % 15 < 2))
        packets += encoder.encode(picture_frame(drawn), number * 6000)
    return packets


@pytest.fixture(scope="module", params=["h264", "vp8"])
def stream(request: pytest.FixtureRequest) -> tuple[VideoCodec, list[Packet]]:
    return request.param, encoded(request.param, key_frame_wanted_at=37)


def test_every_picture_gives_one_packet_with_its_own_time(stream: tuple[VideoCodec, list[Packet]]) -> None:
    assert [packet.pts for packet in stream[1]] == [number * 6000 for number in range(SECONDS * 15)]


def test_key_frames_come_every_two_seconds_and_at_once_when_asked_for(stream: tuple[VideoCodec, list[Packet]]) -> None:
    assert [number for number, packet in enumerate(stream[1]) if packet.is_keyframe] == [0, 30, 37, 67]


def test_the_bit_rate_is_the_one_that_was_set(stream: tuple[VideoCodec, list[Packet]]) -> None:
    bits_per_second = sum(packet.size for packet in stream[1]) * 8 / SECONDS
    assert 0.8 * 500_000 < bits_per_second < 1.2 * 500_000


def test_the_stamp_survives_the_encoder_and_scaling(stream: tuple[VideoCodec, list[Packet]]) -> None:
    """E4."""
    codec, packets = stream
    decoder = av.CodecContext.create("h264" if codec == "h264" else "libvpx", "r")
    for number, packet in enumerate(packets):
        for frame in decoder.decode(packet):
            assert isinstance(frame, av.VideoFrame)
            for width, height in ((640, 360), (256, 144)):
                luma = np.asarray(frame.reformat(width, height, "gray").to_ndarray(), dtype=np.uint8)
                assert read_stamp(luma) == START_MS + number * 1000 // 15


def test_h264_is_constrained_baseline_with_its_parameters_in_every_key_frame() -> None:
    for packet in encoded("h264"):
        if packet.is_keyframe:
            data = bytes(packet)
            sps = data.index(b"\x00\x00\x01\x67") + 4
            assert data[sps] == 66  # profile_idc: Baseline
            assert data[sps + 1] & 0x40  # constraint_set1: constrained
            assert data[sps + 2] <= 31  # level_idc


def test_opus_packets_carry_20_ms_each_and_begin_with_the_look_ahead() -> None:
    encoder = AudioEncoder()
    packets = [packet for k in range(10) for packet in encoder.encode(burst_samples(k * 960, 960), k * OPUS_SAMPLES)]
    times = [packet.pts or 0 for packet in packets]
    assert -960 < times[0] <= 0
    assert {after - before for before, after in pairwise(times)} == {OPUS_SAMPLES}
