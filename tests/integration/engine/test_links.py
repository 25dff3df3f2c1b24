"""Links between engines on real sockets: one session that carries many relays, on one data thread or on several."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from engine.peers import AUDIO, VIDEO, MakeNode, Node, Picture, Publisher, Tone, Viewer, closing, eventually
from rivulet_media._engine import OfferError, UnknownSessionError, UsedSsrcError

if TYPE_CHECKING:
    from rivulet_media._engine import LegWish, SessionStats

pytestmark = pytest.mark.timeout(90)

TRACKS = [VIDEO, AUDIO]
THREADS = [1, 2, 3]


def pull_leg(child: Node, link: str, stream: str = "s") -> tuple[str, LegWish]:
    return child.engine.pull_leg(link, stream, "i", TRACKS)


def open_link(child: Node, parent: Node, *streams: str) -> tuple[str, str, list[tuple[str, str]]]:
    """A link with its first legs: (at the child, at the parent, legs at both)."""
    here, ours = child.engine.open_link()
    wished = [(stream, *pull_leg(child, here, stream)) for stream in streams]
    there, theirs = parent.engine.accept_link(ours)
    legs = []
    for stream, leg, wish in wished:
        legs.append((leg, parent.engine.serve_leg(there, stream, TRACKS, wish)))
        child.engine.answer_leg(leg)
    child.engine.answer_link(here, theirs)
    return here, there, legs


def add_leg(child: Node, parent: Node, link: tuple[str, str], stream: str = "s") -> tuple[str, str]:
    leg, wish = pull_leg(child, link[0], stream)
    served = parent.engine.serve_leg(link[1], stream, TRACKS, wish)
    child.engine.answer_leg(leg)
    return leg, served


def session(node: Node, name: str) -> SessionStats:
    return next(each for each in node.engine.stats()["sessions"] if each["session"] == name)


def packets(node: Node, name: str) -> int:
    return session(node, name)["packets"]


async def flows(node: Node, *legs: str) -> None:
    """Wait until each has packets more than now."""
    before = {leg: packets(node, leg) for leg in legs}
    await eventually(lambda: all(packets(node, leg) > before[leg] + 30 for leg in legs), "packets on all legs")


@pytest.mark.parametrize("threads", THREADS)
async def test_a_viewer_sees_what_comes_by_a_leg_and_others_come_and_go_beside_it(
    make_node: MakeNode, threads: int
) -> None:
    parent, child = make_node(threads=threads), make_node(threads=threads)
    publisher, viewer = Publisher(Picture(), Tone()), Viewer("video", "audio")
    async with closing(publisher, viewer):
        source = await publisher.publish(parent.engine, "s", "i")
        await parent.event(source, "active")
        here, there, [(leg, served)] = open_link(child, parent, "s")
        await child.event(leg, "connected")
        await child.event(leg, "active")
        await viewer.play(child.engine, "s", TRACKS)
        await viewer.frames_after(video=15, audio=30)
        assert [session(child, each)["kind"] for each in (here, leg)] == ["link_in", "relay_in"]
        assert [session(parent, each)["kind"] for each in (there, served)] == ["link_out", "relay_out"]
        assert (session(child, leg)["link"], session(parent, served)["link"]) == (here, there)
        assert session(child, leg)["remote"] == session(child, here)["remote"]
        for _ in range(5):
            other, other_served = add_leg(child, parent, (here, there), "s")
            await child.event(other, "connected")
            await flows(child, other)
            parent.engine.close(other_served)
            assert (await child.event(other, "closed"))["reason"] == "peer-closed"
        await viewer.frames_after(video=15, audio=30)
        assert session(child, leg)["given_up"] == 0
        assert [event["reason"] for event in child.of(leg, "closed")] == []


@pytest.mark.parametrize("threads", THREADS)
async def test_legs_are_with_their_link_wherever_the_kernel_has_it(make_node: MakeNode, threads: int) -> None:
    """A link's datagrams come to any thread of the parent: what was asked for before goes there with it."""
    parent, child = make_node(threads=threads), make_node(threads=threads)
    publisher = Publisher(Picture(), Tone())
    async with closing(publisher):
        await parent.event(await publisher.publish(parent.engine, "s", "i"), "active")
        links = [open_link(child, parent, "s") for _ in range(8)]
        legs = [leg for *_, [(leg, _)] in links]
        for leg in legs:
            await child.event(leg, "connected")
        await flows(child, *legs)
        more = [add_leg(child, parent, (here, there)) for here, there, _ in links]
        await flows(child, *(leg for leg, _ in more))
        for here, _, _ in links:
            child.engine.close(here)
        await eventually(lambda: parent.engine.stats()["sessions"][1:] == [], "only the publisher is left")
        assert child.engine.stats()["sessions"] == []
        for _, served in more:
            assert (await parent.event(served, "closed"))["reason"] == "peer-closed"


@pytest.mark.parametrize("answer_first", [True, False])
async def test_media_may_overtake_the_answer(make_node: MakeNode, answer_first: bool) -> None:  # noqa: FBT001 - a case
    parent, child = make_node(), make_node()
    publisher = Publisher(Picture(), Tone())
    async with closing(publisher):
        await parent.event(await publisher.publish(parent.engine, "s", "i"), "active")
        here, there, _ = open_link(child, parent)
        await child.event(here, "connected")
        leg, wish = pull_leg(child, here)
        if answer_first:
            child.engine.answer_leg(leg)
            await child.event(leg, "connected")
            assert child.of(leg, "active") == []
        parent.engine.serve_leg(there, "s", TRACKS, wish)
        await child.event(leg, "active")
        if not answer_first:
            assert child.of(leg, "connected") == []
            child.engine.answer_leg(leg)
            await child.event(leg, "connected")
        await flows(child, leg)


async def test_what_cannot_be_is_refused_by_name(make_node: MakeNode) -> None:
    parent, child = make_node(), make_node()
    here, there, [(leg, served)] = open_link(child, parent, "s")
    _, wish = pull_leg(child, here)
    parent.engine.serve_leg(there, "s", TRACKS, wish)
    with pytest.raises(UsedSsrcError):
        parent.engine.serve_leg(there, "s", TRACKS, wish)
    parent.engine.close(served)
    with pytest.raises(UnknownSessionError):
        parent.engine.close(served)
    for not_a_link in ("0" * 16, served, "x"):
        with pytest.raises(UnknownSessionError):
            parent.engine.serve_leg(not_a_link, "s", TRACKS, wish)
        with pytest.raises(UnknownSessionError):
            child.engine.pull_leg(not_a_link, "s", "i", TRACKS)
    with pytest.raises(UnknownSessionError):
        child.engine.pull_leg(leg, "s", "i", TRACKS)
    end = child.engine.open_link()[1]
    with pytest.raises(OfferError):
        parent.engine.accept_link({**end, "fingerprint": "AB"})
    with pytest.raises(ValueError, match="not an IP address"):
        parent.engine.accept_link({**end, "candidates": [("nowhere", 1)]})


async def test_a_parent_that_dies_silences_its_legs(make_node: MakeNode) -> None:
    parent, child = make_node(), make_node()
    publisher = Publisher(Picture(), Tone())
    async with closing(publisher):
        await parent.event(await publisher.publish(parent.engine, "s", "i"), "active")
        here, _, [(leg, _)] = open_link(child, parent, "s")
        await child.event(leg, "active")
        parent.engine.shutdown()
        assert (await child.event(leg, "closed"))["reason"] == "peer-closed"
        assert (await child.event(here, "closed"))["reason"] == "peer-closed"
        assert child.engine.stats()["sessions"] == []
