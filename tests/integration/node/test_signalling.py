"""A node's HTTP, at a real node: what is taken, what is refused and with which words."""

import asyncio
import socket

import pytest

from node.clients import FRAGMENT, SDP, let_in, publisher, session_url, viewer
from rivulet_scene.bare import BareCdn, metric
from rivulet_scene.http import Answer, get, request
from rivulet_scene.waiting import until

pytestmark = pytest.mark.timeout(150)


def slug(answer: Answer) -> str:
    assert answer.headers["Content-Type"] == "application/problem+json", answer
    assert answer.json["status"] == answer.status
    return str(answer.json["type"]).rpartition("/")[2]


@pytest.fixture
def origin(region: BareCdn) -> str:
    return region.processes["origin-eu-0"].http


@pytest.fixture
def edge(region: BareCdn) -> str:
    return region.processes["edge-eu-0"].http


def test_a_publisher_needs_a_director_to_let_it_in(region: BareCdn, origin: str) -> None:
    """S2."""
    for headers in ({}, {"Rivulet-Join": "wrong"}, {"Authorization": f"Bearer {region.regions['eu'].join_token}"}):
        answer = request("POST", f"{origin}/whip/test_eu", body="v=0", headers=SDP | headers)
        assert (answer.status, slug(answer)) == (401, "unauthorized")


def test_an_edge_takes_no_publisher(region: BareCdn, edge: str) -> None:
    answer = request("POST", f"{edge}/whip/test_eu", body="v=0", headers=SDP | let_in(region))
    assert (answer.status, slug(answer)) == (403, "wrong-role")


@pytest.mark.parametrize(
    ("body", "content_type", "status", "problem"),
    [
        ("v=0", "application/json", 415, "wrong-media-type"),
        ("hello", "application/sdp", 400, "bad-request"),
        ("", "application/sdp", 400, "bad-request"),
        ("v=0\r\n" + "a=x\r\n" * 20_000, "application/sdp", 413, "too-large"),
    ],
    ids=["json", "no SDP", "empty", "100 KB"],
)
def test_bodies_that_are_no_offer_are_refused(
    region: BareCdn, origin: str, body: str, content_type: str, status: int, problem: str
) -> None:
    headers = {"Content-Type": content_type, **let_in(region)}
    answer = request("POST", f"{origin}/whip/test_eu", body=body, headers=headers)
    assert (answer.status, slug(answer)) == (status, problem)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


async def test_an_offer_without_a_common_codec_says_what_was_offered(region: BareCdn, origin: str) -> None:
    async with publisher() as camera:
        offer = camera.offer
    foreign = offer.replace(" H264/90000", " THEORA/90000").replace(" VP8/90000", " THEORA/90000")
    answer = request("POST", f"{origin}/whip/test_eu", body=foreign, headers=SDP | let_in(region))
    assert (answer.status, slug(answer)) == (422, "not-playable")
    assert "theora" in answer.json["offered"]


def test_endpoints_answer_get_head_and_options(origin: str) -> None:
    assert get(f"{origin}/whip/test_eu").status == 204
    options = request("OPTIONS", f"{origin}/whip/test_eu")
    assert (options.status, options.headers["Accept-Post"]) == (200, "application/sdp")
    assert "If-Match" in options.headers["Access-Control-Allow-Headers"]
    assert options.headers["Link"] is None
    assert request("PUT", f"{origin}/whip/test_eu").status == 405


def test_unknown_names_and_paths_are_not_found(edge: str) -> None:
    """D20."""
    for path in ("/whep/nobody", "/whep/-bad", f"/whep/{'x' * 129}", "/nothing"):
        answer = request("POST", f"{edge}{path}", body="v=0", headers=SDP)
        assert (answer.status, slug(answer)) == (404, "not-found"), path


def test_a_session_of_another_node_is_not_found(origin: str) -> None:
    answer = get(f"{origin}/session/origin-eu-0/000000000000/0123456789abcdef")
    assert (answer.status, slug(answer)) == (404, "not-found")


async def test_a_session_from_post_to_delete(region: BareCdn, origin: str) -> None:
    async with publisher() as camera:
        answer = await camera.post(f"{origin}/whip/other_eu", let_in(region))
        assert answer.status == 201
        assert answer.headers["Content-Type"] == "application/sdp"
        url, tag = session_url(origin, answer), answer.headers["ETag"]
        assert tag.startswith('"')
        assert (get(url).status, get(url).body) == (200, "")
        assert request("OPTIONS", url).headers["Accept-Patch"] == FRAGMENT
        await camera.connect()
        check_patches(url, tag, camera.offer)
        assert request("DELETE", url, headers={"If-Match": '"stale"'}).status == 200
        gone = get(url)
        assert (gone.status, slug(gone), gone.json["reason"]) == (410, "ended", "deleted")
        assert request("DELETE", url).status == 410
        async with asyncio.timeout(10):
            await camera.ended.wait()


