import dataclasses
import json

import pytest

from rivulet_media import wire, wire_operator
from rivulet_media.table import Gone, NodeEntry, Pod, StreamEntry, Table, Track
from rivulet_media.wire import FROM_NODE, TO_NODE, Frame, Frames, parse, render
from rivulet_media.wire_codec import WireError
from rivulet_media.wire_operator import FROM_OPERATOR

NODE = NodeEntry(
    node="edge-eu-0",
    incarnation="3f9c0a11be42",
    version=4,
    role="edge",
    region="eu",
    state="up",
    address="203.0.113.10",
    media_port=7003,
    http="10.244.0.7:8080",
    pod=Pod(ip="10.244.0.7", uid="u", cluster="c"),
    kube_node="worker-1",
    since=1795252000.1,
)
STREAM = StreamEntry(
    stream="test_eu",
    incarnation="a" * 12,
    version=2,
    origin="origin-eu-0/" + "7" * 12,
    region="eu",
    state="live",
    tracks=(
        Track(kind="video", codec="h264", clock_rate=90000, fmtp="x"),
        Track(kind="audio", codec="opus", clock_rate=48000, channels=2),
    ),
    gop_ms=2000,
)
GONE = Gone(node="edge-eu-0", incarnation="3f9c0a11be42", version=4, region="eu")
COUNTS = wire.Counts(
    viewers=3,
    relays_in=(wire.RelayIn(stream="test_eu", parent=STREAM.origin, state="live"),),
    egress_bps=1.5,
    streams={"test_eu": wire.StreamCounts(viewers=3)},
)


def table() -> wire.TableBody:
    known = Table()
    known.merge(0, nodes=[NODE], streams=[STREAM])
    return wire.table_body(known, me=NODE.ref, state="up", unreachable=frozenset({"eu"}))


WELCOME = wire.Welcome(
    region="eu", slot="edge-eu-0", role="edge", address="203.0.113.10", cluster="c", directors=("u",), table=table()
)
HELLO = wire.LinkHello(
    slot="edge-eu-0",
    incarnation="3f9c0a11be42",
    http_port=8080,
    media_port=7003,
    pod_ip="10.0.0.1",
    pod_uid="u",
    version=4,
    node=NODE,
    streams=(STREAM,),
)
SNAPSHOT = wire_operator.Snapshot(
    director="d",
    version=1,
    settling=False,
    nodes=(wire_operator.NodeFacts(**{**vars(NODE), "counts": COUNTS}),),
    streams=(STREAM,),
    undeclared=(wire_operator.UndeclaredStream(stream="x", subject="s"),),
    peers=(wire_operator.PeerState(region="us", connected=False, reason="NoToken"),),
)


