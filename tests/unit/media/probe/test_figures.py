import itertools

import pytest

from rivulet_media.probe.figures import Arrivals, Screen, Stalls, percentile, spread


def arrivals(*times: float) -> Arrivals:
    seen = Arrivals()
    for now in times:
        seen.add(now)
    return seen


def test_the_longest_gap_includes_the_one_that_is_still_open() -> None:
    seen = arrivals(1.0, 1.1, 1.5, 1.6)
    assert seen.gap_at(1.7) == pytest.approx(0.4)
    assert seen.gap_at(3.6) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("name", "gaps", "freezes"),
    [
        ("even", [0.033] * 60, 0),
        ("one that is 150 ms longer than usual", [0.033] * 30 + [0.19] + [0.033] * 30, 1),
        ("one that is a little shorter", [0.033] * 30 + [0.18] + [0.033] * 30, 0),
        ("a slow camera: three times the usual counts", [0.2] * 30 + [0.5, 0.2, 0.7], 1),
        ("nothing to compare with", [1.0], 0),
        ("what is usual is of the last frames", [1.0] + [0.033] * 40 + [0.3], 1),
    ],
)
def test_a_picture_freezes_when_it_stands_far_longer_than_usual(name: str, gaps: list[float], freezes: int) -> None:
    times = itertools.accumulate(gaps, initial=1.0)
    assert arrivals(*times).freezes == freezes, name


@pytest.mark.parametrize(("times", "rate"), [((), 0.0), ((1.0,), 0.0), ((1.0, 1.1, 1.2), 10.0)])
def test_the_rate_is_counted_between_the_first_and_the_last_frame(times: tuple[float, ...], rate: float) -> None:
    assert arrivals(*times).rate() == pytest.approx(rate)


@pytest.mark.parametrize(
    ("name", "late", "freezes", "longest"),
    [
        ("all in time", {}, 0, 33),
        ("one as late as the screen waits", {40: 0.1}, 0, 33),
        ("one later than that: it is shown when it comes", {40: 0.3}, 1, 233),
        ("one too late, and the next ones wait for it", {40: 0.4, 41: 0.37, 42: 0.34}, 1, 333),
        ("quicker ones later: they say when pictures could have come", dict.fromkeys(range(20), 0.05), 0, 33),
    ],
)
def test_a_screen_shows_pictures_a_while_after_they_could_have_come(
    name: str, late: dict[int, float], freezes: int, longest: int
) -> None:
    screen = Screen(0.1)
    for frame in range(80):
        captured = frame / 30
        screen.add(captured, 1000.02 + captured + late.get(frame, 0.0))
    assert (screen.shown.freezes, round(screen.shown.longest_gap * 1000)) == (freezes, longest), name


def test_a_stall_is_what_a_turn_took_beyond_its_period() -> None:
    stalls = Stalls(0.1)
    for now in (5.0, 5.1, 5.9, 6.0):
        stalls.turn(now)
    assert stalls.longest == pytest.approx(0.7)


def test_percentiles_are_values_that_were_seen() -> None:
    values = list(range(100, 0, -1))
    assert (percentile(values, 0.5), percentile(values, 0.95), percentile([7], 0.95)) == (51, 96, 7)


def test_a_spread_of_nothing_is_nothing() -> None:
    assert spread([]) is None
    assert spread([1.0, 2.0, 6.0]) == {"mean": 3.0, "p50": 2.0, "p95": 6.0, "max": 6.0, "samples": 3}
