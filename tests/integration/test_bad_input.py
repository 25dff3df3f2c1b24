"""What no honest client sends, to the front door and straight to a node: refused in words, and nobody else notices."""

import asyncio
import http.client
import itertools
import os
import random
import re
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection

from rivulet_scene.bare import BareCdn, delete, metric
from rivulet_scene.clients import probe
from rivulet_scene.http import Answer, get, request
from rivulet_scene.waiting import until
from steps import publish

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
NEVER = "0123456789abcdef"
RETRIED = {"not-live", "full", "settling", "region-unreachable", "no-node"}


async def _offer(direction: str, *kinds: str) -> str:
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    for kind in kinds:
        peer.addTransceiver(kind, direction=direction)
    await peer.setLocalDescription(await peer.createOffer())
    text = str(peer.localDescription.sdp)
    await peer.close()
    return text


def offer(protocol: str, *kinds: str) -> str:
    """A real client's offer for that endpoint; nobody will ever connect with it."""
    direction = "sendonly" if protocol == "whip" else "recvonly"
    return asyncio.run(_offer(direction, *(kinds or ("audio", "video"))))


def with_foreign_codecs(text: str) -> str:
    return re.sub(r"(a=rtpmap:\d+ )[A-Za-z0-9]+", r"\1THEORA", text)


@dataclass(frozen=True)
class Entrance:
    """A way to WHIP and WHEP: the region's front door, or a node itself."""

    name: str
    whip: str
    whep: str
    publisher: Mapping[str, str] = field(repr=False)

    def post(self, protocol: str, body: str, content_type: str = SDP) -> Answer:
        url = f"{self.whip}/whip/second_eu" if protocol == "whip" else f"{self.whep}/whep/test_eu"
        headers = {"Content-Type": content_type, **(self.publisher if protocol == "whip" else {})}
        return request("POST", url, body=body, headers=headers)

    def created(self, protocol: str) -> str:
        """The URL of a new session."""
        answer = self.post(protocol, offer(protocol))
        assert answer.status == 201, answer
        return (self.whip if protocol == "whip" else self.whep) + answer.headers["Location"]


@pytest.fixture(scope="module")
def playing(cdn: BareCdn) -> Iterator[BareCdn]:
    """`test_eu` is live all the time."""
    with publish(cdn, "test_eu"):
        yield cdn


@pytest.fixture(params=["front door", "node"])
def entrance(request: pytest.FixtureRequest, playing: BareCdn) -> Entrance:
    if request.param == "front door":
        door = playing.regions["eu"].public()
        return Entrance("front door", door, door, {"Authorization": f"Bearer {playing.token('second_eu')}"})
    let_in = {"Rivulet-Join": playing.regions["eu"].join_token, "Rivulet-Subject": "camera-1"}
    nodes = playing.processes
    return Entrance("node", nodes["origin-eu-0"].http, nodes["edge-eu-0"].http, let_in)


def assert_refused(answer: Answer, status: int, slug: str) -> dict[str, Any]:
    """Problem JSON with all its members, readable from another site's page."""
    assert answer.status == status, (answer.status, answer.body)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    exposed = answer.headers["Access-Control-Expose-Headers"].replace(" ", "").split(",")
    assert set(exposed) >= {"Location", "ETag", "Link", "Retry-After"}
    problem: dict[str, Any] = answer.json
    assert problem["type"] == f"https://rivulet.dev/problems/{slug}", problem
    assert problem["status"] == status
    assert problem["title"]
    assert len(problem["detail"]) > 10, problem
    assert ("Retry-After" in answer.headers) is (slug in RETRIED)
    return problem


@pytest.mark.parametrize("protocol", ["whip", "whep"])
def test_bodies_that_are_no_offer_are_refused(entrance: Entrance, protocol: str) -> None:
    """S5: 400, 413, 415; a session is never made."""
    good = offer(protocol)
    half = good[: good.index("a=fingerprint")]
    cases = {
        "no SDP": ("hello", SDP, 400, "bad-request"),
        "empty": ("", SDP, 400, "bad-request"),
        "zeros": ("\0" * 100, SDP, 400, "bad-request"),
        "no media": (good[: good.index("m=")], SDP, 400, "bad-request"),
        "cut in the middle": (half, SDP, 400, "bad-request"),
        "no ICE": (good.replace("a=ice-ufrag", "a=x-ufrag"), SDP, 400, "bad-request"),
        "numbers beyond all bounds": (re.sub(r"rtpmap:\d+", "rtpmap:" + "9" * 40, good), SDP, 422, "not-playable"),
        "100 KB": (good + "a=x\r\n" * 20_000, SDP, 413, "too-large"),
        "JSON": (good, "application/json", 415, "wrong-media-type"),
        "a form, as curl sends": (good, "application/x-www-form-urlencoded", 415, "wrong-media-type"),
        "a fragment": (good, FRAGMENT, 415, "wrong-media-type"),
    }
    wrong = {}
    for name, (body, content_type, status, slug) in cases.items():
        try:
            assert_refused(entrance.post(protocol, body, content_type), status, slug)
        except AssertionError as error:
            wrong[name] = str(error)[:300]
    assert not wrong


