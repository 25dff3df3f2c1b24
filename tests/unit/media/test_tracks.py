from rivulet_media.table import Layer, Track
from rivulet_media.tracks import from_engine, named, offered_codecs, to_engine

OFFER = """v=0
m=audio 9 UDP/TLS/RTP/SAVPF 111 63
a=ice-ufrag:abcd
a=rtpmap:111 opus/48000/2
a=rtpmap:63 red/48000/2
m=video 9 UDP/TLS/RTP/SAVPF 96 97 98
a=ice-ufrag:efgh
a=rtpmap:96 VP8/90000
a=rtpmap:97 rtx/90000
a=rtpmap:98 VP8/90000
"""


def test_tracks_go_to_the_engine_and_back_unchanged() -> None:
    tracks = (
        Track(kind="video", codec="h264", clock_rate=90000, fmtp="packetization-mode=1"),
        Track(kind="audio", codec="opus", clock_rate=48000, channels=2),
    )
    assert from_engine(to_engine(tracks)) == tracks
    assert named(tracks) == ["h264", "opus"]
    assert "channels" not in to_engine(tracks)[0]


def test_of_layers_the_engine_is_told_the_names_and_tells_what_it_sees() -> None:
    layers = (Layer(rid="h", width=1280, height=720, bitrate=900_000, live=True), Layer(rid="l"))
    (told,) = to_engine([Track(kind="video", codec="vp8", clock_rate=90000, layers=layers)])
    assert told["layers"] == [{"rid": "h", "live": True}, {"rid": "l", "live": False}]
    told["layers"] = [{"rid": "h", "width": 1280, "height": 720, "bitrate": 900_000, "live": True}, told["layers"][1]]
    assert from_engine([told])[0].layers == layers


def test_offered_codecs_are_named_once_and_without_repairs() -> None:
    assert offered_codecs(OFFER) == ["opus", "vp8"]
