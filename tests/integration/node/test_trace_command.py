"""`rivulet-media trace` on real sessions: what it notes, what it never notes, and where it ends."""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from light_viewers import LightViewers
from rivulet_scene.bare import BareCdn
from rivulet_scene.command import MEDIA
from rivulet_scene.http import request
from steps import publish

pytestmark = pytest.mark.timeout(150)

RTP_KEYS = {"t", "dir", "peer", "size", "kind", "ssrc", "pt", "seq", "ts", "marker", "header", "ext"}

Line = dict[str, Any]


def traced(region: BareCdn, session: str, *options: str, seconds: int = 3) -> subprocess.CompletedProcess[str]:
    eu = region.regions["eu"]
    words = ["trace", session, "--entry", eu.internal(), "--join-token", eu.join_token, "--seconds", str(seconds)]
    return subprocess.run([MEDIA, *words, *options], capture_output=True, text=True, timeout=60, check=False)


def lines(text: str) -> list[Line]:
    return [json.loads(line) for line in text.splitlines()]


def of(found: list[Line], kind: str, way: str) -> list[Line]:
    return [line for line in found if (line["kind"], line.get("dir")) == (kind, way)]


async def test_a_viewer_s_trace_has_every_header_and_no_payload(region: BareCdn, tmp_path: Path) -> None:
    door = region.regions["eu"].public()
    file = tmp_path / "viewer.jsonl"
    with publish(region, "test_eu"):
        async with LightViewers() as viewers:
            await viewers.join(door, f"{door}/whep/test_eu")
            (url,) = viewers.sessions.values()
            async with asyncio.timeout(30):
                while not all(viewers.received()):  # noqa: ASYNC110 - the engine has no event for it
                    await asyncio.sleep(0.1)
            ended = traced(region, url, "--output", str(file), seconds=6)
    assert ended.returncode == 0, ended.stderr
    found = lines(file.read_text())
    sent = of(found, "rtp", "out")
    assert len(sent) > 6 * 20, len(sent)
    assert {key for line in sent for key in line} == RTP_KEYS
    assert max(len(json.dumps(line)) for line in sent) < 400
    video = [line["seq"] for line in sent if line["size"] > 600]
    assert len(video) > 10
    reports = [packet for line in of(found, "rtcp", "out") for packet in line["packets"] if packet["type"] == "sr"]
    assert {report["ssrc"] for report in reports} == {line["ssrc"] for line in sent}
    heard = [packet["type"] for line in of(found, "rtcp", "in") for packet in line["packets"]]
    assert "rr" in heard, heard
    assert of(found, "stun", "in"), "consent checks"
    assert (found[-1]["kind"], found[-1]["reason"], found[-1]["dropped"]) == ("end", "time", 0)
    assert [line["t"] for line in found] == sorted(line["t"] for line in found)


def test_a_publisher_s_trace_shows_what_arrives_until_it_ends(region: BareCdn) -> None:
    """By its bare session, on standard output; the end of the session is the end of the trace."""
    with publish(region, "test_eu") as camera:
        session = urlsplit(str(camera.line(0)["session"])).path.rpartition("/")[2]
        eu = region.regions["eu"]
        words = ["trace", session, "--entry", eu.internal(), "--join-token", eu.join_token]
        with subprocess.Popen([MEDIA, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tracing:
            assert tracing.stdout is not None
            first = [json.loads(tracing.stdout.readline()) for _ in range(20)]
            camera.stop()
            rest, said = tracing.communicate(timeout=20)
    found = first + lines(rest)
    assert of(found, "rtp", "in")
    assert found[-1]["reason"] == "session-ended", said
    assert tracing.returncode == 0


async def test_a_trace_ends_at_its_size_and_another_may_begin(region: BareCdn) -> None:
    door, edge = region.regions["eu"].public(), region.processes["edge-eu-0"].http
    bearer = {"Authorization": f"Bearer {region.regions['eu'].join_token}"}
    with publish(region, "test_eu"):
        async with LightViewers() as viewers:
            await viewers.join(door, f"{door}/whep/test_eu")
            (url,) = viewers.sessions.values()
            trace = f"{edge}/v1/trace/{url.rpartition('/')[2]}?bytes=5000"
            for _ in range(2):
                answer = request("POST", trace, headers=bearer, seconds=30)
                assert answer.status == 200
                assert len(answer.body) <= 5000
                assert lines(answer.body)[-1]["reason"] == "size"


def test_a_trace_needs_the_join_token_and_a_session(region: BareCdn) -> None:
    """S2: and says so; nothing is traced of one that has ended."""
    edge = region.processes["edge-eu-0"].http
    bearer = {"Authorization": f"Bearer {region.regions['eu'].join_token}"}
    assert request("POST", f"{edge}/v1/trace/0123456789abcdef").status == 401
    assert request("POST", f"{edge}/v1/trace/0123456789abcdef", headers=bearer).status == 404
    assert request("POST", f"{edge}/v1/trace/0123456789abcdef?seconds=no", headers=bearer).status == 400
    ended = traced(region, "0123456789abcdef")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "does not live" in ended.stderr
    assert traced(region, "http://x/nothing").returncode == 2
