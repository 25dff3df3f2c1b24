import pytest

from rivulet_media.drain import Drain


def test_an_order_is_taken_back() -> None:
    ordered = Drain().order(100.0)
    assert ordered.draining
    assert not ordered.order(None).draining


def test_an_ordered_drain_closes_sessions_at_its_deadline_but_the_process_stays() -> None:
    ordered = Drain().order(100.0)
    assert not ordered.sessions_must_go(99)
    assert ordered.sessions_must_go(100)
    assert not ordered.may_exit(200, empty=True)


def test_sigterm_exits_when_empty_or_at_the_deadline() -> None:
    """O5."""
    drain = Drain().terminate(1000, 600)
    assert drain.may_exit(1000, empty=True)
    assert not drain.may_exit(1599, empty=False)
    assert drain.may_exit(1600, empty=False)


def test_sigterm_is_not_taken_back() -> None:
    assert Drain().terminate(1000, 600).order(None).draining


def test_the_earlier_deadline_counts() -> None:
    assert Drain().order(1200).terminate(1000, 600).deadline == 1200
    assert Drain().terminate(1000, 600).terminate(1010, 0).deadline == 1010


@pytest.mark.parametrize(
    ("waiting", "left", "asked"),
    [(0, 600, 0), (10, 600, 10), (1000, 600, 25), (60_000, 600, 100), (1000, 2, 500), (1000, 0, 1000)],
    ids=["nobody", "a few at once", "50 a second", "more, where half the time needs it", "soon", "at the deadline"],
)
def test_viewers_are_asked_to_move_steadily(waiting: int, left: float, asked: int) -> None:
    assert Drain().order(1000 + left).asked_now(waiting, 1000, 0.5) == asked


def test_nobody_is_asked_to_move_from_a_node_that_stays() -> None:
    assert Drain().asked_now(10, 1000, 0.5) == 0
