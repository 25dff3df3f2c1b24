import os
import socket

import pytest

from ledger import Account, Sample, agree, all_hold, equal, flat, look, table, udp_ports

MIB = 1024 * 1024


def account(*rss: float) -> Account:
    samples = [Sample(10.0 * at, int(size * MIB), 1, 2, 10) for at, size in enumerate(rss)]
    return Account("edge", samples)


def test_memory_that_grows_in_the_warm_up_only_is_flat() -> None:
    seen = flat(account(10, 30, 50, 50, 50, 50, 50, 50, 50, 50, 51), 0.05, 1)
    assert (seen.holds, seen.seen) == (True, "50.0 → 50.0 MiB: +0.0 in a run, of 3.5")


@pytest.mark.parametrize("size", [30, 60, 500])
def test_a_leak_of_a_tenth_in_a_run_is_none(size: float) -> None:
    assert not flat(account(*(size * (1 + 0.1 * at / 20) for at in range(21))), 0.05, 1).holds


@pytest.mark.parametrize("size", [30, 60, 500])
def test_a_tide_is_no_leak(size: float) -> None:
    assert flat(account(*(size + size * 0.04 * (at % 3) for at in range(21))), 0.05, 1).holds


def test_what_was_never_seen_proves_nothing() -> None:
    assert not flat(Account("edge"), 0.05, 1).holds


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
    before = look(os.getpid(), 3.0)
    with socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
        udp.bind(("127.0.0.1", 0))
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        seen = look(os.getpid(), 4.0)
        assert udp.getsockname()[1] in udp_ports(os.getpid())
    assert (seen.at, seen.udp - before.udp, seen.tcp - before.tcp, seen.files) == (4.0, 1, 1, before.files)
    assert seen.rss > MIB
    assert seen.files > 2
