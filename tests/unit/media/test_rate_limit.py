from rivulet_media.rate_limit import MOST_KEYS, Rate, RateLimit, of_address


def test_a_burst_passes_and_then_one_at_a_time() -> None:
    """S5."""
    limit = RateLimit(Rate(per_second=2, burst=3))
    assert [limit.wait("a", 10.0) for _ in range(4)] == [0, 0, 0, 1]
    assert limit.wait("b", 10.0) == 0, "everybody has a bucket of his own"
    assert [limit.wait("a", 10.5), limit.wait("a", 10.5)] == [0, 1]
    assert [limit.wait("a", 100.0) for _ in range(4)] == [0, 0, 0, 1]


def test_a_slow_rate_says_how_long_to_wait() -> None:
    limit = RateLimit(Rate(per_second=0.1, burst=1))
    assert [limit.wait("a", 0.0), limit.wait("a", 1.0), limit.wait("a", 10.0)] == [0, 9, 0]


def test_nothing_a_second_is_no_limit() -> None:
    limit = RateLimit(Rate(per_second=0, burst=0))
    assert {limit.wait("a", 0.0) for _ in range(100)} == {0}


def test_buckets_are_bounded_and_the_idle_go_first() -> None:
    """S5: a flood from many addresses costs a fixed amount of memory."""
    limit = RateLimit(Rate(per_second=1, burst=1))
    limit.wait("first", 0.0)
    for number in range(MOST_KEYS):
        limit.wait(str(number), 0.0)
    assert len(limit._buckets) == MOST_KEYS
    assert limit.wait("first", 0.0) == 0
    assert limit.wait(str(MOST_KEYS - 1), 0.0) == 1


def test_a_client_is_an_address_or_a_network_of_64_bits() -> None:
    cases = {
        "192.0.2.7": "192.0.2.7",
        "::ffff:192.0.2.7": "192.0.2.7",
        "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
        "fe80::1%eth0": "fe80::/64",
        "": "",
    }
    assert {address: of_address(address) for address in cases} == cases
