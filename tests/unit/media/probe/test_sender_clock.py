import pytest

from rivulet_media.camera.track import ntp_time
from rivulet_media.probe.sender_clock import SenderClock

NOW = 1_795_252_000.25


def test_before_the_first_report_nobody_knows() -> None:
    assert SenderClock(90_000).unix(1234) is None


@pytest.mark.parametrize(
    ("reported", "asked", "offset"),
    [
        pytest.param(1000, 91_000, 1.0, id="later"),
        pytest.param(91_000, 1000, -1.0, id="earlier"),
        pytest.param(0xFFFF_FFFF, 89_999, 1.0, id="across the wrap"),
        pytest.param(1000, (1 << 32) + 91_000, 1.0, id="an unwrapped timestamp"),
    ],
)
def test_a_timestamp_is_placed_relative_to_the_latest_report(reported: int, asked: int, offset: float) -> None:
    clock = SenderClock(90_000)
    clock.report(5, ntp_time(NOW - 100))
    clock.report(reported, ntp_time(NOW))
    assert clock.unix(asked) == pytest.approx(NOW + offset, abs=1e-6)


def test_a_report_without_a_time_is_passed_over() -> None:
    clock = SenderClock(90_000)
    clock.report(1000, 0)
    assert (clock.unix(1000), clock.reports) == (None, 0)
