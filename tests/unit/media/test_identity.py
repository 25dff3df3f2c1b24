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


def entry() -> NodeEntry:
    return PROCESS.entry(WELCOME)


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


def test_an_address_that_nothing_listens_on_is_told_of() -> None:
    assert unheard("203.0.113.10", "0.0.0.0") is unheard("2001:db8::7", "::") is unheard("203.0.113.10", "::") is None
    assert "RIVULET_BIND" in (unheard("2001:db8::7", "0.0.0.0") or "")
