from rivulet_media.director.settling import Settling


def test_without_a_hello_it_takes_three_seconds() -> None:
    settling = Settling(10.0)
    assert not settling.settled(12.9)
    assert settling.settled(13.0)


def test_every_first_hello_of_a_slot_prolongs_it_but_not_beyond_eight_seconds() -> None:
    settling = Settling(0.0)
    for second in range(8):
        settling.heard(f"edge-{second}", float(second))
        assert not settling.settled(second + 0.9)
    assert settling.settled(8.0)


def test_a_second_hello_of_the_same_slot_prolongs_nothing() -> None:
    settling = Settling(0.0)
    for second in (0.0, 1.0, 2.0):
        settling.heard("edge-0", second)
    assert settling.settled(3.0)


def test_when_all_expected_have_joined_it_is_over_at_once() -> None:
    settling = Settling(0.0)
    settling.expect(["a", "b"])
    settling.heard("a", 0.1)
    assert not settling.settled(0.2)
    settling.heard("b", 0.3)
    assert settling.settled(0.3)


def test_nothing_expected_is_no_completeness() -> None:
    settling = Settling(0.0)
    settling.expect([])
    assert not settling.settled(1.0)


def test_once_settled_always_settled() -> None:
    settling = Settling(0.0)
    assert settling.settled(3.0)
    settling.heard("late", 3.5)
    settling.expect(["never"])
    assert settling.settled(3.6)
