from dataclasses import replace

import pytest

from rivulet_media.publications import FIRST_PACKET_SECONDS
from rivulet_media.pulled import FIRST_DELAY, LONGEST_DELAY, LONGEST_RETRY_AFTER, WELL_SECONDS, Pulled
from rivulet_media.wire import PullOrder, StreamPolicy

ORDER = PullOrder(url="https://cdn.example/whep/s", policy=StreamPolicy(stream="s"))


def pauses(pulled: Pulled, count: int, **failure: float) -> list[float]:
    """How long it waits after each of so many failures in a row."""
    now, found = 100.0, []
    for _ in range(count):
        pulled.begin()
        pulled.failed("no", now, failure.get("retry_after"))
        assert pulled.deadline is not None
        found.append(pulled.deadline - now)
        now = pulled.deadline
    return found


def test_it_is_asked_at_once_and_one_attempt_is_open_at_a_time() -> None:
    pulled = Pulled(ORDER, 5)
    assert (pulled.deadline, pulled.is_due(5)) == (5, True)
    assert pulled.begin() == 1
    assert (pulled.deadline, pulled.is_due(1e9)) == (None, False)
    pulled.failed("no", 6)
    assert pulled.begin() == 2


def test_failures_in_a_row_wait_twice_as_long_each_up_to_a_limit() -> None:
    assert pauses(Pulled(ORDER, 0), 7) == [0.5, 1, 2, 4, 8, LONGEST_DELAY, LONGEST_DELAY]


@pytest.mark.parametrize(("asked", "waits"), [(0, FIRST_DELAY), (7, 7), (86_400, LONGEST_RETRY_AFTER)])
def test_a_server_says_when_to_come_again_within_bounds(asked: float, waits: float) -> None:
    assert pauses(Pulled(ORDER, 0), 1, retry_after=asked) == [waits]


@pytest.mark.parametrize(("flowed", "waits"), [(WELL_SECONDS, FIRST_DELAY), (WELL_SECONDS - 1, 8.0)])
def test_what_has_flowed_for_a_while_is_asked_for_again_soon(flowed: float, waits: float) -> None:
    pulled = Pulled(ORDER, 0)
    pauses(pulled, 4)
    pulled.begin()
    pulled.answered(200)
    pulled.flows(201)
    assert {pulled.error, pulled.deadline} == {None}
    pulled.failed("gone", 201 + flowed)
    assert (pulled.error, pulled.deadline) == ("gone", 201 + flowed + waits)


def test_who_agrees_and_sends_nothing_is_late() -> None:
    pulled = Pulled(ORDER, 0)
    pulled.begin()
    assert not pulled.is_late(1e9), "it has not agreed yet: the request has a limit of its own"
    pulled.answered(10)
    assert pulled.deadline == 10 + FIRST_PACKET_SECONDS
    assert not pulled.is_late(9 + FIRST_PACKET_SECONDS)
    assert pulled.is_late(10 + FIRST_PACKET_SECONDS)
    pulled.flows(11)
    assert not pulled.is_late(1e9)


@pytest.mark.parametrize(
    ("change", "anew"),
    [
        ({"url": "https://other.example/s"}, True),
        ({"token": "t"}, True),
        ({"policy": StreamPolicy(stream="s", hold_seconds=5)}, False),
    ],
)
def test_another_server_or_token_begins_anew_and_other_settings_do_not(
    change: dict[str, object], *, anew: bool
) -> None:
    pulled = Pulled(ORDER, 0)
    pauses(pulled, 5)
    pulled.begin()
    assert pulled.use(replace(ORDER, **change), 500) is anew  # type: ignore[arg-type]
    assert (pulled.attempt is None, pulled.is_due(500)) == (anew, anew)
    if anew:
        assert pauses(pulled, 1) == [FIRST_DELAY]


def test_another_token_is_for_the_next_attempt_while_packets_come() -> None:
    pulled = Pulled(ORDER, 0)
    pulled.begin()
    pulled.answered(1)
    pulled.flows(1)
    assert not pulled.use(replace(ORDER, token="t"), 2)
    assert pulled.order.token == "t"
    assert pulled.use(replace(ORDER, url="https://other.example/s"), 3)


def test_what_cannot_be_tried_is_told_and_not_tried_until_it_can() -> None:
    pulled = Pulled(replace(ORDER, problem="there is no Secret"), 0)
    assert (pulled.error, pulled.is_due(1e9), pulled.deadline) == ("there is no Secret", False, None)
    assert pulled.use(ORDER, 7)
    assert (pulled.error, pulled.is_due(7)) == (None, True)


def test_what_must_wait_for_another_origin_is_looked_at_when_that_may_have_left() -> None:
    pulled = Pulled(ORDER, 0)
    pulled.wait("it is elsewhere", 0)
    assert (pulled.is_due(1), pulled.deadline, pulled.error) == (False, LONGEST_DELAY, "it is elsewhere")
    pulled.again(1)
    assert pulled.is_due(1)
    pulled.begin()
    pulled.failed("no", 1)
    pulled.again(1)
    assert not pulled.is_due(1), "a table that changes does not shorten a pause after a failure"
