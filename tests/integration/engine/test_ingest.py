"""An engine that pulls from a foreign server, which is another engine here: addresses, and aiortc as the server."""

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from engine.peers import AUDIO, LOOPBACK, VIDEO, MakeNode, Noise, eventually
from rivulet_media._engine import OfferError, UnsupportedError

ANY, ANY_6, LOOPBACK_6 = "0.0.0.0", "::", "::1"
CODECS = ("vp8", "h264", "opus")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(LOOPBACK, LOOPBACK), (ANY, LOOPBACK), (ANY, LOOPBACK_6), (ANY_6, LOOPBACK), (ANY_6, LOOPBACK_6)],
)
async def test_a_server_is_reached_by_either_family_whatever_clients_come_by(
    make_node: MakeNode, ours: str, theirs: str
) -> None:
    server, puller = make_node(theirs), make_node(ours)
    session, offer = puller.engine.ingest("s", "a" * 12, CODECS)
    # An address first that does not answer.
    candidates = [("192.0.2.1", 9), ("2001:db8::1", 9), (theirs, server.engine.port)]
    _, answer = server.engine.play("s", [VIDEO, AUDIO], offer, candidates=candidates)
    puller.engine.pull_answer(session, answer)
    await puller.event(session, "connected")
    stats = next(item for item in puller.engine.stats()["sessions"] if item["session"] == session)
    assert (stats["kind"], stats["state"]) == ("ingest", "connected")
    assert LOOPBACK_6 in str(stats["remote"]) if theirs == LOOPBACK_6 else LOOPBACK in str(stats["remote"])


async def test_aiortc_serves_with_dtls_of_its_own_and_is_heard(make_node: MakeNode) -> None:
    """It takes an offer only with a candidate, and answers without ICE lite, transport-cc or reduced-size RTCP."""
    node = make_node()
    session, offer = node.engine.ingest("s", "a" * 12, CODECS)
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        peer.addTrack(Noise())
        await peer.setLocalDescription(await peer.createAnswer())
        node.engine.pull_answer(session, peer.localDescription.sdp)
        told = await node.event(session, "tracks")
        assert [track["codec"] for track in told["tracks"]] == ["vp8"], "sound is not sent, and not expected"
        await node.event(session, "active")
        node.engine.close(session)
        await eventually(lambda: peer.connectionState in ("closed", "failed"), "it is told")
    finally:
        await peer.close()


async def test_an_answer_is_refused_with_a_reason_and_a_good_one_still_taken(make_node: MakeNode) -> None:
    server, puller = make_node(), make_node()
    session, offer = puller.engine.ingest("s", "a" * 12, CODECS)
    _, answer = server.engine.play("s", [VIDEO], offer)
    for bad, error, words in (
        ("", OfferError, "v=0"),
        (answer.replace("a=candidate", "a=x"), UnsupportedError, "no address by UDP"),
        (answer.replace("a=sendonly", "a=inactive"), UnsupportedError, "nothing of what was offered"),
    ):
        with pytest.raises(error, match=words):
            puller.engine.pull_answer(session, bad)
    puller.engine.pull_answer(session, answer)
    await puller.event(session, "connected")
