"""Clients that are no browsers: they publish, and play what was published, with ECDSA and with RSA certificates."""

import importlib.metadata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from interop_scene import (
    PUBLISHING_SECONDS,
    aiortc,
    bare_cdn,
    connected,
    decoded,
    ffmpeg,
    gstreamer,
    one_sees_enough,
    our_player_sees,
    pion,
    pion_name,
    version,
    whep,
    whip,
)
from interop_table import Row, note
from recording import VP8, encode, picture, record
from rivulet_scene.bare import BareCdn
from rivulet_scene.clients import Program, probe

pytestmark = pytest.mark.timeout(240)  # processes start while two cores are busy

# All of them take every codec. (Pion offers all that it could send, and sends what it has.)
STREAMS: dict[str, list[str]] = {
    name: []
    for name in (
        "pion_h264",
        "pion_tcp",
        "pion_vp8",
        "pion_layers",
        "pion_back",
        "gst_vp8",
        "gst_h264",
        "aiortc_vp8",
        "aiortc_h264",
        "ffmpeg_passive",
        "ffmpeg_active",
    )
}


@pytest.fixture(scope="module")
def cdn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BareCdn]:
    with bare_cdn(tmp_path_factory.mktemp("cdn"), STREAMS) as running:
        yield running


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("recording"))


@pytest.mark.parametrize(
    ("codec", "file", "certificate"), [("h264", "video.h264", "ECDSA"), ("vp8", "video.ivf", "RSA")]
)
def test_pion_publishes_and_plays(
    cdn: BareCdn, recording: Path, tmp_path: Path, codec: str, file: str, certificate: str
) -> None:
    """With its own certificate (ECDSA) and with an RSA one."""
    stream, option = f"pion_{codec}", ["-rsa"] if certificate == "RSA" else []
    files = ["-video", str(recording / file), "-audio", str(recording / "audio.ogg")]
    token = ["-token", cdn.token(stream)]
    with pion("publish", whip(cdn, stream), *files, *token, *option, "-seconds", PUBLISHING_SECONDS) as publisher:
        published = connected(publisher)
        seen = our_player_sees(cdn, stream)
        played, tracks = pion_plays(whep(cdn, stream), tmp_path, *option)
    assert tracks["video"]["codec"].lower() == f"video/{codec}"
    codecs = f"{codec.upper()}, Opus"
    remark = "offers codecs that it does not send"
    note(Row(pion_name(), "publishes", codecs, certificate, published["connect_ms"], seen, remark))
    note(Row(pion_name(), "plays", codecs, certificate, played["connect_ms"], "picture and sound, decoded by FFmpeg"))


def test_pion_publishes_and_plays_over_tcp_alone(cdn: BareCdn, recording: Path, tmp_path: Path) -> None:
    """It has no UDP socket: RFC 6544, it is the active side."""
    files = ["-video", str(recording / "video.h264"), "-audio", str(recording / "audio.ogg")]
    token = ["-token", cdn.token("pion_tcp")]
    with pion("publish", whip(cdn, "pion_tcp"), *files, *token, "-tcp", "-seconds", PUBLISHING_SECONDS) as publisher:
        published = connected(publisher)
        seen = our_player_sees(cdn, "pion_tcp")
        played, _ = pion_plays(whep(cdn, "pion_tcp"), tmp_path, "-tcp")
    name, codecs = f"{pion_name()}, TCP only", "H264, Opus"
    note(Row(name, "publishes", codecs, "ECDSA", published["connect_ms"], seen))
    note(Row(name, "plays", codecs, "ECDSA", played["connect_ms"], "picture and sound, decoded by FFmpeg"))


