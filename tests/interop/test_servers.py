"""WHEP servers that are not ours, pulled by an origin for our own viewers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from foreign_server import pion_server
from interop_scene import our_player_sees, pion_name
from interop_table import Row, note
from recording import record
from rivulet_scene.bare import BareCdn
from rivulet_scene.clients import Program
from rivulet_scene.ports import free_port
from rivulet_scene.waiting import until
from steps import live

pytestmark = pytest.mark.timeout(240)  # processes start while two cores are busy


@pytest.fixture(scope="module")
def cdn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BareCdn]:
    with BareCdn(tmp_path_factory.mktemp("cdn"), {"eu": 1}, {}) as running:
        running.director("eu", ready=False)
        running.node("origin-eu-0", "origin", "eu")
        running.node("edge-eu-0", "edge", "eu")
        running.settled("eu")
        yield running


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("recording"))


def sessions(server: Program) -> list[str]:
    return [line["session"] for line in server.lines if "session" in line]


@pytest.mark.parametrize(
    ("codec", "video", "options"), [("h264", "video.h264", ()), ("vp8", "video.ivf", ("-lite", "-rsa"))]
)
def test_pion_serves(cdn: BareCdn, recording: Path, codec: str, video: str, options: tuple[str, ...]) -> None:
    """ICE full and lite, certificates of both kinds, a codec that our offer does not name first."""
    stream, port = f"pion_{codec}", free_port()
    pulled = {"region": "eu", "source": {"pull": {"url": f"http://127.0.0.1:{port}/whep/any"}}}
    with pion_server(port, recording, *options, video=video) as server:
        cdn.write_file(cdn.regions["eu"], {stream: pulled})
        until(lambda: live(cdn, "eu", stream), "live", seconds=20)
        seen = our_player_sees(cdn, stream)
        streams = cdn.table("edge-eu-0")["streams"]
        found = [item for item in streams if (item["stream"], item["state"]) == (stream, "live")]
        assert [entry["subject"] for entry in found] == [f"pull:127.0.0.1:{port}"]
        assert [track["codec"] for track in found[0]["tracks"]] == ["opus", codec]
        cdn.write_file(cdn.regions["eu"], {})
        until(lambda: {"deleted": sessions(server)[-1]} in server.lines, "DELETE", seconds=20)
    log = cdn.processes["origin-eu-0"].log.read_text().splitlines()
    silences = sum(f":{port}/" in line and "sends nothing" in line for line in log)
    assert len(sessions(server)) <= 1 + silences, "the origin asks again only where nothing comes"
    certificate, remarks = ("RSA", "ICE lite") if options else ("ECDSA", "")
    note(Row(pion_name(), "serves", f"{codec.upper()}, Opus", certificate, None, seen, remarks))
