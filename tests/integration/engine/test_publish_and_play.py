"""Publish, play and relay through engines, with real clients."""

import asyncio

import pytest
from aiortc.mediastreams import AudioStreamTrack

from engine.peers import AUDIO, LOOPBACK, VIDEO, MakeNode, Picture, Publisher, Tone, Viewer, closing, relay, slow_path

pytestmark = pytest.mark.timeout(60)


async def test_both_tracks_of_a_publisher_reach_a_viewer(make_node: MakeNode) -> None:
    node = make_node()
    publisher, viewer = Publisher(Picture(), Tone()), Viewer("video", "audio")
    async with closing(publisher, viewer):
        source = await publisher.publish(node.engine, "s", "i1")
        await node.event(source, "connected")
        active = await node.event(source, "active")
        assert (active["stream"], active.get("incarnation")) == ("s", "i1")
        tracks = (await node.event(source, "tracks")).get("tracks", [])
        assert sorted((t["kind"], t["codec"], t["clock_rate"]) for t in tracks) == [
            ("audio", "opus", 48000),
            ("video", "vp8", 90000),
        ]
        session = await viewer.play(node.engine, "s", tracks)
        await node.event(session, "connected")
        await viewer.frames_after(video=30, audio=60)


async def test_a_viewer_may_come_before_the_source(make_node: MakeNode) -> None:
    node = make_node()
    publisher, viewer = Publisher(Picture(), Tone()), Viewer("audio", "video")
    async with closing(publisher, viewer):
        await viewer.play(node.engine, "s", [VIDEO, AUDIO])
        await publisher.publish(node.engine, "s", "i1")
        await viewer.frames_after(video=15, audio=30)


async def test_a_relay_between_two_engines_carries_both_tracks(make_node: MakeNode) -> None:
    origin, edge = make_node(), make_node()
    publisher, viewer = Publisher(Picture(), Tone()), Viewer("video", "audio")
    async with closing(publisher, viewer):
        await publisher.publish(origin.engine, "s", "i1")
        pulled, served = await relay(origin.engine, edge.engine, "s", "i1", [VIDEO, AUDIO])
        await viewer.play(edge.engine, "s", [VIDEO, AUDIO])
        await edge.event(pulled, "connected")
        await origin.event(served, "connected")
        await viewer.frames_after(video=30, audio=60)
        kinds = {s["session"]: s["kind"] for s in edge.engine.stats()["sessions"] + origin.engine.stats()["sessions"]}
        assert (kinds[pulled], kinds[served]) == ("relay_in", "relay_out")


async def test_two_streams_are_pulled_between_the_same_two_engines(make_node: MakeNode) -> None:
    origin, edge = make_node(), make_node()
    publishers = [Publisher(Picture()), Publisher(Picture())]
    viewers = [Viewer("video"), Viewer("video")]
    async with closing(*publishers, *viewers):
        for name, publisher, viewer in zip("ab", publishers, viewers, strict=True):
            await publisher.publish(origin.engine, name, "i1")
            await relay(origin.engine, edge.engine, name, "i1", [VIDEO])
            await viewer.play(edge.engine, name, [VIDEO])
        for viewer in viewers:
            await viewer.frames_after(video=15, audio=0)


@pytest.mark.parametrize("kind", ["video", "audio"])
async def test_a_stream_of_one_track_plays(make_node: MakeNode, kind: str) -> None:
    node = make_node()
    publisher = Publisher(Picture() if kind == "video" else Tone())
    viewer = Viewer("video", "audio")
    async with closing(publisher, viewer):
        await publisher.publish(node.engine, "s", "i1")
        await viewer.play(node.engine, "s", [VIDEO if kind == "video" else AUDIO])
        await viewer.frames_after(video=15 if kind == "video" else 0, audio=15 if kind == "audio" else 0)


async def test_a_viewer_that_wants_one_kind_gets_it(make_node: MakeNode) -> None:
    node = make_node()
    publisher, viewer = Publisher(Picture(), Tone()), Viewer("audio")
    async with closing(publisher, viewer):
        await publisher.publish(node.engine, "s", "i1")
        await viewer.play(node.engine, "s", [VIDEO, AUDIO])
        await viewer.frames_after(video=0, audio=30)


