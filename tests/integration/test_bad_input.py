"""What no honest client sends, to the front door and straight to a node: refused in words, and nobody else notices."""

import itertools
import os
import socket
import struct
from collections.abc import Mapping
from urllib.parse import urlsplit

import pytest

from entrances import FRAGMENT, NEVER, SDP, Entrance, assert_refused, offer
from rivulet_scene.bare import BareCdn, delete, metric
from rivulet_scene.clients import probe
from rivulet_scene.http import get, request
from rivulet_scene.waiting import until
from steps import CUT_MS, pictures, publish


@pytest.mark.parametrize("protocol", ["whip", "whep"])
def test_a_session_takes_fragments_only_and_says_how_it_ended(entrance: Entrance, protocol: str) -> None:
    url = entrance.created(protocol)
    try:
        for body, content_type, status, slug in (
            ("a=x", "application/json", 415, "wrong-media-type"),
            (offer(protocol), SDP, 415, "wrong-media-type"),
            ("\0\1\2", FRAGMENT, 400, "bad-request"),
            ("a=candidate:x\r\n" * 6000, FRAGMENT, 413, "too-large"),
        ):
            headers = {"Content-Type": content_type, "If-Match": "*"}
            assert_refused(request("PATCH", url, body=body, headers=headers), status, slug)
        assert_refused(request("POST", url, body="x", headers={"Content-Type": SDP}), 405, "method-not-allowed")
        looked = get(url)
        assert (looked.status, looked.body) == (200, "")
    finally:
        assert delete(url).status == 200
    for method in ("GET", "PATCH", "DELETE"):
        problem = assert_refused(request(method, url, body="", headers={"Content-Type": FRAGMENT}), 410, "ended")
        assert problem["reason"] == "deleted"


def test_sessions_that_never_were_are_not_found(entrance: Entrance, playing: BareCdn) -> None:
    edge = playing.table("edge-eu-0")["self"]
    for method in ("GET", "PATCH", "DELETE"):
        for ref in (edge, "edge-eu-0/000000000000", "nobody/0"):
            url = f"{entrance.whep}/session/{ref}/{NEVER}"
            assert_refused(request(method, url, body="", headers={"Content-Type": FRAGMENT}), 404, "not-found")


def test_a_session_url_leads_to_a_session_and_nowhere_else(playing: BareCdn) -> None:
    """S5: what is inside of a node stays inside, however a path is written."""
    door, other = playing.regions["eu"].public(), playing.regions["us"].public()
    ref = playing.table("edge-eu-0")["self"]
    inside = (
        "..%2F..%2F..%2Fv1%2Ftable",
        "..%2F..%2F..%2Fmetrics",
        "%2e%2e%2F%2e%2e%2F%2e%2e%2Fhealthz",
        f"{NEVER}%3Fx",
    )
    for front in (door, other):
        for path in (*inside, f"{NEVER}%2F..%2F{NEVER}", "%00", "%ff", "x" * 3000):
            assert_refused(get(f"{front}/session/{ref}/{path}"), 404, "not-found")
        for path in inside:
            assert_refused(get(f"{front}/session/{path}/x/{NEVER}"), 404, "not-found")
            answer = request("POST", f"{front}/whep/{path}", body="v=0", headers={"Content-Type": SDP})
            assert_refused(answer, 404, "not-found")


def test_names_and_nodes_that_never_were_are_not_found(playing: BareCdn) -> None:
    """D20 R21."""
    door = playing.regions["eu"].public()
    token = {"Authorization": f"Bearer {playing.token('*')}"}
    for protocol in ("whip", "whep"):
        for path in ("nobody", "-bad", "x" * 129, "%20", "a%2Fb"):
            answer = request("POST", f"{door}/{protocol}/{path}", body="v=0", headers={"Content-Type": SDP, **token})
            assert_refused(answer, 404, "not-found")
        for node in ("nobody", "edge-eu-9", "..%2F.."):
            url = f"{door}/n/{node}/{protocol}/test_eu"
            assert_refused(request("POST", url, body="v=0", headers={"Content-Type": SDP, **token}), 404, "not-found")
    for path in ("/nothing", "/whip", "/whep/", "/session/x", "/v1/join", "/v1/table", "/metrics"):
        assert_refused(get(door + path), 404, "not-found")


