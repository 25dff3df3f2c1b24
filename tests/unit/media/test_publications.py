import pytest

from rivulet_media.errors import RefusedError
from rivulet_media.publications import NOTHING, PublishedName, Publisher
from rivulet_media.table import Track
from rivulet_media.wire import StreamPolicy

ORIGIN = "origin-eu-0/77aa00000001"
AUDIO = Track(kind="audio", codec="opus", clock_rate=48000, channels=2)


def publisher(number: int, subject: str = "camera-1") -> Publisher:
    return Publisher(f"session-{number}", f"{number:012x}", subject, 1000.0 + number)


def name() -> PublishedName:
    return PublishedName(ORIGIN, "eu", StreamPolicy(stream="s", hold_seconds=30))


def live() -> PublishedName:
    """`camera-1` publishes since 0."""
    published = name()
    published.check_free("camera-1", 0)
    assert published.give_to(publisher(1), 0) == NOTHING
    published.described("session-1", [AUDIO])
    published.active("session-1")
    return published


def states(published: PublishedName) -> tuple[str, int] | None:
    return None if published.entry is None else (published.entry.state, published.entry.version)


def test_a_name_stands_in_the_table_from_its_first_packet() -> None:
    published = name()
    published.give_to(publisher(1), 0)
    assert published.entry is None
    outcome = published.active("session-1")
    assert [(entry.state, entry.since, entry.subject) for entry in outcome.entries] == [("live", 1001.0, "camera-1")]


def test_codecs_may_come_before_or_after_the_first_packet() -> None:
    before = live()
    after = name()
    after.give_to(publisher(1), 0)
    after.active("session-1")
    outcome = after.described("session-1", [AUDIO])
    assert before.entry is not None
    assert before.entry.tracks == outcome.entries[0].tracks == (AUDIO,)
    assert states(after) == ("live", 2)


def test_another_subject_is_refused_while_packets_come() -> None:
    with pytest.raises(RefusedError, match="camera-1") as refused:
        live().check_free("camera-2", 100)
    assert refused.value.slug == "name-in-use"


def test_the_same_subject_takes_over_at_once() -> None:
    published = live()
    published.check_free("camera-1", 10)
    outcome = published.give_to(publisher(2), 10)
    assert outcome.close == (("session-1", "superseded"),)
    assert states(published) == ("live", 1)
    outcome = published.active("session-2")
    assert [(entry.incarnation, entry.state, entry.reason) for entry in outcome.entries] == [
        ("000000000002", "live", None),
        ("000000000001", "ended", "superseded"),
    ]
    assert outcome.ended is None


def test_another_subject_may_after_three_seconds_of_silence() -> None:
    published = live()
    published.silent("session-1", 13)
    published.check_free("camera-2", 13)


def test_of_two_that_want_a_silent_name_the_first_gets_it() -> None:
    published = live()
    published.silent("session-1", 13)
    published.give_to(publisher(2, "camera-2"), 13)
    with pytest.raises(RefusedError):
        published.check_free("camera-3", 13.001)
    published.check_free("camera-3", 16)


def test_of_two_that_come_at_once_the_second_is_refused() -> None:
    published = name()
    published.give_to(publisher(1), 0)
    with pytest.raises(RefusedError):
        published.check_free("camera-2", 0.001)


def test_silence_is_lost_and_packets_are_live_again_with_the_same_start() -> None:
    published = live()
    assert [entry.state for entry in published.silent("session-1", 13).entries] == ["lost"]
    (entry,) = published.active("session-1").entries
    assert (entry.state, entry.since, entry.version) == ("live", 1001.0, 3)


def test_a_lost_publisher_is_held_for_hold_seconds_after_its_last_packet() -> None:
    published = live()
    published.silent("session-1", 13)
    assert published.deadline == 40
    assert published.tick(39.9) == NOTHING
    outcome = published.tick(40)
    assert (outcome.ended, outcome.close) == ("publisher-lost", (("session-1", "publisher-lost"),))
    assert [(entry.state, entry.reason) for entry in outcome.entries] == [("ended", "publisher-lost")]
    assert published.idle


def test_a_broken_session_is_lost_at_once_and_held() -> None:
    published = live()
    assert [entry.state for entry in published.closed("session-1", 20).entries] == ["lost"]
    assert published.deadline == 50


def test_delete_ends_the_stream() -> None:
    published = live()
    outcome = published.deleted("session-1")
    assert (outcome.ended, outcome.close) == ("stream-ended", (("session-1", "deleted"),))
    assert published.idle


def test_delete_after_loss_ends_what_is_held() -> None:
    published = live()
    published.closed("session-1", 20)
    outcome = published.deleted("session-1")
    assert (outcome.ended, outcome.close) == ("stream-ended", ())


def test_loss_after_delete_changes_nothing() -> None:
    published = live()
    published.deleted("session-1")
    assert published.closed("session-1", 20) == NOTHING


def test_the_superseded_session_has_no_say() -> None:
    published = live()
    published.give_to(publisher(2), 10)
    assert published.closed("session-1", 10) == NOTHING
    assert published.deleted("session-1") == NOTHING
    assert published.active("session-1") == NOTHING


def test_a_take_over_that_never_sends_is_lost_after_three_seconds_and_ends_in_time() -> None:
    published = live()
    published.give_to(publisher(2), 10)
    assert published.deadline == 13
    assert [entry.state for entry in published.tick(13).entries] == ["lost"]
    assert published.tick(40).ended == "publisher-lost"


def test_a_publisher_back_just_in_time_is_not_cut_in_its_handshake() -> None:
    published = live()
    published.silent("session-1", 13)
    published.give_to(publisher(2), 39.5)
    assert published.tick(40) == NOTHING
    assert [entry.state for entry in published.active("session-2").entries] == ["live", "ended"]


def test_a_publisher_that_never_connects_leaves_no_trace() -> None:
    published = name()
    published.give_to(publisher(1), 0)
    assert published.closed("session-1", 15) == NOTHING
    assert published.idle


def test_a_publisher_that_connects_and_sends_nothing_is_closed() -> None:
    published = name()
    published.give_to(publisher(1), 0)
    outcome = published.tick(30)
    assert outcome.close == (("session-1", "publisher-lost"),)
    assert published.idle


def test_a_shorter_hold_applies_to_what_is_held() -> None:
    published = live()
    published.closed("session-1", 20)
    published.policy = StreamPolicy(stream="s", hold_seconds=5)
    assert published.tick(25).ended == "publisher-lost"


def test_how_relays_travel_stands_in_the_entry_and_changes_while_it_is_live() -> None:
    published = live()
    assert published.entry is not None
    assert published.entry.transport == "udp"
    (told,) = published.use(StreamPolicy(stream="s", transport="tcp")).entries
    assert (told.transport, told.version, told.state) == ("tcp", published.entry.version, "live")
    assert published.use(StreamPolicy(stream="s", transport="tcp", hold_seconds=5)).entries == ()
    assert published.policy.hold_seconds == 5


def test_a_new_publication_says_how_its_relays_travel() -> None:
    published = PublishedName(ORIGIN, "eu", StreamPolicy(stream="s", transport="tcp"))
    assert published.use(StreamPolicy(stream="s", transport="tcp")).entries == ()
    published.give_to(publisher(1), 0)
    (told,) = published.active("session-1").entries
    assert told.transport == "tcp"