def check_patches(url: str, tag: str, offer: str) -> None:
    user = next(line for line in offer.splitlines() if line.startswith("a=ice-ufrag:"))
    password = next(line for line in offer.splitlines() if line.startswith("a=ice-pwd:"))
    candidate = "a=mid:0\r\na=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host\r\n"
    trickle = f"{user}\r\n{password}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 96\r\n{candidate}"
    restart = f"a=ice-ufrag:newu\r\na=ice-pwd:{'n' * 24}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\n"

    def patch(body: str, content_type: str = FRAGMENT, **headers: str) -> Answer:
        headers = {"Content-Type": content_type, **headers}
        return request(
            "PATCH", url, body=body, headers={name.replace("_", "-"): text for name, text in headers.items()}
        )

    assert patch(trickle, "application/sdp").status == 415
    answer = patch(trickle, If_Match=f'"other", {tag}')
    assert (answer.status, answer.body, answer.headers["ETag"]) == (204, "", None)
    for fragment in (trickle, restart):
        assert slug(patch(fragment)) == "if-match-required"
        stale = patch(fragment, If_Match='"stale"')
        assert (slug(stale), stale.headers["ETag"]) == ("stale-etag", tag)


async def test_a_relay_is_for_nodes_with_the_join_token(region: BareCdn, origin: str, edge: str) -> None:
    """R5 S2."""
    bearer = {"Authorization": f"Bearer {region.regions['eu'].join_token}"}
    node = {"Rivulet-Node": "edge-eu-0/000000000000"}
    cases = (
        (origin, node, 401, "unauthorized"),
        (origin, node | {"Authorization": "Bearer wrong"}, 401, "unauthorized"),
        (edge, node | bearer, 403, "wrong-role"),
        (origin, bearer, 400, "bad-request"),
        (origin, node | bearer, 403, "not-here"),
    )
    for where, headers, status, problem in cases:
        answer = request("POST", f"{where}/relay/never_was", body="v=0", headers=SDP | headers)
        assert (answer.status, slug(answer)) == (status, problem), (headers, answer.body)


async def test_a_full_node_says_so(region: BareCdn, origin: str) -> None:
    small = region.node("small-eu-0", "edge", "eu", "--capacity-viewers", "1").http
    try:
        async with publisher() as camera, viewer() as first, viewer() as second:
            await camera.post(f"{origin}/whip/third_eu", let_in(region))
            await camera.connect()
            await asyncio.to_thread(until, lambda: get(f"{small}/whep/third_eu").status == 204, "known", seconds=15)
            assert (await first.post(f"{small}/whep/third_eu")).status == 201
            answer = await second.post(f"{small}/whep/third_eu")
            assert (answer.status, slug(answer)) == (503, "full")
            assert int(answer.headers["Retry-After"]) > 0
            await asyncio.to_thread(request, "DELETE", session_url(origin, camera.posted))
    finally:
        region.processes["small-eu-0"].stop()


def test_probes_and_metrics_are_there(edge: str) -> None:
    assert (get(f"{edge}/healthz").status, get(f"{edge}/readyz").status) == (200, 200)
    body = get(f"{edge}/metrics").body
    for name in ('rivulet_sessions{kind="viewer"}', 'rivulet_relays{direction="in"}', "rivulet_packets_sent_total"):
        assert name in body
    assert "session=" not in body


def test_whatever_comes_to_the_media_port_is_counted_with_its_bytes(region: BareCdn, edge: str) -> None:
    """As the metrics' help says: an idle node hears nothing but what is sent here."""
    names = ("rivulet_packets_received_total", "rivulet_bytes_received_total", "rivulet_unknown_datagrams_total")

    def counted() -> list[float]:
        return [metric(edge, name) for name in names]

    port = next(each["mediaPort"] for each in region.table("edge-eu-0")["nodes"] if each["node"] == "edge-eu-0")
    before = counted()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for size in (1, 50, 1200):
            sender.sendto(b"\xff" * size, ("127.0.0.1", port))
    until(
        lambda: [now - then for now, then in zip(counted(), before, strict=True)] == [3, 1251, 3], "counted", seconds=10
    )
