import dataclasses
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivulet_media.table import Gone, NodeEntry, NodeState, Pod, StreamEntry, StreamState, Table

Word = NodeEntry | StreamEntry | Gone
REFS = [("edge-eu-0", "a" * 12), ("edge-eu-0", "b" * 12), ("origin-eu-0", "c" * 12)]


def node(slot: str = "edge-eu-0", incarnation: str = "a" * 12, version: int = 1, state: NodeState = "up") -> NodeEntry:
    return NodeEntry(
        node=slot,
        incarnation=incarnation,
        version=version,
        role="origin" if slot.startswith("origin") else "edge",
        region="eu",
        state=state,
        address="192.0.2.1",
        media_port=7000,
        http="10.0.0.1:8080",
        pod=Pod(ip="10.0.0.1"),
        since=float(int(incarnation[0], 16)),
    )


def stream(
    version: int = 1, state: StreamState = "live", *, origin: str = "origin-eu-0/" + "c" * 12, since: float = 1.0
) -> StreamEntry:
    return StreamEntry(
        stream="test_eu", incarnation="d" * 12, version=version, origin=origin, region="eu", state=state, since=since
    )


def gone(slot: str = "edge-eu-0", incarnation: str = "a" * 12, version: int = 1) -> Gone:
    return Gone(node=slot, incarnation=incarnation, version=version, region="eu")


STATES: list[NodeState] = ["up", "full", "draining", "down"]
STREAM_STATES: list[StreamState] = ["live", "lost", "ended"]
VERSIONS = st.integers(1, 4)
WORDS = st.one_of(
    st.builds(lambda ref, v, s: node(ref[0], ref[1], v, s), st.sampled_from(REFS), VERSIONS, st.sampled_from(STATES)),
    st.builds(stream, VERSIONS, st.sampled_from(STREAM_STATES)),
    st.builds(lambda ref, v: gone(ref[0], ref[1], v), st.sampled_from(REFS), VERSIONS),
)


def heard(words: list[Word]) -> Table:
    table = Table()
    for word in words:
        match word:
            case NodeEntry():
                table.merge(0, nodes=[word])
            case StreamEntry():
                table.merge(0, streams=[word])
            case Gone():
                table.merge(0, gone=[word])
    return table


def content(table: Table) -> tuple[object, ...]:
    return table.nodes, table.streams, table.digest()


@settings(max_examples=400)
@given(st.lists(WORDS, max_size=12), st.randoms(use_true_random=False))
def test_the_order_and_number_of_times_do_not_matter(words: list[Word], chance: random.Random) -> None:
    again = words + words[::2]
    chance.shuffle(again)
    assert content(heard(words)) == content(heard(again))


@settings(max_examples=200)
@given(st.lists(WORDS, max_size=8), st.lists(WORDS, max_size=8))
def test_two_tables_that_tell_each_other_all_are_equal(left: list[Word], right: list[Word]) -> None:
    one, two = heard(left), heard(right)
    for teller, listener in ((one, two), (two, one)):
        listener.merge(0, nodes=teller.nodes, streams=teller.heard_streams, gone=teller.gone)
    assert content(one) == content(two)


@settings(max_examples=100)
@given(st.lists(WORDS, max_size=8))
def test_what_is_no_news_is_not_told_on(words: list[Word]) -> None:
    table = heard(words)
    assert not table.merge(0, nodes=table.nodes, streams=table.streams, gone=table.gone)


@pytest.mark.parametrize(
    ("known", "said", "wins"),
    [
        pytest.param(node(version=1), node(version=2, state="full"), True, id="a later version"),
        pytest.param(node(version=2), node(version=1, state="full"), False, id="an earlier version"),
        pytest.param(node(version=2), node(version=2, state="down"), True, id="down at the same version"),
        pytest.param(node(version=2, state="down"), node(version=2), False, id="up at the version that is down"),
        pytest.param(node(version=2, state="down"), node(version=3), True, id="the node comes back"),
    ],
)
def test_of_two_entries_of_a_node(known: NodeEntry, said: NodeEntry, *, wins: bool) -> None:
    table = Table()
    table.merge(0, nodes=[known])
    assert bool(table.merge(1, nodes=[said])) is wins
    assert table.node(said.ref) == (said if wins else known)


