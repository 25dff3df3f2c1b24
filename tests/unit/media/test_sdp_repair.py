import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.rtcconfiguration import RTCBundlePolicy

from rivulet_media.sdp_repair import repaired

OFFER = """\
v=0
o=- 1 1 IN IP4 0.0.0.0
s=-
t=0 0
a=group:BUNDLE 0 1
m=audio 9 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
a=recvonly
a=mid:0
a=rtcp-mux
a=rtpmap:96 opus/48000/2
a=ice-ufrag:ours
a=ice-pwd:ourpassword
a=fingerprint:sha-256 AA
a=setup:actpass
m=video 9 UDP/TLS/RTP/SAVPF 97
c=IN IP4 0.0.0.0
a=recvonly
a=mid:1
a=rtcp-mux
a=rtpmap:97 VP8/90000
a=ice-ufrag:ours
a=ice-pwd:ourpassword
a=fingerprint:sha-256 AA
a=setup:actpass
""".replace("\n", "\r\n")
VIDEO_ONLY = """\
v=0
o=- 2 2 IN IP4 0.0.0.0
s=-
t=0 0
a=group:BUNDLE 1
m=audio 0 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
a=inactive
a=mid:0
m=video 9 UDP/TLS/RTP/SAVPF 97
c=IN IP4 0.0.0.0
a=sendonly
a=mid:1
a=rtcp-mux
a=rtpmap:97 VP8/90000
a=ice-ufrag:theirs
a=ice-pwd:theirpassword
a=fingerprint:sha-256 BB
a=setup:passive
""".replace("\n", "\r\n")


def test_an_answer_that_rejects_nothing_stays_as_it_is() -> None:
    answer = VIDEO_ONLY.replace("m=audio 0", "m=audio 9").replace("BUNDLE 1", "BUNDLE 0 1")
    assert repaired(OFFER, answer) == answer


def test_a_rejected_section_gets_the_transport_of_an_accepted_one() -> None:
    lines = repaired(OFFER, VIDEO_ONLY).splitlines()
    assert "a=group:BUNDLE 0 1" in lines
    audio = lines[lines.index("m=audio 9 UDP/TLS/RTP/SAVPF 96") : lines.index("m=video 9 UDP/TLS/RTP/SAVPF 97")]
    assert audio[-5:] == [
        "a=inactive",
        "a=ice-ufrag:theirs",
        "a=ice-pwd:theirpassword",
        "a=fingerprint:sha-256 BB",
        "a=setup:passive",
    ]
    assert not [line for line in audio if "ours" in line or line == "a=recvonly"]


def test_candidates_named_once_stand_in_every_section() -> None:
    candidate = "a=candidate:1 1 udp 2130706431 127.0.0.1 7000 typ host"
    answer = VIDEO_ONLY.replace("m=audio 0", "m=audio 9").replace("BUNDLE 1", "BUNDLE 0 1")
    answer = answer.replace("a=inactive", f"a=sendonly\r\n{candidate}\r\na=end-of-candidates")
    audio, video = repaired(OFFER, answer).split("m=")[1:]
    for section in (audio, video):
        assert section.splitlines()[-2:] == [candidate, "a=end-of-candidates"]


def test_an_answer_that_rejects_everything_is_refused() -> None:
    with pytest.raises(ValueError, match="rejected"):
        repaired(OFFER, VIDEO_ONLY.replace("m=video 9", "m=video 0"))


def test_an_answer_with_another_number_of_sections_is_refused() -> None:
    with pytest.raises(ValueError, match="2 media sections were offered, 0"):
        repaired(OFFER, "v=0\r\n")


async def test_aiortc_takes_the_result_and_expects_the_accepted_track_only() -> None:
    bundled = RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
    ours, theirs = RTCPeerConnection(bundled), RTCPeerConnection(bundled)
    for kind in ("audio", "video"):
        ours.addTransceiver(kind, direction="recvonly")
    offer = await ours.createOffer()
    sections = offer.sdp.split("m=")
    without_sound = f"{sections[0].replace('BUNDLE 0 1', 'BUNDLE 1')}m={sections[2]}"
    await theirs.setRemoteDescription(RTCSessionDescription(without_sound, "offer"))
    theirs.getTransceivers()[0].direction = "sendonly"
    await theirs.setLocalDescription(await theirs.createAnswer())
    head, video = theirs.localDescription.sdp.split("m=")
    answer = f"{head}m=audio 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\nm={video}"

    await ours.setLocalDescription(offer)
    await ours.setRemoteDescription(RTCSessionDescription(repaired(offer.sdp, answer), "answer"))
    assert [transceiver.currentDirection for transceiver in ours.getTransceivers()] == ["inactive", "recvonly"]
    await ours.close()
    await theirs.close()
