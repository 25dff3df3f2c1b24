from typing import TYPE_CHECKING, ClassVar, cast

import pytest

from rivulet_media.load import STALLED_SECONDS, Load
from rivulet_media.sessions import Kind, Session, Sessions
from rivulet_media.wire import PullState, RelayIn, StreamCounts

if TYPE_CHECKING:
    from rivulet_media._engine import EngineStats
    from rivulet_media.pulling import Pulling
    from rivulet_media.relaying import Relaying


class StandInPulling:
    states: ClassVar = {"p": PullState(error="nobody there")}


class StandInRelaying:
    relays_in = (RelayIn(stream="s", parent="origin-eu-0/77aa00000001", state="live"),)


def stats(*, sent: int, ticks: int) -> "EngineStats":
    return cast("EngineStats", {"bytes_sent": sent, "bytes_received": 7, "ticks": ticks})


def load(sessions: Sessions | None = None) -> Load:
    return Load(sessions or Sessions(), cast("Relaying", StandInRelaying()), cast("Pulling", StandInPulling()), 0)


def test_counts_say_who_is_here_and_how_much_leaves() -> None:
    sessions = Sessions()
    kinds: tuple[Kind, ...] = ("viewer", "viewer", "publisher", "relay_out")
    for number, kind in enumerate(kinds):
        sessions.add(Session(str(number), kind, "s"))
    measured = load(sessions)
    measured.counts(stats(sent=1000, ticks=1), 2)
    counts = measured.counts(stats(sent=3000, ticks=2), 4)
    assert (counts.viewers, counts.publishers, counts.relays_out) == (2, 1, 1)
    assert counts.relays_in == StandInRelaying.relays_in
    assert counts.streams == {"s": StreamCounts(viewers=2)}
    assert counts.egress_bps == pytest.approx(8000)
    assert counts.bytes_in == 7
    assert counts.pulls == StandInPulling.states


def test_alive_means_that_the_engine_s_thread_turns() -> None:
    measured = load()
    measured.counts(stats(sent=0, ticks=1), 2)
    assert measured.alive(2 + STALLED_SECONDS - 0.1)
    measured.counts(stats(sent=0, ticks=1), 4)
    assert not measured.alive(2 + STALLED_SECONDS)
    measured.counts(stats(sent=0, ticks=2), 14)
    assert measured.alive(14)
