import asyncio
import dataclasses

from entries import ORIGIN
from rivulet_media.node_table import NodeTable
from rivulet_media.table import Delta, Gone, StreamEntry

ME = ORIGIN
OTHER = dataclasses.replace(ME, node="edge-eu-0", incarnation="77aa00000002", role="edge")
MINE = StreamEntry(stream="s", incarnation="aaaaaaaaaaaa", version=1, origin=ME.ref, region="eu", state="live")
GONE = Gone(node=ME.node, incarnation=ME.incarnation, version=4, region="eu")


def joined() -> tuple[NodeTable, list[Delta]]:
    """A node that has joined and publishes, and all that it has said since."""
    table = NodeTable(lambda: 100.0)
    table.enter(ME)
    table.publish([MINE])
    said: list[Delta] = []
    table.listen_to_own_word(said.append)
    return table, said


def versions(table: NodeTable) -> list[tuple[str, int, str]]:
    return [(entry.node, entry.version, entry.state) for entry in table.table.nodes]


def test_a_node_that_reads_of_itself_as_down_objects_with_a_later_version() -> None:
    table, said = joined()
    table.hear(nodes=[dataclasses.replace(ME, state="down")])
    assert versions(table) == [("origin-eu-0", 2, "up")]
    assert [entry.version for delta in said for entry in delta.nodes] == [2]


def test_a_node_that_reads_of_itself_as_gone_comes_back_above_that_version() -> None:
    table, said = joined()
    table.hear(gone=[GONE])
    assert versions(table) == [("origin-eu-0", 5, "up")]
    assert [entry.version for delta in said for entry in delta.nodes] == [5]


def test_an_echo_of_its_own_word_says_nothing() -> None:
    table, said = joined()
    table.hear(nodes=[ME], streams=[MINE])
    assert said == []


def test_old_news_of_itself_says_nothing() -> None:
    table, said = joined()
    table.restate(state="draining")
    said.clear()
    table.hear(nodes=[ME])
    assert said == []


def test_its_publication_is_not_ended_by_others() -> None:
    table, said = joined()
    table.hear(streams=[dataclasses.replace(MINE, state="ended", reason="stream-ended")])
    entry = table.table.stream("s")
    assert entry is not None
    assert (entry.state, entry.version) == ("live", 2)
    assert len(said) == 1
    table.publish([dataclasses.replace(MINE, version=2, state="lost")])
    assert [(item.state, item.version) for item in table.own_streams] == [("lost", 3)]


def test_a_settled_director_that_has_not_heard_of_it_takes_nothing_of_its_own() -> None:
    table = NodeTable(iter(range(0, 10_000, 100)).__next__)
    table.enter(ME)
    table.publish([MINE])
    table.hear(nodes=[OTHER])
    table.absent("eu", [], [])
    assert versions(table) == [("origin-eu-0", 1, "up")]
    assert [entry.state for entry in table.table.streams] == ["live"]


def test_the_same_word_is_not_said_twice() -> None:
    table, said = joined()
    table.restate(state="up")
    assert said == []


def test_with_every_hello_after_the_first_the_version_grows() -> None:
    table, _ = joined()
    table.come_back()
    assert versions(table) == [("origin-eu-0", 2, "up")]


async def test_whoever_waits_for_a_change_is_woken_by_one() -> None:
    table, _ = joined()
    waiting = asyncio.create_task(table.change(5))
    await asyncio.sleep(0)
    table.hear(nodes=[OTHER])
    assert await waiting
    assert not await table.change(0)
