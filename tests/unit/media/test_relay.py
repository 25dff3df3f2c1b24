import dataclasses

from entries import ORIGIN
from rivulet_media.relay import Close, EndViewers, Open, Relay
from rivulet_media.route import Parent
from rivulet_media.table import StreamEntry, StreamState, Track

VIDEO = Track(kind="video", codec="h264", clock_rate=90000)


def parent(
    origin: str = "origin-eu-0/77aa00000001",
    state: StreamState = "live",
    incarnation: str = "aaaaaaaaaaaa",
    tracks: tuple[Track, ...] = (VIDEO,),
) -> Parent:
    slot, _, process = origin.partition("/")
    node = dataclasses.replace(ORIGIN, node=slot, incarnation=process)
    entry = StreamEntry(
        stream="s",
        incarnation=incarnation,
        version=1,
        origin=origin,
        region="eu",
        state=state,
        tracks=tracks,
    )
    return Parent(node, entry, "direct")


def opened(viewers: int = 1) -> Relay:
    """A relay whose first attempt was opened at 0."""
    relay = Relay(idle_seconds=10, hold_seconds=30)
    assert relay.viewers_are(viewers, 0) == []
    assert relay.parent_is(parent(), 0) == [Open(1, parent())]
    return relay


def flowing(viewers: int = 1) -> Relay:
    relay = opened(viewers)
    relay.connected(1, 0)
    relay.active(1)
    return relay


def test_nothing_is_opened_without_a_viewer() -> None:
    relay = Relay(idle_seconds=10, hold_seconds=30)
    assert relay.parent_is(parent(), 0) == []
    assert (relay.state, relay.deadline) == ("idle", None)


def test_ten_viewers_share_one_attempt() -> None:
    relay = opened()
    assert [relay.viewers_are(count, 1) for count in range(2, 11)] == [[]] * 9
    assert relay.state == "connecting"


def test_the_last_viewer_lingers_then_the_relay_closes() -> None:
    relay = flowing()
    assert relay.viewers_are(0, 5) == []
    assert (relay.state, relay.deadline) == ("lingering", 15)
    assert relay.tick(14.9) == []
    assert relay.tick(15) == [Close(1, "idle")]
    assert (relay.state, relay.deadline) == ("idle", None)


def test_settings_that_come_late_count_from_when_the_last_viewer_left() -> None:
    relay = flowing()
    relay.viewers_are(0, 5)
    relay.idle_seconds = 1
    assert (relay.deadline, relay.tick(5.9), relay.tick(6)) == (6, [], [Close(1, "idle")])


def test_a_hold_that_changes_counts_from_when_the_parent_was_lost() -> None:
    relay = flowing()
    assert relay.parent_is(None, 10) == [Close(1, "parent-lost")]
    relay.hold_seconds = 5
    assert (relay.deadline, relay.tick(14.9), relay.tick(15)) == (15, [], [EndViewers("publisher-lost")])


def test_a_viewer_in_the_linger_keeps_the_relay() -> None:
    relay = flowing()
    relay.viewers_are(0, 5)
    assert relay.viewers_are(1, 14) == []
    assert (relay.state, relay.deadline, relay.tick(15)) == ("live", None, [])


def test_a_viewer_that_leaves_while_connecting_leaves_a_linger() -> None:
    relay = opened()
    assert relay.viewers_are(0, 1) == []
    relay.connected(1, 2)
    relay.active(1)
    assert relay.state == "lingering"
    assert relay.tick(11) == [Close(1, "idle")]


def test_connected_and_leaving_in_the_other_order_end_the_same() -> None:
    relay = opened()
    relay.connected(1, 1)
    relay.active(1)
    relay.viewers_are(0, 1)
    assert relay.tick(11) == [Close(1, "idle")]


def test_failures_are_retried_with_growing_pauses() -> None:
    relay = opened()
    pauses = []
    now = 0.0
    for attempt in range(1, 6):
        relay.failed(attempt, now)
        assert relay.state == "waiting"
        assert relay.deadline is not None
        pauses.append(relay.deadline - now)
        now = relay.deadline
        assert relay.tick(now) == [Open(attempt + 1, parent())]
    assert pauses == [0.5, 1, 2, 2, 2]


def test_a_steady_relay_starts_its_pauses_anew() -> None:
    relay = opened()
    relay.failed(1, 0)
    relay.tick(0.5)
    relay.connected(2, 1)
    relay.active(2)
    relay.failed(2, 60)
    assert relay.deadline == 60.5


