import os

import pytest

from ledger import Account, Sample, agree, all_hold, equal, flat, look, table

MIB = 1024 * 1024


def account(*rss: float) -> Account:
    samples = [Sample(10.0 * at, int(size * MIB), 10, 1) for at, size in enumerate(rss)]
    return Account("edge", samples)


def test_memory_that_grows_in_the_warm_up_only_is_flat() -> None:
    seen = flat(account(10, 30, 50, 50, 50, 50, 50, 50, 50, 50, 51), 1.1)
    assert (seen.holds, seen.seen) == (True, "50.0 → 50.0 MiB, x 1.000")


def test_memory_that_goes_on_growing_is_not() -> None:
    assert not flat(account(*(50 + 3 * at for at in range(11))), 1.1).holds


def test_what_was_never_seen_proves_nothing() -> None:
    assert not flat(Account("edge"), 1.1).holds


@pytest.mark.parametrize(("got", "holds"), [(960, False), (970, True), (1000, True), (1050, True), (1060, False)])
def test_two_counts_agree_within_bounds(got: float, *, holds: bool) -> None:
    assert agree("packets", got, 1000, 0.97, 1.05).holds is holds


def test_nothing_sent_is_no_agreement() -> None:
    assert not agree("packets", 0, 0, 0.97, 1.05).holds


def test_one_broken_promise_breaks_the_soak_and_is_shown() -> None:
    verdicts = [equal("sessions", 0.0, 0.0), equal("relays left", 2.0, 0.0)]
    assert not all_hold(verdicts)
    assert all_hold(verdicts[:1])
    assert table(verdicts).splitlines() == ["sessions     ok    0.0", "relays left  FAIL  2.0, not 0.0"]


def test_a_process_is_looked_at_through_proc() -> None:
    seen = look(os.getpid(), 3.0)
    assert (seen.at, seen.udp) == (3.0, 0)
    assert seen.rss > MIB
    assert seen.files > 2
