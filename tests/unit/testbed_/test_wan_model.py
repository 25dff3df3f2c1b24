import itertools
import random

import pytest

from rivulet_testbed.wan_model import REORDER_HOLD_SECONDS, Conditions, Link

SIZE = 1250  # 10,000 bits


def link(conditions: Conditions) -> Link:
    return Link(conditions, random.Random(7))  # noqa: S311 - a simulation


def test_a_packet_comes_out_after_the_delay() -> None:
    assert link(Conditions(delay=42)).admit(100.0, SIZE) == pytest.approx(100.042)


def test_a_cut_link_delivers_nothing_and_counts_what_it_ate() -> None:
    cut = link(Conditions(cut=True))
    assert [cut.admit(0.0, SIZE) for _ in range(3)] == [None] * 3
    assert (cut.counters.packets, cut.counters.cut) == (3, 3)


def test_a_healed_link_delivers_again() -> None:
    healed = link(Conditions(delay=10, cut=True))
    healed.admit(0.0, SIZE)
    healed.change(Conditions(delay=10))
    assert healed.admit(1.0, SIZE) == pytest.approx(1.010)


@pytest.mark.parametrize("percent", [0.5, 2.0, 50.0])
def test_loss_is_the_wished_share(percent: float) -> None:
    lossy = link(Conditions(loss=percent))
    count = 40_000
    lost = sum(lossy.admit(0.0, SIZE) is None for _ in range(count))
    assert lost / count * 100 == pytest.approx(percent, rel=0.15)
    assert lossy.counters.lost == lost


@pytest.mark.parametrize(("percent", "burst"), [(5.0, 5.0), (1.0, 8.0), (60.0, 2.0)])
def test_loss_in_bursts_is_the_wished_share_and_as_long_as_wished_in_the_mean(percent: float, burst: float) -> None:
    lossy = link(Conditions(loss=percent, burst=burst))
    lost = [lossy.admit(0.0, SIZE) is None for _ in range(400_000)]
    assert sum(lost) / len(lost) * 100 == pytest.approx(percent, rel=0.1)
    rows = [len(list(row)) for was_lost, row in itertools.groupby(lost) if was_lost]
    assert sum(rows) / len(rows) == pytest.approx(burst, rel=0.1)


def test_the_same_seed_loses_the_same_packets() -> None:
    first, second = link(Conditions(loss=30)), link(Conditions(loss=30))
    assert [first.admit(0.0, SIZE) for _ in range(200)] == [second.admit(0.0, SIZE) for _ in range(200)]


def test_jitter_spreads_around_the_delay_and_keeps_the_order() -> None:
    shaky = link(Conditions(delay=50, jitter=10))
    dues = [shaky.admit(number / 1000, SIZE) or 0.0 for number in range(5000)]
    assert dues == sorted(dues)
    delays = [due - number / 1000 for number, due in enumerate(dues)]
    assert 0.040 <= min(delays) < 0.05
    assert 0.055 < max(delays) <= 0.0601


def test_jitter_larger_than_the_delay_never_sends_a_packet_into_the_past() -> None:
    shaky = link(Conditions(delay=1, jitter=50))
    dues = [shaky.admit(float(number), SIZE) for number in range(1000)]
    assert all(due is not None and due >= number for number, due in enumerate(dues))


def test_a_bottleneck_spaces_packets_by_their_size() -> None:
    slow = link(Conditions(rate=1, queue=1000))  # 1 Mbit/s: 10 ms per packet
    assert [slow.admit(0.0, SIZE) for _ in range(3)] == pytest.approx([0.010, 0.020, 0.030])
    assert slow.admit(5.0, SIZE) == pytest.approx(5.010)


def test_a_full_queue_drops_at_its_tail_and_takes_again_when_it_has_drained() -> None:
    slow = link(Conditions(rate=1, queue=50))
    outcomes = [slow.admit(0.0, SIZE) is not None for _ in range(20)]
    assert outcomes == [True] * 6 + [False] * 14
    assert slow.counters.queue_full == 14
    assert slow.admit(0.060, SIZE) is not None


def test_the_rate_is_what_gets_through_under_overload() -> None:
    slow = link(Conditions(rate=8, queue=100))
    delivered = sum(slow.admit(number / 2000, SIZE) is not None for number in range(20_000))  # 20 Mbit/s for 10 s
    assert delivered * SIZE * 8 / 10e6 == pytest.approx(8, rel=0.02)


def test_a_reordered_packet_is_overtaken_by_those_behind_it() -> None:
    shuffled = link(Conditions(delay=20, reorder=10))
    dues = [shuffled.admit(number / 1000, SIZE) or 0.0 for number in range(1000)]
    overtaken = [a for a, b in itertools.pairwise(dues) if b < a]
    assert 50 < shuffled.counters.reordered < 150
    assert len(overtaken) > 30
    assert max(due - number / 1000 for number, due in enumerate(dues)) == pytest.approx(0.020 + REORDER_HOLD_SECONDS)
