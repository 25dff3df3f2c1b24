"""A publisher comes back in another way than it went: who can go on does, who cannot is told why."""

import pytest
from aiortc import RTCRtpReceiver

from engine.peers import AUDIO, VIDEO, MakeNode, Picture, Publisher, Tone, Viewer, closing

pytestmark = pytest.mark.timeout(60)


def of_vp8_alone() -> Viewer:
    """A viewer whose offer has no other codec of video."""
    viewer = Viewer("video", "audio")
    known = RTCRtpReceiver.getCapabilities("video")
    assert known is not None
    chosen = [codec for codec in known.codecs if codec.mimeType in ("video/VP8", "video/rtx")]
    viewer.connection.getTransceivers()[0].setCodecPreferences(chosen)
    return viewer


async def test_another_codec_goes_on_for_those_who_have_it_and_ends_the_others(make_node: MakeNode) -> None:
    node = make_node()
    first, second = Publisher(Picture(), Tone()), Publisher(Picture(), Tone())
    able, unable = Viewer("video", "audio"), of_vp8_alone()
    async with closing(first, second, able, unable):
        source = await first.publish(node.engine, "s", "i1", ("vp8", "opus"))
        await able.play(node.engine, "s", [VIDEO, AUDIO])
        session = await unable.play(node.engine, "s", [VIDEO, AUDIO])
        for viewer in (able, unable):
            await viewer.frames_after(video=15, audio=15)
        node.engine.close(source)
        await second.publish(node.engine, "s", "i2", ("h264", "opus"))
        closed = await node.event(session, "closed")
        assert closed.get("reason") == "codec-changed"
        await able.frames_after(video=15, audio=15)
        assert able.connection.connectionState == "connected"
        kinds = sorted(session["kind"] for session in node.engine.stats()["sessions"])
        assert kinds == ["publisher", "viewer"]
