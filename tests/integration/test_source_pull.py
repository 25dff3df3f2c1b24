"""Streams that are pulled from a foreign WHEP server: Pion's, and another CDN of ours."""

import itertools
import json
import subprocess
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from conftest import keep_logs
from foreign_server import Said, ScriptedServer, pion_server
from recording import record
from rivulet_scene.bare import BareCdn, Process
from rivulet_scene.clients import Client, probe
from rivulet_scene.http import get, request
from rivulet_scene.ports import free_port
from rivulet_scene.waiting import until
from steps import live, live_entries, pictures, publish, state

pytestmark = pytest.mark.timeout(180)

RETRY_AFTER = 4
FRAMES, SOUNDS = 30, 50  # a second of each


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("recording"))


@pytest.fixture(scope="module")
def cdn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BareCdn]:
    """A region with two directors, two origins and an edge; its streams are each test's."""
    directory = tmp_path_factory.mktemp("pulls")
    with BareCdn(directory, {"eu": 2}, {}) as running:
        for number in (0, 1):
            running.director("eu", number, ready=False)
        for slot, role in (("origin-eu-0", "origin"), ("origin-eu-1", "origin"), ("edge-eu-0", "edge")):
            running.node(slot, role, "eu")
        for number in (0, 1):
            running.settled("eu", number)
        yield running
        keep_logs(directory)


def declare(cdn: BareCdn, secrets: dict[str, dict[str, str]] | None = None, **streams: dict[str, Any]) -> None:
    """These are the CDN's streams now."""
    kinds = {"apiVersion": "v1", "kind": "Secret"}
    cdn.more = [{**kinds, "metadata": {"name": name}, "stringData": data} for name, data in (secrets or {}).items()]
    cdn.write_file(cdn.regions["eu"], {name: {"region": "eu", **spec} for name, spec in streams.items()})
    until(lambda: all(get(url).status == 200 for url in _public(cdn, streams)), "declared", seconds=15)


def _public(cdn: BareCdn, streams: Iterable[str]) -> list[str]:
    return [f"{cdn.regions['eu'].public(director)}/v1/streams/{name}" for name in streams for director in (0, 1)]


def pulled_from(url: str, **more: Any) -> dict[str, Any]:
    return {"source": {"pull": {"url": url, **more.pop("pull", {})}}, **more}


def whep(cdn: BareCdn, stream: str) -> str:
    return f"{cdn.regions['eu'].public()}/whep/{stream}"


def entry(cdn: BareCdn, stream: str) -> dict[str, Any]:
    """The live entry of a stream; the edge hears of it a moment after its director."""
    return until(lambda: live_entries(cdn, "edge-eu-0", stream) or None, f"{stream} live at the edge", seconds=10)[0]


def moved_from(cdn: BareCdn, origin: str) -> bool:
    """Whether the stream `moved` is live at another one."""
    return any(entry["origin"] != origin for entry in live_entries(cdn, "edge-eu-0", "moved"))


def has_ended(process: Process) -> bool:
    """Whether a process has gone."""
    return not process.running


def goes_on(viewer: Client) -> None:
    """Two seconds more of picture."""
    before = pictures(viewer)
    until(lambda: pictures(viewer) > before + 2 * FRAMES, "the viewer goes on", seconds=20)


def said(cdn: BareCdn, words: str) -> bool:
    """Whether an origin's log has these words."""
    return any(words in cdn.processes[slot].log.read_text() for slot in ("origin-eu-0", "origin-eu-1"))


def test_a_server_that_is_killed_and_comes_back_goes_on_for_its_viewers(cdn: BareCdn, recording: Path) -> None:
    port = free_port()
    with pion_server(port, recording) as server:
        declare(cdn, back=pulled_from(f"http://127.0.0.1:{port}/whep/any", holdSeconds=60))
        until(lambda: live(cdn, "eu", "back"), "live", seconds=20)
        with probe(whep(cdn, "back"), "--until-ended", seconds=90) as viewer:
            viewer.line(0)
            before = entry(cdn, "back")
            server.kill()
            until(lambda: state(cdn, "edge-eu-0", "back") == "lost", "lost", seconds=10)
            until(lambda: said(cdn, f"127.0.0.1:{port}/whep/any: Connect"), "said why", seconds=20)
            with pion_server(port, recording):
                until(lambda: live(cdn, "eu", "back"), "live again", seconds=25)
                after = entry(cdn, "back")
                goes_on(viewer)
                assert viewer.process.poll() is None
                declare(cdn)
                seen = viewer.result(seconds=20)
    assert after["origin"] == before["origin"]
    assert after["incarnation"] != before["incarnation"]
    assert seen["ended"] == "stream-ended", seen


