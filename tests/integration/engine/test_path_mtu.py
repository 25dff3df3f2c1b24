"""A path of 1,280 bytes (RFC 8200) carries what any publisher sends: packets too large for it are cut at ingress."""

import pytest

from engine.peers import AUDIO, VIDEO, MakeNode, Noise, Publisher, Tone, Viewer, closing

pytestmark = pytest.mark.timeout(60)

# Of UDP's payload, below an IPv6 header of 40 bytes and UDP's of 8.
LARGEST = 1280 - 48
H264 = "packetization-mode=1;profile-level-id=42e01f;level-asymmetry-allowed=1"


def sizes(peer: Publisher | Viewer, direction: str) -> list[int]:
    """Of all datagrams that this peer sends ("_send") or receives ("_recv") from now on."""
    transceiver = peer.connection.getTransceivers()[0]
    ice, found = transceiver.sender.transport.transport, []
    passes = getattr(ice, direction)

    async def counted(*sent: bytes) -> bytes | None:
        datagram: bytes | None = await passes(*sent)
        found.append(len(sent[0] if sent else datagram or b""))
        return datagram

    setattr(ice, direction, counted)
    return found


@pytest.mark.parametrize("codec", ["vp8", "h264"])
async def test_what_is_too_large_for_a_path_of_1280_bytes_is_cut_and_decoded(make_node: MakeNode, codec: str) -> None:
    """aiortc's payloads are of 1,300 bytes."""
    node = make_node()
    publisher, viewer = Publisher(Noise(), Tone()), Viewer("video", "audio")
    sent, received = sizes(publisher, "_send"), sizes(viewer, "_recv")
    video = VIDEO if codec == "vp8" else {**VIDEO, "codec": "h264", "fmtp": H264}
    async with closing(publisher, viewer):
        await publisher.publish(node.engine, "s", "i1", (codec, "opus"))
        await viewer.play(node.engine, "s", [video, AUDIO])
        await viewer.frames_after(video=30, audio=30)
    assert max(sent) > LARGEST + 50, "or nothing had to be cut"
    assert LARGEST - 200 < max(received) <= LARGEST
