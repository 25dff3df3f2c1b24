import dataclasses

import pytest

from entries import ORIGIN
from rivulet_media.admission import MOST_PENDING, Admission
from rivulet_media.errors import NotYetError
from rivulet_media.node_table import NodeTable
from rivulet_media.sessions import Session, Sessions

ME = dataclasses.replace(ORIGIN, node="edge-eu-0", role="edge")


def admission(viewers: int = 0) -> Admission:
    """A node with one seat that has joined."""
    table, sessions = NodeTable(lambda: 0.0), Sessions()
    table.enter(ME)
    for number in range(viewers):
        sessions.add(Session(str(number), "viewer", "s"))
    return Admission(sessions, table, capacity_viewers=1)


def slug_of(refused: pytest.ExceptionInfo[NotYetError]) -> str:
    return refused.value.slug


def test_before_the_join_nothing_is_taken() -> None:
    """D14."""
    waiting = Admission(Sessions(), NodeTable(lambda: 0.0), 1)
    assert waiting.state == "waiting"
    with pytest.raises(NotYetError) as refused:
        waiting.check()
    assert slug_of(refused) == "settling"


def test_a_node_with_a_free_seat_takes_a_viewer() -> None:
    assert admission().check_viewer() == ME
    assert admission().state == "up"


def test_a_full_node_takes_no_viewer_but_relays_and_publishers() -> None:
    full = admission(viewers=1)
    assert full.state == "full"
    assert full.check() == ME
    with pytest.raises(NotYetError) as refused:
        full.check_viewer()
    assert slug_of(refused) == "full"


def test_a_draining_node_takes_nothing() -> None:
    """O5."""
    draining = admission(viewers=1)
    draining.drain = draining.drain.terminate(0, 600)
    assert (draining.state, draining.empty) == ("draining", False)
    with pytest.raises(NotYetError) as refused:
        draining.check()
    assert slug_of(refused) == "no-node"


def test_one_client_may_have_only_so_many_sessions_unfinished() -> None:
    """S5: what is connected counts no more, and other clients are taken."""
    sessions, table = Sessions(), NodeTable(lambda: 0.0)
    table.enter(ME)
    node = Admission(sessions, table, capacity_viewers=10_000)
    for number in range(MOST_PENDING):
        assert node.check_viewer("192.0.2.7") == ME
        sessions.add(Session(str(number), "viewer", "s", client="192.0.2.7"))
    with pytest.raises(NotYetError) as refused:
        node.check_viewer("192.0.2.7")
    assert (slug_of(refused), refused.value.status) == ("too-many-requests", 429)
    assert node.check_viewer("192.0.2.8") == ME
    sessions.connected("0")
    assert node.check_viewer("192.0.2.7") == ME
    sessions.end("1", "handshake-timeout", 0)
    assert sessions.pending("192.0.2.7") == MOST_PENDING - 2