def test_an_incarnation_that_left_stays_away_until_it_speaks_again() -> None:
    table = Table()
    table.merge(0, nodes=[node(version=3)])
    assert table.remove([node().ref], 1).gone == (gone(version=3),)
    assert not table.merge(2, nodes=[node(version=3)])
    assert table.merge(3, nodes=[node(version=4)])
    assert table.nodes == (node(version=4),)


def test_a_farewell_is_remembered_for_two_minutes() -> None:
    table = Table()
    table.merge(0, gone=[gone(version=3)])
    table.expire(119.9)
    assert not table.merge(119.9, nodes=[node(version=3)])
    table.expire(120)
    assert table.merge(120, nodes=[node(version=3)])


def test_a_down_node_leaves_after_a_minute_or_for_a_newer_one_of_its_slot() -> None:
    table = Table()
    table.merge(0, nodes=[node(state="down")])
    assert not table.expire(59.9, "eu")
    assert not table.expire(60, "us")
    assert not table.expire(60)
    assert table.expire(60, "eu").gone == (gone(),)
    table.merge(61, nodes=[node(version=2, state="down"), node(incarnation="b" * 12)])
    assert table.expire(61, "eu").gone == (gone(version=2),)


def test_a_newer_incarnation_does_not_remove_one_that_still_beats() -> None:
    table = Table()
    table.merge(0, nodes=[node(state="draining"), node(incarnation="b" * 12)])
    assert not table.expire(1000, "eu")
    newest = table.slot("edge-eu-0")
    assert newest is not None
    assert newest.incarnation == "b" * 12


def test_absence_speaks_only_of_what_is_no_news() -> None:
    table = Table()
    table.merge(0, nodes=[node(), node("origin-eu-0", "c" * 12)], streams=[stream()])
    table.merge(5, nodes=[node(incarnation="b" * 12)])
    delta = table.absent("eu", [node("origin-eu-0", "c" * 12).ref], [], 12)
    assert delta.gone == (gone(),)
    assert [(entry.state, entry.reason) for entry in delta.streams] == [("ended", "stream-ended")]
    assert {entry.ref for entry in table.nodes} == {"edge-eu-0/" + "b" * 12, "origin-eu-0/" + "c" * 12}
    assert not table.absent("us", [], [], 1000)


def test_an_ended_stream_leaves_after_a_minute_and_does_not_come_back() -> None:
    table = Table()
    table.merge(0, streams=[stream(2, "ended")])
    table.expire(59)
    assert table.streams
    table.expire(60)
    assert not table.streams
    assert not table.merge(61, streams=[stream(1)])


def test_a_stream_of_a_dead_origin_is_shown_lost_and_told_as_it_was_said() -> None:
    table = Table()
    table.merge(0, nodes=[node("origin-eu-0", "c" * 12)], streams=[stream()])
    before = table.digest()
    table.down("origin-eu-0/" + "c" * 12, 6)
    assert [entry.state for entry in table.shown_streams] == ["lost"]
    assert [entry.state for entry in table.streams] == ["live"]
    assert table.digest() != before
    table.merge(7, nodes=[node("origin-eu-0", "c" * 12, 2)])
    assert (table.digest(), table.stream("test_eu")) == (before, stream())


def test_of_two_publications_of_a_name_the_better_counts() -> None:
    other = "origin-eu-1/" + "e" * 12
    cases = [
        (stream(1, "lost", since=9), stream(1, "live", origin=other, since=1)),
        (stream(1, "ended", since=9), stream(1, "lost", origin=other, since=1)),
        (stream(1, "live", since=1), stream(1, "live", origin=other, since=2)),
        (stream(1, "live"), stream(1, "live", origin=other)),
    ]
    for worse, better in cases:
        table = Table()
        table.merge(0, streams=[better, worse])
        assert table.stream("test_eu") == better


def test_the_digest_leaves_out_versions_and_what_has_ended() -> None:
    one, two = Table(), Table()
    one.merge(0, nodes=[node(version=1)], streams=[stream(3, "ended")])
    two.merge(0, nodes=[dataclasses.replace(node(version=7), address="192.0.2.9")])
    assert one.digest() == two.digest()
    assert Table().digest() == "d7579b17a1292c5a"