def test_a_parent_that_does_not_answer_is_given_up() -> None:
    relay = opened()
    assert relay.deadline == 20
    assert relay.tick(20) == [Close(1, "no-answer")]
    assert (relay.state, relay.deadline) == ("waiting", 20.5)


def test_a_live_parent_that_sends_nothing_is_given_up() -> None:
    relay = opened()
    relay.connected(1, 1)
    assert relay.tick(6) == [Close(1, "no-media")]


def test_silence_of_a_live_parent_is_a_lost_parent() -> None:
    relay = flowing()
    relay.silent(1, 10)
    assert relay.tick(11) == [Close(1, "no-media")]


def test_silence_of_a_lost_stream_keeps_the_relay_in_either_order() -> None:
    table_last = flowing()
    table_last.silent(1, 10)
    assert table_last.parent_is(parent(state="lost"), 10.2) == []
    assert table_last.tick(11) == []
    table_first = flowing()
    assert table_first.parent_is(parent(state="lost"), 9.8) == []
    table_first.silent(1, 10)
    assert (table_first.deadline, table_first.state) == (None, "live")


def test_packets_that_come_before_the_table_says_live_are_not_waited_for_again() -> None:
    relay = flowing()
    relay.parent_is(parent(state="lost"), 10)
    relay.silent(1, 10)
    relay.active(1)
    assert relay.parent_is(parent(state="live"), 12) == []
    assert relay.deadline is None


def test_a_stream_said_to_be_live_again_has_to_flow() -> None:
    relay = flowing()
    relay.parent_is(parent(state="lost"), 10)
    relay.silent(1, 10)
    relay.parent_is(parent(state="live"), 12)
    assert relay.tick(17) == [Close(1, "no-media")]


def test_the_parent_down_closes_and_another_opens_at_once() -> None:
    relay = flowing()
    assert relay.parent_is(None, 10) == [Close(1, "parent-lost")]
    assert relay.state == "waiting"
    other = parent(origin="origin-eu-1/77aa00000002", incarnation="bbbbbbbbbbbb")
    assert relay.parent_is(other, 11) == [Open(2, other)]


def test_a_new_incarnation_of_the_origin_while_connecting_is_asked_instead() -> None:
    relay = opened()
    other = parent(origin="origin-eu-0/77aa00000009", incarnation="bbbbbbbbbbbb")
    assert relay.parent_is(other, 1) == [Close(1, "parent-changed"), Open(2, other)]
    relay.connected(1, 2)
    relay.failed(1, 2)
    assert relay.state == "connecting"


def test_a_new_publication_with_the_same_codecs_comes_over_the_same_relay() -> None:
    relay = flowing()
    assert relay.parent_is(parent(incarnation="bbbbbbbbbbbb"), 5) == []


def test_a_new_publication_with_other_codecs_needs_a_new_relay() -> None:
    relay = flowing()
    other = parent(incarnation="bbbbbbbbbbbb", tracks=(Track(kind="video", codec="vp8", clock_rate=90000),))
    assert relay.parent_is(other, 5) == [Close(1, "parent-changed"), Open(2, other)]


def test_codecs_known_late_open_at_once() -> None:
    relay = Relay(idle_seconds=10, hold_seconds=30)
    relay.viewers_are(1, 0)
    assert relay.parent_is(parent(tracks=()), 0) == [Open(1, parent(tracks=()))]
    relay.failed(1, 0)
    assert relay.parent_is(parent(), 0.1) == [Open(2, parent())]


def test_a_stream_that_ends_while_connecting_is_closed_without_linger() -> None:
    relay = opened()
    assert relay.stream_ended() == [Close(1, "stream-ended")]
    assert relay.viewers_are(0, 1) == []
    assert (relay.state, relay.deadline) == ("idle", None)


def test_a_relay_that_breaks_in_the_linger_is_not_opened_again() -> None:
    relay = flowing()
    relay.viewers_are(0, 5)
    relay.failed(1, 6)
    assert (relay.state, relay.deadline) == ("idle", None)


def test_viewers_without_any_owner_are_held_as_long_as_a_lost_publisher() -> None:
    relay = flowing()
    relay.parent_is(None, 10)
    assert relay.deadline == 40
    assert relay.tick(40) == [EndViewers("publisher-lost")]


def test_an_owner_that_comes_back_in_time_ends_the_hold() -> None:
    relay = flowing()
    relay.parent_is(None, 10)
    relay.parent_is(parent(), 39)
    assert relay.tick(40) == []


def test_the_end_of_an_old_attempt_changes_nothing() -> None:
    relay = flowing()
    relay.failed(1, 1)
    relay.tick(1.5)
    relay.failed(1, 2)
    assert (relay.state, relay.attempt) == ("connecting", 2)
