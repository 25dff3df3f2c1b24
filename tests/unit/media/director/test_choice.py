from dataclasses import replace

import pytest

from entries import ORIGIN
from rivulet_media.director.choice import Placements, carriers, edges, newest, origins
from rivulet_media.director.directory import Reported
from rivulet_media.table import Capacity, NodeEntry, NodeState, Role, StreamEntry, StreamState, Table
from rivulet_media.wire import Counts, RelayIn


def node(slot: str, state: NodeState = "up", *, role: Role = "origin", since: float = 0, seats: int = 10) -> NodeEntry:
    incarnation, capacity = f"{int(since):012x}", Capacity(viewers=seats)
    return replace(ORIGIN, node=slot, incarnation=incarnation, role=role, state=state, since=since, capacity=capacity)


def table_of(*nodes: NodeEntry, stream: tuple[NodeEntry, StreamState] | None = None) -> Table:
    table = Table()
    table.merge(0, nodes=nodes)
    if stream is not None:
        origin, state = stream
        entry = StreamEntry(stream="s", incarnation="a" * 12, version=1, origin=origin.ref, region="eu", state=state)
        table.merge(0, streams=[entry])
    return table


ORIGINS = [node(f"origin-{number}") for number in range(5)]


def names(nodes: list[NodeEntry]) -> list[str]:
    return [entry.node for entry in nodes]


def test_two_directors_choose_the_same_origin_in_whatever_order_they_heard() -> None:
    for number in range(100):
        name = f"stream-{number}"
        assert origins(table_of(*ORIGINS), "eu", name) == origins(table_of(*reversed(ORIGINS)), "eu", name)


def test_an_origin_that_leaves_moves_only_its_own_streams_and_all_origins_are_used() -> None:
    before = {name: origins(table_of(*ORIGINS), "eu", name)[0] for name in map(str, range(200))}
    after = {name: origins(table_of(*ORIGINS[1:]), "eu", name)[0] for name in before}
    assert all(before[name] == after[name] for name in before if before[name] != ORIGINS[0])
    assert set(before.values()) == set(ORIGINS)


@pytest.mark.parametrize(
    ("holder", "state", "first"),
    [
        ("up", "live", True),
        ("up", "lost", True),
        ("full", "live", True),
        ("up", "ended", False),
        ("down", "live", False),
        ("draining", "live", False),
    ],
)
def test_the_origin_at_which_a_stream_stands_is_asked_first(
    holder: NodeState, state: StreamState, *, first: bool
) -> None:
    preferred = origins(table_of(*ORIGINS), "eu", "s")[0]
    other = next(entry for entry in ORIGINS if entry != preferred)
    standing = node(other.node, holder, since=1)
    table = table_of(*(entry for entry in ORIGINS if entry != other), standing, stream=(standing, state))
    assert (origins(table, "eu", "s")[0] == standing) is first


def test_only_the_newest_incarnation_that_is_up_takes_new_sessions() -> None:
    old, new, dead = node("a", "draining"), node("a", since=1), node("a", "down", since=2)
    assert newest([dead, new, old]) == [new]
    draining = [node("a", role="edge"), node("a", "draining", role="edge", since=1)]
    assert edges(table_of(*draining), "eu") == []
    assert names(edges(table_of(node("b", role="edge"), node("o"), node("c", "full", role="edge")), "eu")) == ["b"]


def reported(viewers: int, when: float = 0.0) -> Reported:
    return Reported(Counts(viewers=viewers), when)


def test_placements_that_are_not_reported_yet_are_counted() -> None:
    """L6: twenty viewers in a second split within ± 2, whatever was reported."""
    one, two = node("a", role="edge", seats=100), node("b", role="edge", seats=100)
    counts = {one.ref: reported(5), two.ref: reported(5)}
    placements, placed = Placements(), {"a": 0, "b": 0}
    for number in range(20):
        chosen = placements.order([one, two], counts)[0]
        placements.begin(chosen.ref)
        placements.end(chosen.ref, 1.0 + number / 20, placed=True)
        placed[chosen.node] += 1
    assert placed == {"a": 10, "b": 10}


def test_the_less_loaded_by_seats_comes_first_and_equals_take_turns() -> None:
    large, small = node("a", role="edge", seats=100), node("b", role="edge", seats=10)
    placements = Placements()
    assert names(placements.order([small, large], {large.ref: reported(20), small.ref: reported(5)})) == ["a", "b"]
    first = placements.order([large, small], {})[0]
    placements.begin(first.ref)
    placements.end(first.ref, 0.0, placed=False)
    assert placements.order([large, small], {})[0] != first


def test_a_report_takes_the_place_of_what_was_placed_before_it() -> None:
    one, two = node("a", role="edge"), node("b", role="edge")
    placements = Placements()
    for _ in range(3):
        placements.begin(one.ref)
        placements.end(one.ref, 1.0, placed=True)
    assert names(placements.order([one, two], {two.ref: reported(1, 2.0)})) == ["b", "a"]
    assert names(placements.order([one, two], {one.ref: reported(0, 2.0), two.ref: reported(1, 2.0)})) == ["a", "b"]


def test_carriers_pull_the_stream_now() -> None:
    one, two = node("a", role="edge"), node("b", role="edge")
    relay = RelayIn(stream="s", parent=ORIGINS[0].ref, state="live")
    counts = {one.ref: Reported(Counts(relays_in=(relay,)), 0.0), two.ref: reported(0)}
    assert carriers([one, two], "s", counts) == [one]
    assert carriers([one, two], "t", counts) == []