def test_another_cdn_of_ours_is_pulled_as_any_server(cdn: BareCdn, tmp_path: Path) -> None:
    """Its edge may say 409 for as long as nobody publishes: that is asked again."""
    with BareCdn(tmp_path, {"us": 1}, {"there": {"region": "us"}}) as other:
        other.director("us", ready=False)
        other.node("origin-us-0", "origin", "us")
        other.node("edge-us-0", "edge", "us")
        other.settled("us")
        declare(cdn, here=pulled_from(f"{other.regions['us'].public()}/whep/there"))
        until(lambda: said(cdn, "answers 409"), "not live", seconds=15)
        with publish(other, "there", region="us"):
            until(lambda: live(cdn, "eu", "here"), "live", seconds=25)
            with probe(whep(cdn, "here"), "--wait", "15", seconds=8) as viewer:
                seen = viewer.result()
            assert seen["video"]["frames"] >= FRAMES, seen
            assert seen["audio"]["frames"] >= SOUNDS, seen
        declare(cdn)


def test_another_origin_takes_over_from_one_that_is_killed_or_drained(cdn: BareCdn, recording: Path) -> None:
    port = free_port()
    with pion_server(port, recording):
        declare(cdn, moved=pulled_from(f"http://127.0.0.1:{port}/whep/any", holdSeconds=60))
        until(lambda: live(cdn, "eu", "moved"), "live", seconds=20)
        with probe(whep(cdn, "moved"), "--until-ended", seconds=100) as viewer:
            viewer.line(0)
            for leave in ("kill", "terminate"):
                first = entry(cdn, "moved")["origin"]
                process = cdn.processes[first.partition("/")[0]]
                getattr(process, leave)()
                until(partial(moved_from, cdn, first), f"the other has it after {leave}", seconds=30)
                goes_on(viewer)
                until(partial(has_ended, process), "the first is gone", seconds=30)
                cdn.node(process.name, "origin", "eu")
            declare(cdn)
            seen = viewer.result(seconds=20)
    assert seen["ended"] == "stream-ended", seen


def _answers(said_of: dict[str, Said]) -> Any:
    return lambda asked: said_of.get(asked.path.partition("?")[0], Said(204))


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("missing", Said(404, "<html>no</html>"), "answers 404"),
        ("refused", Said(403, json.dumps({"detail": "you\nmay not"})), "answers 403: you may not"),
        (
            "garbage",
            Said(201, "hello", {"Location": "/session/1"}),
            "answers what is of no use: the SDP does not begin",
        ),
        ("empty", Said(201, ""), "answers what is of no use"),
        ("huge", Said(201, "v=0\r\n" * 20_000), "answers with more than"),
        ("circle", Said(307, "", {"Location": "/circle"}), "redirects more than 3 times"),
        ("astray", Said(308, "", {"Location": "ftp://127.0.0.1/x"}), "redirects to nowhere"),
        ("page", Said(200, "<html>"), "answers 200"),
        ("echo", Said(401, "who is key=hidden?"), "answers 401: who is …?"),
    ],
)
def test_what_is_wrong_with_a_server_is_said_and_tried_again(cdn: BareCdn, name: str, answer: Said, words: str) -> None:
    with ScriptedServer(free_port(), _answers({f"/{name}": answer})) as server:
        declare(cdn, **{f"bad_{name}": pulled_from(f"{server.url}/{name}?key=hidden")})
        until(lambda: said(cdn, f"/{name} {words}"), "said", seconds=15)
        asked = len(server.asked)
        until(lambda: len(server.asked) > asked, "tried again", seconds=15)
        declare(cdn)
    assert not said(cdn, "hidden"), "what may be a secret stays one"


def test_a_server_that_is_not_there_is_named_and_its_retry_after_is_kept(cdn: BareCdn) -> None:
    nobody = free_port()
    with ScriptedServer(free_port(), lambda _: Said(503, "", {"Retry-After": str(RETRY_AFTER)})) as server:
        urls = {"gone": f"http://127.0.0.1:{nobody}/x", "busy": f"{server.url}/x"}
        declare(cdn, **{name: pulled_from(url) for name, url in urls.items()})
        until(lambda: said(cdn, f"127.0.0.1:{nobody}/x: Connect"), "named", seconds=15)
        until(lambda: len(server.asked) >= 3, "asked again", seconds=30)
        declare(cdn)
    times = [asked.at for asked in server.asked]
    assert all(later - earlier >= RETRY_AFTER for earlier, later in itertools.pairwise(times)), times


def test_a_server_that_nobody_vouches_for_is_sent_nothing(cdn: BareCdn, tmp_path: Path) -> None:
    """HTTPS: its certificate must be of a known authority and name the host."""
    file = tmp_path / "both.pem"
    request_one = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-days", "1"]
    subprocess.run(
        [*request_one, "-keyout", file, "-out", tmp_path / "cert.pem"], check=True, stderr=subprocess.DEVNULL
    )
    file.write_text(file.read_text() + (tmp_path / "cert.pem").read_text())
    with ScriptedServer(free_port(), lambda _: Said(404), certificate=file) as server:
        declare(cdn, unknown=pulled_from(f"{server.url}/x"))
        until(lambda: said(cdn, f"{server.url}/x: its certificate is not valid"), "said", seconds=15)
        declare(cdn)
    assert not server.asked