@pytest.mark.parametrize("protocol", ["whip", "whep"])
def test_offers_broken_at_random_are_answered_or_refused(entrance: Entrance, protocol: str) -> None:
    """S5: 150 real offers with bytes changed, lines dropped, doubled and swapped: never a 5xx, nothing stays behind."""
    draw = random.Random(7)  # noqa: S311 - the same cases in every run
    good = offer(protocol)
    for number in range(150):
        answer = entrance.post(protocol, broken(good, draw))
        if answer.status == 201:
            where = entrance.whip if protocol == "whip" else entrance.whep
            assert delete(where + answer.headers["Location"]).status == 200
        else:
            assert answer.status in (400, 422), (number, answer)
            assert_refused(answer, answer.status, "bad-request" if answer.status == 400 else "not-playable")


def broken(text: str, draw: random.Random) -> str:
    """The text with one to four accidents."""
    lines = text.splitlines()
    for _ in range(draw.randint(1, 4)):
        at, other = draw.randrange(len(lines)), draw.randrange(len(lines))
        line = lines[at]
        place = draw.randrange(len(line) + 1)
        lines[at : at + 1] = draw.choice(
            [
                [],
                [line, line],
                [lines[other]],
                [line[:place]],
                [line[:place] + chr(draw.randrange(1, 0x2FF)) + line[place + 1 :]],
                [re.sub(r"\d+", str(draw.choice([0, -1, 2**16, 2**32, 10**30])), line, count=1)],
                [line + " " + line[place:] * 40],
            ]
        ) or [""]
    return "\r\n".join(lines) + "\r\n"


def test_a_body_that_is_no_text_is_refused(entrance: Entrance) -> None:
    url = urlsplit(f"{entrance.whep}/whep/test_eu")
    connection = http.client.HTTPConnection(url.netloc, timeout=10)
    try:
        connection.request("POST", url.path, body=b"v=0\r\n\xff\xfe\x80", headers={"Content-Type": SDP})
        answer = connection.getresponse()
        assert_refused(Answer(answer.status, answer.headers, answer.read().decode()), 400, "bad-request")
    finally:
        connection.close()


@pytest.mark.parametrize("protocol", ["whip", "whep"])
def test_unknown_codecs_are_named_beside_those_that_would_do(entrance: Entrance, protocol: str) -> None:
    problem = assert_refused(entrance.post(protocol, with_foreign_codecs(offer(protocol))), 422, "not-playable")
    assert "theora" in problem["offered"]
    assert "h264" in problem["published" if protocol == "whep" else "accepted"]


def test_more_than_one_track_of_a_kind_is_refused(entrance: Entrance) -> None:
    """R17's limit (RFC 9725 §4.2): one audio, one video; the whole POST fails, never single m= lines."""
    for kinds in (("video", "video"), ("audio", "audio", "video"), ("video",) * 20):
        assert_refused(entrance.post("whip", offer("whip", *kinds)), 422, "not-playable")


def test_offers_in_the_wrong_direction_are_refused(entrance: Entrance) -> None:
    """A viewer at the publisher's door and the other way round."""
    for protocol, other in (("whip", "whep"), ("whep", "whip")):
        answer = entrance.post(protocol, offer(other))
        assert answer.status in (400, 422), (protocol, answer)
        assert_refused(answer, answer.status, "bad-request" if answer.status == 400 else "not-playable")


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


@pytest.mark.timeout(60)
def test_garbage_on_the_media_ports_disturbs_nobody(playing: BareCdn) -> None:
    """The picture goes on; what came from nobody is counted."""
    door = playing.regions["eu"].public()
    ports = {entry["node"]: entry["mediaPort"] for entry in playing.table("edge-eu-0")["nodes"]}
    slots = ("edge-eu-0", "origin-eu-0")
    before = {slot: metric(playing.processes[slot].http, "rivulet_unknown_datagrams_total") for slot in slots}
    datagrams = [datagram for datagram in garbage() if datagram] * 20
    with probe(f"{door}/n/edge-eu-0/whep/test_eu", seconds=8) as viewer:
        viewer.line(0)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for datagram in datagrams:
                for slot in slots:
                    sender.sendto(datagram, ("127.0.0.1", ports[slot]))
        for slot in slots:
            counted = metric(playing.processes[slot].http, "rivulet_unknown_datagrams_total") - before[slot]
            # Clients of tests before this one may yet say something to sessions that have ended.
            assert 0.9 * len(datagrams) <= counted <= 1.05 * len(datagrams), slot
        seen = viewer.result()
    assert seen["video"]["longest_gap_ms"] < 1000, seen
    assert seen["video"]["fps"] >= 0.95 * 15, seen


@pytest.mark.timeout(60)
def test_those_who_never_connect_are_gone_after_the_handshake_time_out(playing: BareCdn) -> None:
    """S5: a publisher that never completes ICE holds its name no longer than its session; nothing of it stays."""
    door = playing.regions["eu"].public()
    origin, edge = (playing.processes[slot].http for slot in ("origin-eu-0", "edge-eu-0"))
    publishers = metric(origin, "rivulet_sessions", kind="publisher")
    way_in = Entrance(
        "front door", door, f"{door}/n/edge-eu-0", {"Authorization": f"Bearer {playing.token('second_eu')}"}
    )
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
