from rivulet_testbed import wan_config
from rivulet_testbed.wan_config import WanConfig
from rivulet_testbed.wan_model import Conditions
from rivulet_testbed.wan_router import Switch

CONFIG = WanConfig({"eu": 0, "us": 17}, {("eu", "us"): Conditions(delay=40), ("us", "eu"): Conditions(delay=10)})


def packet(source: int, target: int, mark: int = 0) -> bytes:
    return bytes([0x45, *([0] * 11), 172, 30, source, 2, 172, 30, target, 2, mark])


def test_each_direction_has_its_own_delay_and_packets_come_out_soonest_first() -> None:
    switch = Switch(CONFIG)
    switch.take(0.0, packet(0, 17))
    switch.take(0.0, packet(17, 0))
    assert switch.next_due() == 0.010
    assert switch.due(0.009) == []
    assert switch.due(0.011) == [packet(17, 0)]
    assert switch.due(0.041) == [packet(0, 17)]
    assert switch.next_due() is None


def test_packets_that_are_due_together_keep_their_order() -> None:
    switch = Switch(CONFIG)
    for mark in range(50):
        switch.take(0.0, packet(0, 17, mark))
    assert switch.due(1.0) == [packet(0, 17, mark) for mark in range(50)]


def test_what_belongs_to_no_pair_of_places_is_counted_and_dropped() -> None:
    switch = Switch(CONFIG)
    for stray in (packet(0, 99), packet(0, 0), b"", b"\x45" * 10, bytes([0x60]) * 40):
        switch.take(0.0, stray)
    assert switch.stats()["strays"] == 5
    assert switch.next_due() is None


def test_a_reload_changes_conditions_keeps_counters_and_lets_what_is_under_way_arrive() -> None:
    switch = Switch(CONFIG)
    switch.take(0.0, packet(0, 17))
    switch.configure(wan_config.with_changes(CONFIG, [("eu", "us")], {"cut": True}))
    switch.take(0.001, packet(0, 17, 1))
    assert switch.due(1.0) == [packet(0, 17)]
    counters = switch.links[("eu", "us")].counters
    assert (counters.packets, counters.cut) == (2, 1)


def test_a_place_that_is_gone_gets_nothing_more() -> None:
    switch = Switch(CONFIG)
    switch.configure(wan_config.with_places(CONFIG, {"eu": 0}))
    switch.take(0.0, packet(0, 17))
    assert switch.next_due() is None
