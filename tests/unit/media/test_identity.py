import dataclasses

import pytest

from rivulet_media.identity import Process, client_candidates, relay_candidates, unheard
from rivulet_media.settings import NodeSettings
from rivulet_media.table import NodeEntry
from rivulet_media.wire import FROM_NODE, LinkHello, TableBody, Welcome, parse, render

SETTINGS = NodeSettings(entry="http://10.0.0.1:7443", join_token="t", slot="edge-eu-0", kube_node="worker-1")
PROCESS = Process(
    settings=SETTINGS,
    incarnation="3f9c0a11be42",
    http_port=8080,
    media_port=7003,
    pod_ip="10.244.0.7",
    since=1000.0,
)
WELCOME = Welcome(
    region="eu",
    slot="edge-eu-0",
    role="edge",
    address="203.0.113.10",
    cluster="uid-1",
    directors=("http://10.244.0.4:7443",),
    table=TableBody(),
)


DUAL = dataclasses.replace(WELCOME, also=("2001:db8::10", "198.51.100.9"))


def entry(welcome: Welcome = WELCOME) -> NodeEntry:
    return PROCESS.entry(welcome)


def test_the_entry_is_what_the_region_has_answered() -> None:
    made = entry()
    assert (made.ref, made.role, made.region, made.state) == ("edge-eu-0/3f9c0a11be42", "edge", "eu", "up")
    assert (made.address, made.http, made.pod.cluster) == ("203.0.113.10", "10.244.0.7:8080", "uid-1")


def test_a_node_says_what_it_was_told_when_it_joins_again() -> None:
    assert PROCESS.hello(None).role is None
    assert PROCESS.hello(entry()).role == "edge"


def test_the_first_frame_of_a_link_goes_over_the_wire() -> None:
    hello = PROCESS.link_hello(entry(), ())
    assert parse(render(hello), FROM_NODE) == hello
    assert isinstance(hello, LinkHello)


def test_clients_get_the_pod_address_only_where_a_turn_server_reaches_it() -> None:
    assert client_candidates(entry(), pod_candidate=False) == [("203.0.113.10", 7003)]
    assert client_candidates(entry(), pod_candidate=True) == [("203.0.113.10", 7003), ("10.244.0.7", 7003)]


def test_relays_get_the_pod_address_only_within_the_cluster() -> None:
    assert relay_candidates(entry(), "uid-1") == [("10.244.0.7", 7003), ("203.0.113.10", 7003)]
    assert relay_candidates(entry(), "uid-2") == [("203.0.113.10", 7003)]
    assert relay_candidates(entry(), "") == [("203.0.113.10", 7003)]


def test_all_addresses_are_candidates_the_best_first() -> None:
    advertised = [("203.0.113.10", 7003), ("2001:db8::10", 7003), ("198.51.100.9", 7003)]
    pod = ("10.244.0.7", 7003)
    assert client_candidates(entry(DUAL), pod_candidate=False) == advertised
    assert client_candidates(entry(DUAL), pod_candidate=True) == [*advertised, pod]
    assert relay_candidates(entry(DUAL), "uid-1") == [pod, *advertised]
    assert relay_candidates(entry(DUAL), "uid-2") == advertised


def test_more_than_four_addresses_are_not_candidates() -> None:
    many = dataclasses.replace(WELCOME, also=tuple(f"198.51.100.{number}" for number in range(9)))
    assert len(client_candidates(entry(many), pod_candidate=False)) == 4
    assert relay_candidates(entry(many), "uid-1")[-1] == ("198.51.100.2", 7003)


def test_an_address_that_is_the_pods_own_is_one_candidate() -> None:
    same = dataclasses.replace(WELCOME, address="2001:db8::10", also=("10.244.0.7",))
    assert client_candidates(entry(same), pod_candidate=True) == [("2001:db8::10", 7003), ("10.244.0.7", 7003)]


BOTH = ("203.0.113.10", "2001:db8::7")


@pytest.mark.parametrize(
    ("addresses", "bind"),
    [(BOTH, "::"), (BOTH[:1], "0.0.0.0"), (BOTH[:1], "192.0.2.1"), (BOTH[1:], "2001:db8::7"), ((), "0.0.0.0")],
)
def test_addresses_that_are_listened_on_are_nothing_to_speak_of(addresses: tuple[str, ...], bind: str) -> None:
    assert unheard(addresses, bind) is None


@pytest.mark.parametrize(("bind", "deaf", "family"), [("0.0.0.0", BOTH[1], "IPv6"), ("2001:db8::7", BOTH[0], "IPv4")])
def test_an_address_that_nothing_listens_on_is_told_of(bind: str, deaf: str, family: str) -> None:
    said = unheard(BOTH, bind) or ""
    assert f"clients are told {deaf}, but nothing listens on {family} here" in said
    assert bind in said
    assert "Set RIVULET_BIND to ::" in said
