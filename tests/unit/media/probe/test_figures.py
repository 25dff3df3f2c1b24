import pytest

from rivulet_media.probe.figures import Arrivals, percentile, spread


def arrivals(*times: float) -> Arrivals:
    seen = Arrivals()
    for now in times:
        seen.add(now)
    return seen


def test_the_longest_gap_includes_the_one_that_is_still_open() -> None:
    seen = arrivals(1.0, 1.1, 1.5, 1.6)
    assert seen.gap_at(1.7) == pytest.approx(0.4)
    assert seen.gap_at(3.6) == pytest.approx(2.0)


@pytest.mark.parametrize(("times", "rate"), [((), 0.0), ((1.0,), 0.0), ((1.0, 1.1, 1.2), 10.0)])
def test_the_rate_is_counted_between_the_first_and_the_last_frame(times: tuple[float, ...], rate: float) -> None:
    assert arrivals(*times).rate() == pytest.approx(rate)


def test_percentiles_are_values_that_were_seen() -> None:
    values = list(range(100, 0, -1))
    assert (percentile(values, 0.5), percentile(values, 0.95), percentile([7], 0.95)) == (51, 96, 7)


def test_a_spread_of_nothing_is_nothing() -> None:
    assert spread([]) is None
    assert spread([1.0, 2.0, 6.0]) == {"mean": 3.0, "p50": 2.0, "p95": 6.0, "max": 6.0, "samples": 3}
