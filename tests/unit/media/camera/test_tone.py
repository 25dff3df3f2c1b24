import numpy as np

from rivulet_media.camera.tone import burst_samples


def test_a_burst_begins_with_every_second_of_the_timeline() -> None:
    samples = np.abs(burst_samples(0, 3 * 48_000).astype(int))
    loud = np.flatnonzero(samples > 6000)
    assert set(loud // 48_000) == {0, 1, 2}
    assert (loud % 48_000).max() < 4800
    assert (loud % 48_000).min() < 48


def test_pieces_join_without_a_seam() -> None:
    pieces = np.concatenate([burst_samples(first, 960) for first in range(0, 48_000, 960)])
    assert np.array_equal(pieces, burst_samples(0, 48_000))