async def test_a_new_publication_resumes_the_picture_in_the_same_session(make_node: MakeNode) -> None:
    node = make_node()
    first, second, viewer = Publisher(Picture(), Tone()), Publisher(Picture(), Tone()), Viewer("video", "audio")
    async with closing(first, second, viewer):
        session = await first.publish(node.engine, "s", "i1")
        await viewer.play(node.engine, "s", [VIDEO, AUDIO])
        await viewer.frames_after(video=15, audio=15)
        node.engine.close(session)
        again = await second.publish(node.engine, "s", "i2")
        await node.event(again, "active")
        await viewer.frames_after(video=15, audio=15)
        assert viewer.connection.connectionState == "connected"
        lost = [r.packetsLost for r in (await viewer.connection.getStats()).values() if r.type == "inbound-rtp"]
        assert lost == [0, 0], "the viewer's numbers have no gap"


async def test_a_relay_over_42_ms_one_way_loses_nothing(make_node: MakeNode) -> None:
    origin, edge = make_node(), make_node()
    publisher, viewer = Publisher(Picture(), Tone()), Viewer("video", "audio")
    async with closing(publisher, viewer), slow_path((LOOPBACK, origin.engine.port), 0.042) as entry:
        await publisher.publish(origin.engine, "s", "i1")
        pulled, offer = edge.engine.pull("s", "i1", [VIDEO, AUDIO])
        served, answer = origin.engine.play("s", [VIDEO, AUDIO], offer, relay=True)
        edge.engine.pull_answer(pulled, answer.replace(f" {origin.engine.port} typ host", f" {entry} typ host"))
        await viewer.play(edge.engine, "s", [VIDEO, AUDIO])
        await viewer.frames_after(video=60, audio=150, within=30)
        incoming = next(s for s in edge.engine.stats()["sessions"] if s["session"] == pulled)
        outgoing = next(s for s in origin.engine.stats()["sessions"] if s["session"] == served)
        assert (incoming["nacks"], incoming["loss"] or 0.0, outgoing["repaired"]) == (0, 0.0, 0)
        assert outgoing["rtt_ms"] is None or outgoing["rtt_ms"] >= 84
        assert viewer.longest_step() < 1.0


async def test_a_relay_goes_over_ipv6(make_node: MakeNode) -> None:
    origin, edge = make_node("::1"), make_node("::1")
    pulled, served = await relay(origin.engine, edge.engine, "s", "i1", [VIDEO])
    await edge.event(pulled, "connected")
    await origin.event(served, "connected")
    assert edge.engine.stats()["sessions"][0]["remote"] == f"[::1]:{origin.engine.port}"


async def test_one_socket_serves_ipv4_and_ipv6(make_node: MakeNode) -> None:
    node, edge = make_node("::"), make_node("::1")
    node.engine.set_candidates([(LOOPBACK, node.engine.port), ("::1", node.engine.port)])
    publisher, viewer = Publisher(Picture()), Viewer("video")
    async with closing(publisher, viewer):
        await publisher.publish(node.engine, "s", "i1")
        await viewer.play(node.engine, "s", [VIDEO])
        await viewer.frames_after(video=10, audio=0)
        pulled, _ = await relay(node.engine, edge.engine, "s", "i1", [VIDEO])
        await edge.event(pulled, "active")


async def test_a_silent_audio_track_is_reported_on(make_node: MakeNode) -> None:
    """aiortc's own track of silence, the smallest packets there are: its sender hears of loss and round trip."""
    node, publisher = make_node(), Publisher(AudioStreamTrack())
    async with closing(publisher):
        await publisher.publish(node.engine, "s", "i1")

        async def reported() -> bool:
            stats = (await publisher.connection.getStats()).values()
            return any(each.type == "remote-inbound-rtp" and each.packetsReceived > 50 for each in stats)

        for _ in range(100):
            if await reported():
                return
            await asyncio.sleep(0.1)
        raise AssertionError("no receiver report within 10 s")