def pion_plays(url: str, folder: Path, *options: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Its first line, and by kind what it has written, of which FFmpeg decodes enough."""

    def play() -> tuple[tuple[dict[str, Any], dict[str, Any]], dict[str, int]]:
        with pion("play", url, "-write", str(folder), "-seconds", "4", *options) as player:
            played, tracks = connected(player), player.result()["tracks"]
        return (played, tracks), {kind: decoded(tracks[kind]["file"]) for kind in ("video", "audio")}

    return one_sees_enough(play)


LAYERS = {"h": (640, 360), "m": (320, 180), "l": (160, 90)}


@pytest.fixture
def layers(tmp_path: Path) -> str:
    """The same picture in three sizes, as Pion's client wants them named."""
    for rid, (width, height) in LAYERS.items():
        encode(picture(width, height), VP8, tmp_path / f"{rid}.ivf")
    return ",".join(f"{rid}={tmp_path / rid}.ivf" for rid in LAYERS)


def test_pion_publishes_layers_and_plays_each(cdn: BareCdn, recording: Path, layers: str, tmp_path: Path) -> None:
    """RFC 8853: three encodings by rid; each is what a viewer gets who asks for it."""
    files = ["-layers", layers, "-audio", str(recording / "audio.ogg")]
    token = ["-token", cdn.token("pion_layers")]
    with pion("publish", whip(cdn, "pion_layers"), *files, *token, "-seconds", PUBLISHING_SECONDS) as publisher:
        published = connected(publisher)
        our_player_sees(cdn, "pion_layers")
        sizes = {rid: played_size(cdn, rid, tmp_path) for rid in LAYERS}
    assert sizes == LAYERS
    name, seen = f"{pion_name()}, simulcast", "each of three layers, decoded by FFmpeg"
    note(Row(name, "publishes", "VP8, Opus", "ECDSA", published["connect_ms"], seen))


def test_a_publisher_that_comes_back_with_layers_by_other_names_is_seen_at_an_edge_that_had_the_old_ones(
    cdn: BareCdn, recording: Path, layers: str
) -> None:
    others = ",".join(f"{at}={layer.partition('=')[2]}" for at, layer in enumerate(layers.split(",")))
    more = ["-audio", str(recording / "audio.ogg"), "-token", cdn.token("pion_back"), "-seconds", PUBLISHING_SECONDS]
    first = pion("publish", whip(cdn, "pion_back"), "-layers", layers, *more)
    # This one keeps the edge's relay open.
    with first, probe(whep(cdn, "pion_back"), "--wait", "15", seconds=float(PUBLISHING_SECONDS)) as viewer:
        connected(first)
        viewer.line()
        our_player_sees(cdn, "pion_back")
        first.stop()
        with pion("publish", whip(cdn, "pion_back"), "-layers", others, *more) as again:
            connected(again)
            our_player_sees(cdn, "pion_back")


def played_size(cdn: BareCdn, rid: str, folder: Path) -> tuple[int, int]:
    """Width and height of the last picture that a viewer of this layer gets."""
    _, tracks = pion_plays(f"{whep(cdn, 'pion_layers')}?layer={rid}", folder)
    with av.open(tracks["video"]["file"]) as video:
        return [(frame.width, frame.height) for frame in video.decode(video=0)][-1]


@pytest.mark.parametrize("codec", ["vp8", "h264"])
def test_gstreamer_publishes_and_plays(cdn: BareCdn, codec: str) -> None:
    """Its certificate is RSA."""
    name = f"GStreamer {version('gst-launch-1.0', '--version')}"
    publishes_and_plays(cdn, gstreamer, f"gst_{codec}", (name, codec, "RSA"))


@pytest.mark.parametrize("codec", ["vp8", "h264"])
def test_aiortc_publishes_and_plays(cdn: BareCdn, codec: str) -> None:
    """As it comes; camera and probe are made of it too, but help it along."""
    name = f"aiortc {importlib.metadata.version('aiortc')}"
    publishes_and_plays(cdn, aiortc, f"aiortc_{codec}", (name, codec, "ECDSA"))


def publishes_and_plays(cdn: BareCdn, client: Callable[..., Program], stream: str, what: tuple[str, str, str]) -> None:
    """A client that decodes what it plays; `what`: its name, its codec of video and the kind of its certificate."""
    name, codec, certificate = what

    def play() -> tuple[dict[str, Any], dict[str, int]]:
        with client("play", whep(cdn, stream), "--seconds", "4") as player:
            played, counts = connected(player), player.result()
        return played, {kind: counts.get(kind, 0) for kind in ("video", "audio")}

    publish = ("publish", whip(cdn, stream), "--token", cdn.token(stream), "--codec", codec)
    with client(*publish, "--seconds", PUBLISHING_SECONDS) as publisher:
        published = connected(publisher)
        seen = our_player_sees(cdn, stream)
        played = one_sees_enough(play)
    codecs = f"{codec.upper()}, Opus"
    note(Row(name, "publishes", codecs, certificate, published["connect_ms"], seen))
    note(Row(name, "plays", codecs, certificate, played["connect_ms"], "picture and sound, decoded by itself"))


@pytest.mark.parametrize("role", ["passive", "active"])
def test_ffmpeg_publishes(cdn: BareCdn, role: str) -> None:
    """Its certificate is ECDSA on P-224 (GnuTLS); as it comes it is the DTLS server."""
    stream, option = f"ffmpeg_{role}", ["--active"] if role == "active" else []
    publish = ("publish", whip(cdn, stream), "--token", cdn.token(stream), *option)
    with ffmpeg(*publish, "--seconds", PUBLISHING_SECONDS) as publisher:
        connected(publisher)
        seen = our_player_sees(cdn, stream)
    name = f"FFmpeg {av.ffmpeg_version_info}"
    note(Row(name, "publishes", "H264, Opus", "ECDSA P-224", None, seen, f"WHIP muxer, DTLS {role}"))
