"""§7, §8: what one side writes the other side reads, under the keys that docs/contract.md names."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from rivulet_media import wire, wire_operator
from rivulet_media.table import Gone, NodeEntry, StreamEntry, Table
from rivulet_media.wire_codec import _key, encode, load
from rivulet_operator import link
from rivulet_operator.model import facts_messages
from rivulet_operator.model.facts import Counts, NodeFact, Peer, StreamFact, Track, Undeclared

if TYPE_CHECKING:
    from tests.contract.conftest import Contract

LINKS = {
    "7.2": (wire.FROM_NODE, wire.TO_NODE),
    "7.3": (wire.FROM_SIBLING,),
    "7.4": (wire.FROM_MESH,),
    "7.5": (wire_operator.FROM_OPERATOR, wire_operator.TO_OPERATOR),
}
# Written with words between the braces, or with the entries of another section.
NOT_SPELLED_OUT = {("7.2", "hello"), ("7.2", "welcome"), ("7.5", "change")}


def keys(kind: type[Any]) -> frozenset[str]:
    return frozenset(_key(field) for field in dataclasses.fields(kind))


@pytest.mark.parametrize("section", LINKS)
def test_every_message_of_a_link_stands_in_the_contract_with_its_keys(contract: Contract, section: str) -> None:
    written, text = contract.frames(section), contract.section(section)
    for frames in LINKS[section]:
        for name, kind in frames.items():
            assert f"`{name}" in text, name
            if name in written and (section, name) not in NOT_SPELLED_OUT:
                said = frozenset().union(*written[name])
                assert keys(kind) == said, name
    known = {name for frames in LINKS[section] for name in frames}
    assert set(written) <= known


@pytest.mark.parametrize("section", ["8.1", "8.2"])
def test_the_entries_of_the_contract_go_through_the_media_server_unchanged(contract: Contract, section: str) -> None:
    kind: type[Any] = {"8.1": NodeEntry, "8.2": StreamEntry}[section]
    example = contract.example(section)
    entry = wire.parse_body(kind, json.dumps(example))
    assert encode(entry) == example
    assert keys(kind) == set(example), "every key of the dataclass stands in the example"


def test_a_join_of_the_contract_is_read_and_answered_under_the_same_keys(contract: Contract) -> None:
    hello, answer = (
        contract.as_json(block) for block in re.findall(r"```json\n(.*?)```", contract.section("7.1"), re.DOTALL)
    )
    assert encode(wire.parse_body(wire.Hello, json.dumps(hello))) == hello
    assert keys(wire.Hello) == set(hello)
    welcome = wire.parse_body(wire.Welcome, json.dumps(answer))
    assert welcome.directors == ("http://10.244.0.4:7443", "http://10.244.0.5:7443")
    assert keys(wire.Welcome) == set(answer)


def test_policy_table_and_gone_have_the_keys_of_the_contract(contract: Contract) -> None:
    policy = contract.object_in("8.3")
    assert keys(wire.StreamPolicy) == policy
    assert keys(wire.TableBody) == contract.object_in("8.4")
    gone = wire.Entries(gone=(Gone(node="edge-eu-0", incarnation="3f9c0a11be42", version=4, region="eu"),))
    assert encode(gone)["gone"][0] == json.loads(re.findall(r"`Gone` is `([^`]+)`", contract.section("8.1"))[0])


def test_what_a_director_tells_is_what_the_operator_understands(contract: Contract) -> None:
    """The entries of §8 with counts, as a real `snapshot` and a real `change`."""
    node, stream = contract.example("8.1"), contract.example("8.2")
    counts: dict[str, object] = {"viewers": 3, "publishers": 1, "relaysOut": 2, "streams": {"test_eu": {"viewers": 3}}}
    counts["pulls"] = {"good": {}, "bad": {"error": "no connection"}}
    snapshot = wire_operator.Snapshot(
        director="d-1",
        version=7,
        settling=False,
        nodes=(wire.parse_body(wire_operator.NodeFacts, json.dumps({**node, "counts": counts})),),
        streams=(wire.parse_body(StreamEntry, json.dumps(stream)),),
        undeclared=(wire_operator.UndeclaredStream(stream="late", subject="camera-2"),),
        peers=(wire_operator.PeerState(region="us", connected=False, reason="NoToken"),),
    )
    words = facts_messages.snapshot(json.loads(wire.render(snapshot)))
    expected = NodeFact(
        slot="edge-eu-0",
        incarnation="3f9c0a11be42",
        version=4,
        role="edge",
        region="eu",
        state="up",
        since=1795252000.1,
        counts=Counts(
            viewers=3, publishers=1, relays_out=2, streams={"test_eu": 3}, pulls={"good": "", "bad": "no connection"}
        ),
    )
    assert words.nodes == {"edge-eu-0/3f9c0a11be42": expected}
    (told,) = words.streams.values()
    assert told == StreamFact(
        stream="test_eu",
        incarnation="a01b00000000",
        version=2,
        origin="origin-eu-0/770000000000",
        region="eu",
        state="live",
        since=1795252010.0,
        tracks=(Track(kind="video", codec="h264", fmtp="…"), Track(kind="audio", codec="opus", fmtp="…")),
    )
    assert words.undeclared == (Undeclared(stream="late", subject="camera-2"),)
    assert words.peers == (Peer(region="us", connected=False, reason="NoToken"),)

    gone = Gone(node="edge-eu-0", incarnation="3f9c0a11be42", version=5, region="eu")
    change = wire_operator.Change(version=8, settling=True, undeclared=(), gone=(gone,))
    after = facts_messages.changed(words, json.loads(wire.render(change)))
    assert (after.nodes, after.undeclared, after.peers, after.settling) == ({}, (), words.peers, True)
    assert after.streams == words.streams


def test_a_pulls_frame_has_the_keys_of_the_contract(contract: Contract) -> None:
    (written,) = re.findall(r"`pulls \{\"streams\": \{NAME: \{(.*?)\}\}\}`", contract.section("7.2"))
    assert keys(wire.PullOrder) == set(re.findall(r'"(\w+)"', written))


def test_what_the_operator_orders_is_what_a_director_understands() -> None:
    orders = link.Orders(drain={"edge-eu-0": 1795252600.0}, expected={"edge-eu-0": ("edge", "edge-eu")})
    expected, drain = (wire.parse(json.dumps(frame), wire_operator.FROM_OPERATOR) for frame in orders.frames())
    assert expected == wire_operator.Expected(
        slots={"edge-eu-0": wire_operator.ExpectedSlot(role="edge", node="edge-eu")}
    )
    assert drain == wire_operator.DrainOrders(slots={"edge-eu-0": wire_operator.DrainOrder(deadline=1795252600.0)})
    assert wire.parse('{"type": "beat"}', wire_operator.FROM_OPERATOR) == wire.Beat()


def test_both_sides_beat_wait_and_measure_alike(contract: Contract) -> None:
    assert (link.BEAT_SECONDS, link.SILENCE_SECONDS) == (wire.BEAT_SECONDS, wire.SILENT_SECONDS)
    assert (link.LARGEST_FRAME, link.BAD_FRAME) == (wire.MAX_FRAME, wire.CLOSE_BAD_FRAME)
    rules = contract.section("7").split("### 7.1")[0]
    for text in ("code 4400", "> 4 MiB", "0.5 s doubling to 2 s, ± 20 %", "at least every 2 s", "silent for 6 s"):
        assert text in rules
    assert (wire.BEAT_SECONDS, wire.SILENT_SECONDS) == (2, 6)
    assert (link.FIRST_BACKOFF, link.LAST_BACKOFF, link.SPREAD) == (0.5, 2, 0.2)
    assert (wire.MAX_FRAME, wire.CLOSE_BAD_FRAME) == (4 * 2**20, 4400)


def test_the_digest_is_what_the_contract_says(contract: Contract) -> None:
    """§8.4, computed here by its words alone; an ended stream does not count, a live one of a dead origin is lost."""
    node, stream = contract.example("8.1"), contract.example("8.2")
    origin = {**node, "node": "origin-eu-0", "incarnation": "770000000000", "role": "origin", "state": "down"}
    ended = {**stream, "stream": "over", "state": "ended", "reason": "stream-ended"}
    table = Table()
    table.merge(
        0,
        nodes=[wire.parse_body(NodeEntry, json.dumps(entry)) for entry in (origin, node)],
        streams=[wire.parse_body(StreamEntry, json.dumps(entry)) for entry in (stream, ended)],
    )
    agreed = {
        "nodes": [
            ["edge-eu-0", "3f9c0a11be42", "edge", "eu", "up"],
            ["origin-eu-0", "770000000000", "origin", "eu", "down"],
        ],
        "streams": [["test_eu", "origin-eu-0/770000000000", "lost"]],
    }
    text = json.dumps(agreed, sort_keys=True, separators=(",", ":"))
    assert table.digest() == hashlib.sha256(text.encode()).hexdigest()[:16]
    assert load(wire.render_body(wire.table_body(table)))["digest"] == table.digest()