@pytest.mark.parametrize(
    ("frame", "frames"),
    [
        (HELLO, FROM_NODE),
        (wire.Entries(nodes=(NODE,), streams=(STREAM,), gone=(GONE,)), FROM_NODE),
        (COUNTS, FROM_NODE),
        (wire.Goodbye(), FROM_NODE),
        (WELCOME, TO_NODE),
        (wire.Directors(urls=("http://10.0.0.1:7443",)), TO_NODE),
        (wire.Address(address="203.0.113.11"), TO_NODE),
        (wire.Address(address="203.0.113.11", also=("2001:db8::11",)), TO_NODE),
        (dataclasses.replace(WELCOME, also=("2001:db8::10",)), TO_NODE),
        (wire.Entries(nodes=(dataclasses.replace(NODE, also=("2001:db8::10",)),)), TO_NODE),
        (wire.Drain(deadline=1795252000.0), TO_NODE),
        (wire.Drain(), TO_NODE),
        (wire.EndStream(stream="test_eu", incarnation="a" * 12, reason="stream-ended"), TO_NODE),
        (wire.Policies(streams={"test_eu": wire.StreamPolicy(stream="test_eu", codecs=("vp8",))}), TO_NODE),
        (wire.Settled(regions=("eu", "us")), TO_NODE),
        (wire.Beat(), TO_NODE),
        (wire.SiblingHello(director="d"), wire.FROM_SIBLING),
        (wire.Seen(nodes={NODE.ref: 0.5}), wire.FROM_SIBLING),
        (wire.MeshHello(region="us", director="d", host="us.example", cluster="c"), wire.FROM_MESH),
        (
            wire.RegionWhole(nodes=(NODE,), streams=(STREAM,), names=(wire.DeclaredStream(stream="x"),)),
            wire.FROM_MESH,
        ),
        (SNAPSHOT, wire_operator.TO_OPERATOR),
        (wire_operator.Change(version=2, peers=()), wire_operator.TO_OPERATOR),
        (wire_operator.DrainOrders(slots={"edge-eu-0": wire_operator.DrainOrder(deadline=1.0)}), FROM_OPERATOR),
        (
            wire_operator.Expected(slots={"edge-eu-0": wire_operator.ExpectedSlot(role="edge", node="edge-eu")}),
            FROM_OPERATOR,
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Frame) else "",
)
def test_every_frame_comes_back_as_it_was(frame: Frame, frames: Frames) -> None:
    assert parse(render(frame), frames) == frame


def test_further_addresses_are_a_key_of_their_own_which_older_ones_do_not_know() -> None:
    """The first stays where it was; without others nothing is said, and nothing said is none."""
    both = ("203.0.113.11", "2001:db8::11")
    told: dict[str, object] = json.loads(render(wire.Address(address=both[0], also=both[1:])))
    assert (told["address"], told["also"]) == (both[0], [both[1]])
    alone = json.loads(render(wire.Address(address=both[0])))
    assert "also" not in alone
    assert parse(json.dumps(alone), TO_NODE) == wire.Address(address=both[0])
    assert "also" not in render(wire.Entries(nodes=(NODE,)))
    assert "also" not in render(WELCOME)


@pytest.mark.parametrize("also", ["2001:db8::11", [6], {"0": "2001:db8::11"}])
def test_further_addresses_are_a_list_of_texts(also: object) -> None:
    with pytest.raises(WireError, match="also"):
        parse(json.dumps({"type": "address", "address": "203.0.113.11", "also": also}), TO_NODE)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("no json", ""),
        ("[]", "type"),
        ("[" * 100_000, ""),
        ('{"type": "nonsense"}', "type"),
        ('{"type": "welcome"}', "type"),
        ('{"type": ["counts"]}', "type"),
        ('{"type": "entries", "nodes": {}}', "nodes"),
        ('{"type": "entries", "nodes": [3]}', "nodes[0]"),
        ('{"type": "entries", "nodes": [{}]}', "nodes[0].node"),
        ('{"type": "entries", "nodes": [{"node": "Bad Name"}]}', "nodes[0].node"),
        ('{"type": "counts", "viewers": true}', "viewers"),
        ('{"type": "counts", "viewers": "3"}', "viewers"),
        ('{"type": "counts", "egressBps": 1e999}', "egressBps"),
        ('{"type": "counts", "egressBps": 1' + "0" * 400 + "}", "egressBps"),
        ('{"type": "counts", "egressBps": NaN}', "egressBps"),
        ('{"type": "entries", "nodes": [{"node": "\\ud800"}]}', "nodes[0].node"),
        ('{"type": "counts", "streams": {"x": {"viewers": 1.5}}}', "streams.x.viewers"),
        ('{"type": "counts", "relaysIn": [{"stream": "x", "parent": "y", "state": "live"}]}', "relaysIn[0].parent"),
        ('{"type": "hello", "incarnation": "3f9c0a11be42", "httpPort": 8080, "mediaPort": 1}', "version"),
    ],
)
def test_a_wrong_key_is_named_by_its_path(text: str, path: str) -> None:
    with pytest.raises(WireError) as error:
        parse(text, FROM_NODE)
    assert error.value.path == path


def test_parameters_of_a_codec_are_one_line_of_bounded_length() -> None:
    def told(fmtp: str) -> str:
        (entry,) = json.loads(render(wire.Entries(streams=(STREAM,))))["streams"]
        entry["tracks"][0]["fmtp"] = fmtp
        return json.dumps({"type": "entries", "nodes": [], "streams": [entry]})

    assert isinstance(parse(told("x" * 2048), FROM_NODE), wire.Entries)
    for wrong in ("x" * 2049, "x\r\na=y"):
        with pytest.raises(WireError) as error:
            parse(told(wrong), FROM_NODE)
        assert error.value.path == "streams[0].tracks[0].fmtp"


def test_unknown_keys_are_ignored_and_a_frame_over_4_mib_is_refused() -> None:
    assert parse('{"type": "goodbye", "later": {"more": 1}}', FROM_NODE) == wire.Goodbye()
    with pytest.raises(WireError, match="longer"):
        parse('{"type": "goodbye", "pad": "' + "x" * wire.MAX_FRAME + '"}', FROM_NODE)


def test_the_example_of_the_contract_is_what_is_written() -> None:
    (entry,) = json.loads(render(wire.Entries(nodes=(NODE,))))["nodes"]
    assert entry == {
        "node": "edge-eu-0",
        "incarnation": "3f9c0a11be42",
        "version": 4,
        "role": "edge",
        "region": "eu",
        "state": "up",
        "address": "203.0.113.10",
        "mediaPort": 7003,
        "http": "10.244.0.7:8080",
        "pod": {"ip": "10.244.0.7", "uid": "u", "cluster": "c"},
        "kubeNode": "worker-1",
        "capacity": {"viewers": 500},
        "since": 1795252000.1,
    }
    hello = json.loads(render(HELLO))
    assert (hello["podIP"], hello["podUID"], "role" in hello) == ("10.0.0.1", "u", False)
    assert json.loads(render(wire.Drain())) == {"type": "drain", "deadline": None}
