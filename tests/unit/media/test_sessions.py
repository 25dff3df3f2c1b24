import random
from collections import Counter

from rivulet_media.sessions import REMEMBERED_MOST, Ended, Kind, Session, Sessions


def test_a_session_ends_once_and_the_first_reason_stands() -> None:
    sessions, heard = Sessions(), []
    sessions.listen(lambda session, reason: heard.append((session.id, reason)))
    session = Session("a", "viewer", "s")
    sessions.add(session)
    assert sessions.end("a", "deleted", 1) == session
    assert sessions.end("a", "consent-expired", 2) is None
    assert sessions.ended("a", 3) == Ended(session, "deleted", 1)
    assert heard == [("a", "deleted")]


def test_the_reason_is_remembered_for_ten_minutes() -> None:
    sessions = Sessions()
    sessions.add(Session("a", "viewer", "s"))
    sessions.end("a", "deleted", 0)
    assert sessions.ended("a", 599) is not None
    assert sessions.ended("a", 600) is None


def test_what_is_remembered_is_bounded() -> None:
    sessions = Sessions()
    for number in range(REMEMBERED_MOST + 5):
        sessions.add(Session(str(number), "viewer", "s"))
        sessions.end(str(number), "deleted", 0)
    assert sessions.ended("4", 0) is None
    assert sessions.ended("5", 0) is not None


def test_counts_are_by_kind_and_by_stream() -> None:
    sessions = Sessions()
    viewers: list[tuple[Kind, str]] = [("viewer", "a"), ("viewer", "a"), ("viewer", "b")]
    for number, (kind, stream) in enumerate([*viewers, ("relay_out", "a"), ("publisher", "a")]):
        sessions.add(Session(str(number), kind, stream))
    assert (sessions.count("viewer"), sessions.count("relay_out")) == (3, 1)
    assert sessions.viewers_by_stream() == {"a": 2, "b": 1}
    assert (sessions.viewers("a"), sessions.viewers("c")) == (2, 0)
    assert {session.id for session in sessions.of_stream("a", "viewer", "relay_out")} == {"0", "1", "3"}


def test_counts_agree_with_who_lives_whatever_came_and_went() -> None:
    dice = random.Random(4)  # noqa: S311 - the same in every run
    kinds: list[Kind] = ["viewer", "relay_out", "publisher"]
    sessions = Sessions()
    for number in range(500):
        sessions.add(Session(str(number), dice.choice(kinds), dice.choice("abc")))
        gone = str(dice.randrange(number + 1))
        sessions.end(gone, "deleted", number)
        sessions.end(gone, "consent-expired", number)  # a second end changes nothing
        viewers = Counter(item.stream for item in sessions.all() if item.kind == "viewer")
        assert sessions.viewers_by_stream() == dict(viewers)
        assert {kind: sessions.count(kind) for kind in kinds} == {
            kind: sum(item.kind == kind for item in sessions.all()) for kind in kinds
        }


def test_an_ice_restart_gives_a_new_strong_tag() -> None:
    session = Session("a", "viewer", "s")
    before = session.etag
    session.restarts += 1
    assert before != session.etag
    assert before.startswith('"')