def test_a_token_goes_to_its_server_and_no_further(cdn: BareCdn, recording: Path) -> None:
    """Redirected elsewhere the request goes without it; a session elsewhere is not deleted with it either."""
    port = free_port()
    elsewhere = Said(307, "", {"Location": f"http://127.0.0.1:{port}/elsewhere"})
    with ScriptedServer(port, lambda _: Said(404)) as other, ScriptedServer(free_port(), lambda _: elsewhere) as server:
        pull = {"pull": {"secretRef": {"name": "pull-there", "key": "token"}}}
        declare(cdn, told=pulled_from(f"{server.url}/x", **pull))
        until(lambda: said(cdn, "no Secret pull-there"), "waits for its Secret", seconds=10)
        assert not server.asked
        declare(cdn, {"pull-there": {"token": "s3cret\n"}}, told=pulled_from(f"{server.url}/x", **pull))
        until(lambda: bool(other.asked), "redirected", seconds=15)
        declare(cdn)
    assert {asked.authorization for asked in server.asked} == {"Bearer s3cret"}
    assert {asked.authorization for asked in other.asked} == {None}
    assert not said(cdn, "s3cret")
    port = free_port()
    with pion_server(port, recording, "-token", "s3cret"):
        url = f"http://127.0.0.1:{port}/whep/any"
        declare(cdn, {"pull-there": {"token": "s3cret"}}, trusted=pulled_from(url, **pull))
        until(lambda: live(cdn, "eu", "trusted"), "live", seconds=20)
        declare(cdn)


def test_nobody_publishes_a_stream_that_is_pulled(cdn: BareCdn) -> None:
    declare(cdn, taken=pulled_from(f"http://127.0.0.1:{free_port()}/x"))
    headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {cdn.token('taken')}"}
    door = f"{cdn.regions['eu'].public()}/whip/taken"
    until(lambda: request("POST", door, body="v=0", headers=headers).status == 403, "refused", seconds=10)
    refused = request("POST", door, body="v=0", headers=headers)
    assert (refused.json["type"].rpartition("/")[2], "pulled from another server" in refused.json["detail"]) == (
        "pulled",
        True,
    )
    assert request("POST", door, body="v=0", headers={"Content-Type": "application/sdp"}).status == 401
    declare(cdn)


def test_who_publishes_is_not_cut_when_the_stream_is_to_be_pulled(cdn: BareCdn, recording: Path) -> None:
    """The other way round the pull ends at once."""
    port = free_port()
    with pion_server(port, recording) as server:
        declare(cdn, both={})
        with publish(cdn, "both"):
            camera = entry(cdn, "both")
            declare(cdn, both=pulled_from(f"http://127.0.0.1:{port}/whep/any"))
            until(lambda: said(cdn, "both is being published by camera-1"), "waits", seconds=15)
            assert entry(cdn, "both")["incarnation"] == camera["incarnation"]
        until(lambda: live(cdn, "eu", "both"), "pulled", seconds=25)
        until(lambda: entry(cdn, "both")["subject"].startswith("pull:"), "by the pull", seconds=10)
        declare(cdn, both={})
        until(lambda: any("deleted" in line for line in server.lines), "let go", seconds=10)
        with publish(cdn, "both"):
            until(lambda: entry(cdn, "both")["subject"] == "camera-1", "by the camera", seconds=10)
        declare(cdn)


def test_a_changed_url_is_followed_and_viewers_stay(cdn: BareCdn, recording: Path) -> None:
    ports = (free_port(), free_port())
    with pion_server(ports[0], recording), pion_server(ports[1], recording):
        declare(cdn, roams=pulled_from(f"http://127.0.0.1:{ports[0]}/whep/any"))
        until(lambda: live(cdn, "eu", "roams"), "live", seconds=20)
        with probe(whep(cdn, "roams"), "--until-ended", seconds=60) as viewer:
            viewer.line(0)
            declare(cdn, roams=pulled_from(f"http://127.0.0.1:{ports[1]}/whep/any"))
            subject = f"pull:127.0.0.1:{ports[1]}"
            until(lambda: entry(cdn, "roams")["subject"] == subject, "moved", seconds=20)
            goes_on(viewer)
            declare(cdn)
            assert viewer.result(seconds=20)["ended"] == "stream-ended"


def test_directors_that_restart_cut_nothing(cdn: BareCdn, recording: Path) -> None:
    port = free_port()
    with pion_server(port, recording) as server:
        declare(cdn, steady=pulled_from(f"http://127.0.0.1:{port}/whep/any"))
        until(lambda: live(cdn, "eu", "steady"), "live", seconds=20)
        before = entry(cdn, "steady")
        for numbers in ((0,), (1,), (0, 1)):
            for number in numbers:
                cdn.processes[f"director-eu-{number}"].kill()
            for number in numbers:
                cdn.director("eu", number)
        until(lambda: live(cdn, "eu", "steady"), "still live", seconds=20)
        assert entry(cdn, "steady")["incarnation"] == before["incarnation"]
        assert len([line for line in server.lines if "session" in line]) == 1
        declare(cdn)
