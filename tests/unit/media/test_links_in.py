from rivulet_media.links_in import LIFE_SECONDS, MOST_LEGS, WITHOUT_SECONDS, LegReading, LinksIn

PARENT = "origin-eu-0/77aa00000001"
OTHER = "origin-eu-1/77aa00000002"
SPLIT_BPS = 8e6


def links(*names: str, keep: float = 60.0) -> LinksIn:
    made = LinksIn(keep, SPLIT_BPS)
    for name in names:
        made.opened(name, PARENT, 0.0)
    return made


def read(made: LinksIn, now: float, **legs: tuple[str, int]) -> None:
    made.read({name: LegReading(link, size) for name, (link, size) in legs.items()}, now)


def test_all_relays_from_a_parent_go_by_one_link() -> None:
    made = links()
    assert made.choose(PARENT, 0.0) is None
    made.opened("a", PARENT, 0.0)
    assert (made.choose(PARENT, 1.0), made.choose(OTHER, 1.0)) == ("a", None)
    made.gone("a")
    assert (made.choose(PARENT, 2.0), made.count) == (None, 0)


def test_a_link_without_legs_is_kept_a_while_and_a_new_leg_keeps_it_on() -> None:
    made = links("a", keep=60.0)
    made.leg_began("a", "one")
    made.leg_began("a", "two")
    assert made.deadline is None
    made.leg_left("a", "one", 5.0)
    assert made.deadline is None, "the other one is still there"
    made.leg_left("a", "two", 10.0)
    made.leg_left("a", "two", 20.0)
    assert made.deadline == 70.0
    assert (made.due(69.0), made.due(70.0)) == ((), ("a",))
    made.leg_began("a", "three")
    assert (made.deadline, made.due(1000.0)) == (None, ())


def test_a_link_whose_first_leg_never_came_is_closed_too() -> None:
    assert links("a", keep=60.0).due(60.0) == ("a",)


def test_a_leg_that_leaves_a_link_that_is_gone_is_no_news() -> None:
    made = links("a")
    made.leg_began("a", "one")
    made.gone("a")
    made.leg_left("a", "one", 5.0)
    made.worn("a")
    assert (made.deadline, made.count) == (None, 0)


def test_a_worn_link_takes_no_new_legs_and_keeps_those_it_has() -> None:
    old = links("a")
    assert (old.choose(PARENT, LIFE_SECONDS - 1), old.choose(PARENT, LIFE_SECONDS)) == ("a", None)
    used = links("a")
    for number in range(MOST_LEGS):
        assert used.choose(PARENT, 1.0) == "a"
        used.leg_began("a", f"leg-{number}")
        if number:
            used.leg_left("a", f"leg-{number}", 1.0)
    assert (used.choose(PARENT, 1.0), used.due(1e6)) == (None, ())
    refused = links("a")
    refused.worn("a")
    assert refused.choose(PARENT, 1.0) is None


def test_a_fast_link_splits_in_two_and_the_slower_one_gets_the_next_leg() -> None:
    made = links("a")
    made.leg_began("a", "one")
    fast = int(SPLIT_BPS / 8)
    read(made, 0.0, one=("a", 0))
    read(made, 2.0, one=("a", 2 * fast - 8))
    assert made.choose(PARENT, 2.0) == "a"
    read(made, 4.0, one=("a", 4 * fast))
    assert made.choose(PARENT, 4.0) is None
    made.opened("b", PARENT, 4.0)
    made.leg_began("b", "two")
    read(made, 6.0, one=("a", 6 * fast), two=("b", 10**12))
    assert made.choose(PARENT, 6.0) == "b", "what a leg had before it was first read is no rate"
    read(made, 8.0, one=("a", 6 * fast + 1000), two=("b", 10**12 + 2000))
    assert made.choose(PARENT, 8.0) == "a"


def test_a_link_whose_peer_is_silent_takes_no_new_legs_until_it_is_heard_again() -> None:
    made = links("a")
    made.heard({"a": 4.1}, 6.0)
    assert made.choose(PARENT, 6.0) is None
    made.heard({"a": 0.2}, 8.0)
    assert made.choose(PARENT, 8.0) == "a"


def test_what_is_known_of_a_links_silence_grows_with_the_time_and_is_read_anew_when_that_matters() -> None:
    made = links("a")
    assert not made.in_doubt(PARENT, 60.0), "it was never read"
    made.heard({"a": 2.5, "unknown": 9.0}, 6.0)
    assert (made.choose(PARENT, 7.5), made.in_doubt(PARENT, 7.5)) == ("a", False)
    assert (made.choose(PARENT, 7.6), made.in_doubt(PARENT, 7.6)) == (None, True)
    assert not made.in_doubt(OTHER, 7.6), "it has no link there"
    made.heard({"a": 4.2}, 7.6)
    assert (made.choose(PARENT, 7.65), made.in_doubt(PARENT, 7.65)) == (None, False), (
        "for many streams at once: one reading"
    )
    assert made.in_doubt(PARENT, 7.8)


def test_a_parent_without_links_is_asked_for_one_again_after_a_while() -> None:
    made = links()
    assert made.has_links(PARENT, 0.0)
    made.without_links(PARENT, 10.0)
    assert not made.has_links(PARENT, 10.0 + WITHOUT_SECONDS - 1)
    assert made.has_links(OTHER, 11.0)
    assert made.has_links(PARENT, 10.0 + WITHOUT_SECONDS)
