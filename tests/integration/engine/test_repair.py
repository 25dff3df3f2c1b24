"""What paths lose, a relay repairs by itself; whom nothing helps is told so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from engine.peers import FPS, LOOPBACK, VIDEO, MakeNode, Node, Noise, Publisher, Viewer, closing, slow_path

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from rivulet_media._engine import SessionStats

pytestmark = pytest.mark.timeout(240)
WINDOWS = 3
"""Of which one must be good: a machine that pauses for a second is too late for a repair."""


def stats_of(node: Node, session: str) -> SessionStats:
    return next(each for each in node.engine.stats()["sessions"] if each["session"] == session)


def share(shown: Sequence[Fraction]) -> float:
    """Of all pictures that were taken from the first of these to the last."""
    return (len(shown) - 1) / float((shown[-1] - shown[0]) * FPS)


async def test_a_relay_repairs_what_a_path_of_84_ms_loses(make_node: MakeNode) -> None:
    """3 % of all datagrams are lost in either direction; the viewer behind the relay sees as much as one before it."""
    origin, edge = make_node(), make_node()
    publisher, near, far = Publisher(Noise()), Viewer("video"), Viewer("video")
    async with (
        closing(publisher, near, far),
        slow_path((LOOPBACK, origin.engine.port), 0.042, loss=lambda: 0.03) as entry,
    ):
        await publisher.publish(origin.engine, "s", "i1")
        pulled, offer = edge.engine.pull("s", "i1", [VIDEO])
        served, answer = origin.engine.play("s", [VIDEO], offer, relay=True, candidates=[(LOOPBACK, entry)])
        edge.engine.pull_answer(pulled, answer)
        await near.play(origin.engine, "s", [VIDEO])
        await far.play(edge.engine, "s", [VIDEO])
        await far.frames_after(video=5, audio=0, within=40)
        for _ in range(WINDOWS):
            before, near_before, far_before = stats_of(edge, pulled), len(near.shown), len(far.shown)
            await far.frames_after(video=180, audio=0, within=60)
            incoming, outgoing = stats_of(edge, pulled), stats_of(origin, served)
            repaired, given_up = incoming["repaired"] - before["repaired"], incoming["given_up"] - before["given_up"]
            near_share, far_share = share(near.shown[near_before:]), share(far.shown[far_before:])
            figures = f"{far_share:.3f}, {near_share:.3f} of frames; at the edge {incoming}; at the origin {outgoing}"
            if repaired >= 5 and given_up <= repaired * 0.02 and far_share >= near_share * 0.97:
                break
        else:
            raise AssertionError(f"{repaired} repaired, {given_up} given up; {figures}")
        assert outgoing["repaired"] >= incoming["repaired"], figures
        assert incoming["rtt_ms"] is not None, figures
        assert incoming["rtt_ms"] >= 84, figures


async def test_a_viewer_on_a_path_that_loses_half_is_ended_with_the_reason(make_node: MakeNode) -> None:
    node = make_node()
    publisher, viewer = Publisher(Noise()), Viewer("video")
    share = 0.0
    async with (
        closing(publisher, viewer),
        slow_path((LOOPBACK, node.engine.port), 0.005, loss=lambda: share) as entry,
    ):
        await publisher.publish(node.engine, "s", "i1")
        offer = await viewer.offer()
        session, answer = node.engine.play("s", [VIDEO], offer, candidates=[(LOOPBACK, entry)])
        await viewer.take(answer)
        await viewer.frames_after(video=5, audio=0)
        share = 0.5
        closed = await node.event(session, "closed", within=60)
        assert closed.get("reason") == "too-lossy"
        assert [s["kind"] for s in node.engine.stats()["sessions"]] == ["publisher"]