def test_an_edge_by_name_takes_no_publisher(playing: BareCdn) -> None:
    door = playing.regions["eu"].public()
    headers = {"Content-Type": SDP, "Authorization": f"Bearer {playing.token('second_eu')}"}
    answer = request("POST", f"{door}/n/edge-eu-0/whip/second_eu", body=offer("whip"), headers=headers)
    assert_refused(answer, 403, "wrong-role")


def test_an_authorization_that_is_none_is_refused_in_words(playing: BareCdn) -> None:
    """S1: whatever stands in the header."""
    url = f"{playing.regions['eu'].public()}/whip/second_eu"
    body = offer("whip")
    for text in ("", "Bearer", "Bearer  ", "Basic Zm9vOmJhcg==", "Bearer a.b", "Bearer ...", "Bearer " + "x" * 4000):
        headers = {"Content-Type": SDP, **({"Authorization": text} if text else {})}
        answer = request("POST", url, body=body, headers=headers)
        assert_refused(answer, 401, "unauthorized")


RAW = {
    "no UTF-8": b"\xff",
    "no UTF-8 in a token": b"Bearer \xff.b.c",
    "one word that is no UTF-8": b"Bearer \xff",
    "a NUL": b"Bearer a\0b",
    "much": b"Bearer " + b"\xc3\xa9" * 2000,
}
NAMES = (
    "Authorization", "Rivulet-Join", "Rivulet-Client", "Rivulet-Subject", "Rivulet-Node", "Rivulet-Layer",
    "Rivulet-Region", "Rivulet-Stream-Policy", "Content-Type", "If-Match", "Accept", "Origin", "X-Forwarded-For",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_headers_of_any_bytes_are_answered_or_refused(entrance: Entrance, playing: BareCdn, name: str) -> None:
    """S5: never a 5xx, by nobody who listens."""
    ref = playing.table("edge-eu-0")["self"]
    session = f"/session/{ref}/{NEVER}"
    asked = [
        *(("POST", url, SDP) for url in (f"{entrance.whip}/whip/second_eu", f"{entrance.whep}/whep/test_eu")),
        ("PATCH", f"{entrance.whep}{session}", FRAGMENT),
        ("GET", f"{entrance.whep}{session}/events", SDP),
    ]
    if entrance.name == "node":
        asked += [("POST", f"{entrance.whip}/relay/test_eu", SDP), ("POST", f"{entrance.whip}/links", SDP)]
    else:
        inside = playing.regions["eu"].internal()
        asked += [("GET", f"{inside}/v1/table", SDP), ("GET", f"{inside}/v1/mesh", SDP)]
        asked += [("POST", f"{playing.regions['us'].public()}/whip/second_eu", SDP)]
    wrong = {}
    for (method, url, content_type), (what, value) in itertools.product(asked, RAW.items()):
        status = raw_status(method, url, {b"Content-Type": content_type.encode(), name.encode(): value})
        if not 200 <= status < 500:
            wrong[f"{method} {url} {what}"] = status
    assert not wrong


def raw_status(method: str, url: str, headers: Mapping[bytes, bytes]) -> int:
    """The status that answers a request with these bytes in its headers, and `v=0` as its body."""
    to = urlsplit(url)
    path = to.path + (f"?{to.query}" if to.query else "")
    lines = [b"%s: %s\r\n" % pair for pair in {b"Host": b"x", b"Content-Length": b"3", **headers}.items()]
    with socket.create_connection((to.hostname, to.port), timeout=10) as connection:
        connection.sendall(f"{method} {path} HTTP/1.1\r\n".encode() + b"".join(lines) + b"Connection: close\r\n\r\nv=0")
        return int(connection.makefile("rb").readline().split()[1])


def test_queries_of_any_characters_are_answered_or_refused(entrance: Entrance, playing: BareCdn) -> None:
    """S5: what stands in a query may go on as a header."""
    session = f"/session/{playing.table('edge-eu-0')['self']}/{NEVER}"
    values = ("%0Aa", "%0D%0ARivulet-Join:x", "%00", "%ff", "%ED%A0%80", "%C3%A9" * 2000, "&&==", "%")
    urls = [
        *(f"{entrance.whep}/whep/test_eu?layer={value}" for value in values),
        *(f"{entrance.whip}/whip/second_eu?token={value}" for value in values),
        *(f"{playing.regions['us'].public()}/whip/second_eu?token={value}" for value in values),
        *(f"{entrance.whep}{session}/events?events={value}" for value in values),
    ]
    statuses = {
        url: raw_status("GET" if "/events" in url else "POST", url, {b"Content-Type": SDP.encode()}) for url in urls
    }
    assert {url: status for url, status in statuses.items() if not 200 <= status < 500} == {}
    refused = request("POST", f"{playing.regions['eu'].public()}/whep/test_eu?layer=%0Aa", body="v=0")
    assert_refused(refused, 400, "bad-request")


def test_a_subject_of_any_characters_is_let_in_or_refused(playing: BareCdn) -> None:
    """S1: a token is signed by somebody we trust, yet its words go into our headers."""
    url = f"{playing.regions['eu'].public()}/whip/second_eu"
    body = offer("whip")
    for subject in ("käm\r\nRivulet-Join: x", "камера", "a b", "x" * 3000):
        token = playing.token("second_eu", subject=subject)
        answer = request("POST", url, body=body, headers={"Content-Type": SDP, "Authorization": f"Bearer {token}"})
        if answer.status == 201:
            assert delete(playing.regions["eu"].public() + answer.headers["Location"]).status == 200
        else:
            assert answer.status in (401, 403), (subject[:20], answer)
            assert_refused(answer, answer.status, "unauthorized" if answer.status == 401 else "forbidden")


def test_a_preflight_needs_no_token_and_gets_no_credentials(entrance: Entrance, playing: BareCdn) -> None:
    ref = playing.table("edge-eu-0")["self"]
    asking = {"Origin": "https://example.com", "Access-Control-Request-Headers": "authorization,content-type,if-match"}
    for path, method, accepted in (
        ("/whip/second_eu", "POST", "Accept-Post"),
        ("/whep/test_eu", "POST", "Accept-Post"),
        (f"/session/{ref}/{NEVER}", "PATCH", "Accept-Patch"),
        (f"/session/{ref}/{NEVER}", "DELETE", "Accept-Patch"),
    ):
        answer = request("OPTIONS", entrance.whep + path, headers={**asking, "Access-Control-Request-Method": method})
        assert answer.status in (200, 204), (path, answer)
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert method in answer.headers["Access-Control-Allow-Methods"]
        allowed = answer.headers["Access-Control-Allow-Headers"].lower()
        assert all(name in allowed for name in ("authorization", "content-type", "if-match"))
        assert answer.headers[accepted] == (SDP if accepted == "Accept-Post" else FRAGMENT)
        assert answer.headers["Link"] is None


def test_endpoints_answer_get_and_head_without_content(entrance: Entrance) -> None:
    for url in (f"{entrance.whip}/whip/second_eu", f"{entrance.whep}/whep/test_eu"):
        for method in ("GET", "HEAD"):
            answer = request(method, url)
            assert answer.status in (200, 204), (url, answer)
            assert answer.body == ""
    assert request("HEAD", f"{entrance.whep}/whep/test_eu").headers["Content-Type"] == SDP
    assert_refused(get(f"{entrance.whep}/whep/nobody"), 404, "not-found")
    assert_refused(request("PUT", f"{entrance.whep}/whep/test_eu", body="x"), 405, "method-not-allowed")


def garbage() -> list[bytes]:
    """Datagrams of every kind that the demultiplexer knows (RFC 7983), broken in every way."""
    stun = struct.pack("!HHI", 1, 8, 0x2112A442) + os.urandom(12)
    dtls, rtp, rtcp = bytes([22, 254, 253]), bytes([0x80, 96]), bytes([0x80, 200])
    heads = (b"", stun, stun[:19], stun[:4], dtls, rtp, rtcp, b"\xff", bytes(1))
    return [head + os.urandom(size) for head in heads for size in (0, 1, 11, 60, 1200)] + [os.urandom(60_000)]


@pytest.mark.timeout(120)
def test_garbage_on_the_media_ports_disturbs_nobody(playing: BareCdn) -> None:
    """The picture goes on; what came from nobody is counted."""
    door = playing.regions["eu"].public()
    ports = {entry["node"]: entry["mediaPort"] for entry in playing.table("edge-eu-0")["nodes"]}
    slots = ("edge-eu-0", "origin-eu-0")
    before = {slot: metric(playing.processes[slot].http, "rivulet_unknown_datagrams_total") for slot in slots}
    datagrams = [datagram for datagram in garbage() if datagram] * 20

    def counted(slot: str) -> float:
        return metric(playing.processes[slot].http, "rivulet_unknown_datagrams_total") - before[slot]

    with probe(f"{door}/n/edge-eu-0/whep/test_eu", seconds=12) as viewer:
        until(lambda: pictures(viewer) > 0, "a picture", seconds=45)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for datagram in datagrams:
                for slot in slots:
                    sender.sendto(datagram, ("127.0.0.1", ports[slot]))
        for slot in slots:
            until(lambda slot=slot: counted(slot) >= 0.9 * len(datagrams), f"counted by {slot}", seconds=10)  # type: ignore[misc]
            # Clients of tests before this one may yet say something to sessions that have ended.
            assert counted(slot) <= 1.05 * len(datagrams), slot
        frames = pictures(viewer)
        until(lambda: pictures(viewer) > frames + 45, "it plays on", seconds=20)
        seen = viewer.result()
    assert seen["video"]["longest_gap_ms"] < CUT_MS, seen


@pytest.mark.timeout(120)
def test_those_who_never_connect_are_gone_after_the_handshake_time_out(playing: BareCdn) -> None:
    """S5: a publisher that never completes ICE holds its name no longer than its session; nothing of it stays."""
    door = playing.regions["eu"].public()
    origin, edge = (playing.processes[slot].http for slot in ("origin-eu-0", "edge-eu-0"))
    publishers = metric(origin, "rivulet_sessions", kind="publisher")
    way_in = Entrance.at_the_door(playing, "edge-eu-0")
    silent = way_in.created("whip")
    watching = [request("POST", f"{way_in.whep}/whep/test_eu", body=offer("whep"), headers={"Content-Type": SDP})]
    assert metric(origin, "rivulet_sessions", kind="publisher") == publishers + 1
    assert metric(edge, "rivulet_sessions", kind="viewer") == 1
    assert metric(edge, "rivulet_relays", direction="in") == 1
    until(lambda: get(silent).status == 410, "the publisher's session is over", seconds=20)
    assert get(silent).json["reason"] == "handshake-timeout"
    for viewer in watching:
        until(lambda url=door + viewer.headers["Location"]: get(url).status == 410, "the viewer's too", seconds=5)  # type: ignore[misc]
    assert metric(origin, "rivulet_sessions", kind="publisher") == publishers
    assert metric(edge, "rivulet_sessions", kind="viewer") == 0
    assert metric(edge, "rivulet_pending_handshakes") == metric(origin, "rivulet_pending_handshakes") == 0
    with publish(playing, "second_eu", "--no-video", subject="somebody-else"):
        assert metric(origin, "rivulet_sessions", kind="publisher") == publishers + 1
    until(lambda: metric(edge, "rivulet_relays", direction="in") == 0, "the relay of nobody ends", seconds=15)
