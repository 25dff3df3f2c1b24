"""What paths lose, a relay repairs by itself; whom nothing helps is told so."""

import asyncio

import pytest

from engine.peers import LOOPBACK, VIDEO, MakeNode, Noise, Publisher, Viewer, closing, slow_path

pytestmark = pytest.mark.timeout(120)


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
        before = near.frames["video"], far.frames["video"]
        await near.frames_after(video=180, audio=0, within=60)
        # What is under way, and a repair or two.
        await asyncio.sleep(1.0)
        seen_near, seen_far = near.frames["video"] - before[0], far.frames["video"] - before[1]
        incoming = next(s for s in edge.engine.stats()["sessions"] if s["session"] == pulled)
        outgoing = next(s for s in origin.engine.stats()["sessions"] if s["session"] == served)
        figures = f"{seen_far} of {seen_near} frames; at the edge {incoming}; at the origin {outgoing}"
        assert incoming["repaired"] >= 5, figures
        assert incoming["given_up"] <= incoming["repaired"] * 0.02, figures
        assert outgoing["repaired"] >= incoming["repaired"], figures
        assert incoming["rtt_ms"] is not None, figures
        assert incoming["rtt_ms"] >= 84, figures
        assert seen_far >= seen_near * 0.97, figures


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
