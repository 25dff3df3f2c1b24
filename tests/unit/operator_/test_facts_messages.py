from __future__ import annotations

from typing import Any

import pytest

from rivulet_operator.model.facts import Facts
from rivulet_operator.model.facts_messages import ENDED_KEPT, changed, merged, snapshot


def _node(version: int = 1, state: str = "up", **changes: Any) -> dict[str, Any]:
    entry = {
        "node": "edge-eu-0",
        "incarnation": "a",
        "version": version,
        "role": "edge",
        "region": "eu",
        "state": state,
    }
    return {**entry, "since": 1.0, "counts": {"viewers": 2, "streams": {"s": {"viewers": 2}}}, **changes}


def _stream(**changes: Any) -> dict[str, Any]:
    entry = {"stream": "s", "incarnation": "i", "version": 1, "origin": "edge-eu-0/a", "region": "eu", "state": "live"}
    return {**entry, "since": 2.0, "tracks": [{"kind": "video", "codec": "h264"}], **changes}


def _snapshot(**changes: Any) -> dict[str, Any]:
    return {"settling": False, "nodes": [_node()], "streams": [_stream()], "undeclared": [], "peers": [], **changes}


def test_a_change_keeps_what_it_does_not_name() -> None:
    words = changed(snapshot(_snapshot()), {"nodes": [_node(counts=None)]})
    facts = merged([words], Facts())
    assert [(n.state, n.counts and n.counts.viewers) for n in facts.nodes] == [("up", 2)]
    assert [s.stream for s in facts.streams] == ["s"]


def test_counts_from_before_a_node_drained_say_nothing_of_it_since() -> None:
    words = changed(
        snapshot(_snapshot(nodes=[_node(counts={"viewers": 0})])), {"nodes": [_node(2, "draining", counts=None)]}
    )
    facts = merged([words], Facts())
    assert (facts.draining("edge-eu-0"), facts.sessions("edge-eu-0")) == ((True,), None)
    assert not facts.empty("edge-eu-0")


def test_a_node_that_is_gone_takes_its_streams_along() -> None:
    gone = {"node": "edge-eu-0", "incarnation": "a", "version": 3, "region": "eu"}
    facts = merged([changed(snapshot(_snapshot()), {"gone": [gone]})], Facts())
    assert (facts.nodes, facts.streams) == ((), ())


def test_the_later_version_wins_and_at_equal_versions_down() -> None:
    first, second = snapshot(_snapshot()), snapshot(_snapshot(nodes=[_node(1, "down")]))
    assert merged([first, second], Facts()).nodes[0].state == "down"
    assert merged([snapshot(_snapshot(nodes=[_node(2)])), second], Facts()).nodes[0].state == "up"


def test_nobody_settled_leaves_the_last_words_and_says_that_they_are_old() -> None:
    last = merged([snapshot(_snapshot())], Facts())
    settling = snapshot(_snapshot(settling=True, nodes=[]))
    for linked in ([], [settling]):
        facts = merged(linked, last)
        assert (facts.fresh, facts.told, facts.nodes) == (False, True, last.nodes)
        assert facts.sessions("edge-eu-0") is None
        assert facts.last_sessions("edge-eu-0") == 2


def test_ended_publications_do_not_pile_up() -> None:
    words = snapshot(_snapshot())
    for number in range(ENDED_KEPT + 50):
        words = changed(words, {"streams": [_stream(incarnation=str(number), state="ended", since=float(number))]})
    assert len(words.streams) == ENDED_KEPT + 1


@pytest.mark.parametrize("key", ["settling", "nodes", "streams", "undeclared", "peers"])
def test_a_snapshot_without_a_required_key_is_refused(key: str) -> None:
    frame = _snapshot()
    del frame[key]
    with pytest.raises(KeyError, match=key):
        snapshot(frame)
