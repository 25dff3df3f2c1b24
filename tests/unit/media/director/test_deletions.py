from rivulet_media.director.deletions import UNHEARD_SECONDS, Deletions
from rivulet_media.table import StreamEntry, StreamState

NONE: frozenset[str] = frozenset()


def entry(stream: str, incarnation: str = "a" * 12, state: StreamState = "live") -> StreamEntry:
    return StreamEntry(
        stream=stream, incarnation=incarnation, version=1, origin="origin-eu-0/77", region="eu", state=state, tracks=()
    )


def test_a_stream_that_was_here_and_is_gone_was_deleted() -> None:
    deletions = Deletions()
    assert deletions.orphans(frozenset({"s"}), [entry("s")], 0.0) == []
    assert deletions.orphans(NONE, [entry("s")], 0.5) == [entry("s")]
    assert deletions.orphans(NONE, [entry("s")], 1.0) == [entry("s")], "until it has ended"
    assert deletions.orphans(NONE, [entry("s", state="ended")], 1.5) == []


def test_one_that_was_never_here_may_be_new_for_a_while() -> None:
    deletions = Deletions()
    assert deletions.orphans(NONE, [entry("s")], 10.0) == []
    assert deletions.orphans(NONE, [entry("s")], 10.0 + UNHEARD_SECONDS - 0.1) == []
    assert deletions.orphans(NONE, [entry("s")], 10.0 + UNHEARD_SECONDS) == [entry("s")]


def test_who_is_heard_of_in_time_goes_on_and_each_publication_is_waited_for_anew() -> None:
    deletions = Deletions()
    assert deletions.orphans(NONE, [entry("s")], 0.0) == []
    assert deletions.orphans(frozenset({"s"}), [entry("s")], 3.0) == []
    assert deletions.orphans(NONE, [], 4.0) == []
    again = entry("s", "b" * 12)
    assert deletions.orphans(NONE, [again], 5.0) == [], "deleted and made again, which another has heard first"
    assert deletions.orphans(NONE, [again], 5.0 + UNHEARD_SECONDS) == [again]
