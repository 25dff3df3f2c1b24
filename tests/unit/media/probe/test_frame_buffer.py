import random

import pytest

from rivulet_media.probe.frame_buffer import EncodedFrame, FrameBuffer, Piece, Unwrapped


def picture(first: int, timestamp: int, size: int = 3) -> list[Piece]:
    return [
        Piece((first + n) & 0xFFFF, timestamp & 0xFFFF_FFFF, n == size - 1, bytes([(first + n) % 251]))
        for n in range(size)
    ]


def movie(pictures: int, first: int = 0, timestamp: int = 0) -> list[Piece]:
    return [piece for n in range(pictures) for piece in picture(first + 3 * n, timestamp + 6000 * n)]


def data(first: int, size: int = 3) -> bytes:
    return bytes((first + n) % 251 for n in range(size))


def test_a_picture_is_out_with_its_last_packet() -> None:
    buffer = FrameBuffer("video")
    outcomes = [buffer.add(piece, 0.0) for piece in picture(7, 9000)]
    assert [outcome.frames for outcome in outcomes] == [[], [], [EncodedFrame(data(7), 9000)]]


def test_every_packet_of_sound_is_a_frame() -> None:
    buffer = FrameBuffer("audio")
    frames = [buffer.add(Piece(n, 960 * n, n == 0, b"sound"), 0.02 * n).frames for n in range(3)]
    assert frames == [[EncodedFrame(b"sound", 960 * n)] for n in range(3)]


@pytest.mark.parametrize("seed", range(20))
def test_reordered_and_doubled_packets_give_the_same_pictures(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311 - a seeded simulator
    pieces = movie(20, first=65_500, timestamp=0xFFFF_0000)
    order = sorted(range(len(pieces)), key=lambda n: n + rng.uniform(0, 6) if n else -1)
    buffer = FrameBuffer("video")
    frames = []
    for n in order:
        for _ in range(rng.choice((1, 1, 2))):
            outcome = buffer.add(pieces[n], 0.0)
            assert not outcome.lost
            frames += outcome.frames
    assert [frame.timestamp for frame in frames] == [0xFFFF_0000 + 6000 * n for n in range(20)]
    assert b"".join(frame.data for frame in frames) == b"".join(piece.data for piece in pieces)


def test_a_repair_within_patience_loses_nothing() -> None:
    buffer = FrameBuffer("video")
    pieces = movie(5)
    late = pieces.pop(4)
    frames = [frame for n, piece in enumerate(pieces) for frame in buffer.add(piece, 0.02 * n).frames]
    assert [frame.timestamp for frame in frames] == [0]
    assert [frame.timestamp for frame in buffer.add(late, 0.4).frames] == [6000, 12_000, 18_000, 24_000]


def test_a_hole_that_stays_costs_the_pictures_it_cuts_into_and_asks_for_a_key_frame() -> None:
    buffer = FrameBuffer("video")
    pieces = [piece for piece in movie(20) if piece.sequence not in (4, 5, 6)]  # end of the second, start of the third
    frames, losses = [], 0
    for n, piece in enumerate(pieces):
        outcome = buffer.add(piece, 0.02 * n)
        frames += outcome.frames
        losses += outcome.lost
    assert losses == 1
    assert [frame.timestamp for frame in frames] == [0, *(6000 * n for n in range(3, 20))]


def test_a_lost_sound_costs_itself_only() -> None:
    buffer = FrameBuffer("audio")
    frames = []
    for n in range(20):
        if n != 3:
            frames += buffer.add(Piece(n, 960 * n, marker=False, data=b"sound"), 0.02 * n).frames
    assert [frame.timestamp // 960 for frame in frames] == [n for n in range(20) if n != 3]


def test_a_picture_whose_marker_is_missing_ends_with_the_next_one() -> None:
    buffer = FrameBuffer("video")
    buffer.add(Piece(0, 0, marker=False, data=b"a"), 0.0)
    frames = buffer.add(Piece(1, 6000, marker=True, data=b"b"), 0.1).frames
    assert frames == [EncodedFrame(b"a", 0), EncodedFrame(b"b", 6000)]


def test_counters_are_unwrapped_in_both_directions() -> None:
    unwrapped = Unwrapped(16)
    assert [unwrapped(n) for n in (65_534, 65_535, 0, 65_533, 1, 40_000)] == [
        65_534,
        65_535,
        65_536,
        65_533,
        65_537,
        40_000,
    ]
