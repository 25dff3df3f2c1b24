"""Endpoints and sessions as HTTP resources: GET, HEAD, OPTIONS, DELETE, CORS, ICE servers."""

import contextlib
import re
import time

import pytest

from protocol import line
from rivulet_scene.http import Answer, get
from target import FRAGMENT, SDP, Endpoint, Target, limited

pytestmark = pytest.mark.timeout(180)  # six processes start while two cores are busy

PREFLIGHT = {"Origin": "https://player.example", "Access_Control_Request_Method": "POST"}
TURN = re.compile(r'<turns?:[^>]+>; rel="ice-server"; username="[^"]+"; credential="[^"]+"; credential-type="password"')
# As TURN servers' REST credentials have it, which is what most use: when they expire, then whose they are.
EXPIRY = re.compile(r'username="(\d+)[:"]')
SHORT_SECONDS = 86_400
NO_PATCH = (405, 501)


def ice_links(answer: Answer) -> list[str]:
    return [link for link in answer.headers.get_all("Link", []) if 'rel="ice-server"' in link]


def words(answer: Answer, header: str) -> set[str]:
    return {word.strip().lower() for word in (answer.headers[header] or "").split(",")}


@line("M", "GET of the endpoint: 2xx without content", whip="4.1", whep="4.1")
def test_an_endpoint_is_there(endpoint: Endpoint) -> None:
    answer = endpoint.ask("GET")
    assert (answer.status // 100, answer.body) == (2, "")


@line("S", "HEAD of the endpoint: 200, `application/sdp`", whep="4.2")
def test_an_endpoint_can_be_recognised(endpoint: Endpoint) -> None:
    answer = endpoint.ask("HEAD")
    assert (answer.status, answer.headers.get_content_type()) == (200, SDP)


@line("M", "OPTIONS for CORS: 200 without a token", whip="4.2", whep="4.4")
def test_a_preflight_is_answered(endpoint: Endpoint) -> None:
    asked = Endpoint(endpoint.protocol, endpoint.url)
    answer = asked.ask("OPTIONS", **PREFLIGHT, Access_Control_Request_Headers="authorization,content-type")
    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Origin"] in ("*", PREFLIGHT["Origin"])
    assert words(answer, "Access-Control-Allow-Methods") & {"post", "*"}
    assert {"authorization", "content-type"} <= words(answer, "Access-Control-Allow-Headers")


@line("S", "OPTIONS says `Accept-Post: application/sdp`", whip="4.2", whep="4.4")
def test_options_say_what_may_be_posted(endpoint: Endpoint) -> None:
    assert SDP in endpoint.ask("OPTIONS").headers["Accept-Post"]


@line("M", "no TURN credentials on a pre-flight", whip="4.6", whep="4.8", doors=("director",))
def test_a_preflight_gets_no_credentials(endpoint: Endpoint, target: Target) -> None:
    for asked in (endpoint, with_turn(endpoint, target)):
        assert ice_links(asked.ask("OPTIONS", **PREFLIGHT)) == []


@line("M", "Location, ETag and Link are exposed to scripts", whip="4.2", whep="4.4")
def test_scripts_may_read_the_headers(endpoint: Endpoint) -> None:
    answer = endpoint.ask("POST", body=endpoint.offer.text, Content_Type=SDP, Origin=PREFLIGHT["Origin"])
    assert answer.status == 201
    assert answer.headers["Access-Control-Allow-Origin"] in ("*", PREFLIGHT["Origin"])
    exposed = words(answer, "Access-Control-Expose-Headers")
    assert exposed == {"*"} or {"location", "etag", "link"} <= exposed


@line("O", "the 201 names TURN servers with short-lived credentials", whip="4.6", whep="4.8", doors=("director",))
def test_an_answer_brings_turn_servers(endpoint: Endpoint, target: Target) -> None:
    with with_turn(endpoint, target).session() as session:
        links = ice_links(session.answer)
    check_ice(links, target)


@line("O", "so does an authorised OPTIONS that is no pre-flight", whip="4.6", whep="4.8", doors=("director",))
def test_options_bring_turn_servers(endpoint: Endpoint, target: Target) -> None:
    check_ice(ice_links(with_turn(endpoint, target).ask("OPTIONS")), target)


def check_ice(links: list[str], target: Target) -> None:
    """TURN servers with credentials that last a day at most, where the username says so; ours does."""
    if not links:
        pytest.skip("not offered")
    assert all(TURN.fullmatch(link) or link.startswith("<stun:") for link in links), links
    found = [EXPIRY.search(link) for link in links if not link.startswith("<stun:")]
    assert target.cdn is None or all(found), links
    now = time.time()
    assert all(now < int(match[1]) <= now + SHORT_SECONDS for match in found if match), links


@line(
    "O",
    "ICE servers as JSON at `GET /v1/ice-servers`, beside the protocols",
    whip="4.6",
    whep="4.8",
    doors=("director",),
)
def test_ice_servers_as_json(target: Target, spoken: str) -> None:
    assert spoken
    (server,) = get(f"{target.own.regions['eu'].public(1)}/v1/ice-servers").json["iceServers"]
    assert {"urls", "username", "credential"} <= server.keys()


def with_turn(endpoint: Endpoint, target: Target) -> Endpoint:
    """The same endpoint at a director that knows TURN servers; another server's own."""
    if target.cdn is None:
        return endpoint
    one, two = (target.cdn.regions["eu"].public(number) for number in (0, 1))
    return Endpoint(endpoint.protocol, endpoint.url.replace(one, two), endpoint.headers)


@line("M", "GET of the session: 2xx without content", whip="4.1", whep="4.1")
def test_a_session_is_there(endpoint: Endpoint) -> None:
    with endpoint.session() as session:
        answer = session.ask("GET")
        assert (answer.status // 100, answer.body) == (2, "")


@line("S", "HEAD of the session as GET (RFC 9110 §9.3.2)", whip="4.1", whep="4.1")
def test_a_session_answers_head(endpoint: Endpoint) -> None:
    with endpoint.session() as session:
        assert session.ask("HEAD").status // 100 == 2


@line("M", "a session's URL answers pre-flights of PATCH and DELETE", whip="4.2", whep="4.4")
def test_a_sessions_preflight_is_answered(endpoint: Endpoint) -> None:
    with endpoint.session() as session:
        asked = Endpoint(endpoint.protocol, session.url)
        answer = asked.ask("OPTIONS", Origin="https://player.example", Access_Control_Request_Method="PATCH")
        assert answer.status // 100 == 2
        assert words(answer, "Access-Control-Allow-Methods") >= {"patch", "delete"}
        assert {"authorization", "content-type", "if-match"} <= words(answer, "Access-Control-Allow-Headers")
        if session.patch("").status not in NO_PATCH:
            assert FRAGMENT in (answer.headers["Accept-Patch"] or "")


@line("M", "DELETE ends the session, 200", whip="4.2", whep="4.4")
def test_delete_ends_a_session(endpoint: Endpoint) -> None:
    with endpoint.session() as session:
        assert session.ask("DELETE").status == 200
        assert session.ask("GET").status in (404, 410)


@line("M", "DELETE minds no entity tag", whip="4.3.1", whep="4.5.1")
def test_delete_minds_no_entity_tag(endpoint: Endpoint) -> None:
    with endpoint.session() as session:
        assert session.ask("DELETE", If_Match='"some-other-tag"').status == 200


@line("S", "session URLs cannot be guessed", whip="5", whep="5")
def test_session_urls_are_random(endpoint: Endpoint) -> None:
    last = []
    for _ in range(2):
        with endpoint.session() as session:
            last.append(session.url.rstrip("/").rpartition("/")[2])
    assert last[0] != last[1]
    assert all(len(name) >= 16 for name in last)


@line("S", "POST, PATCH and DELETE have a limit of rate: 429", whip="5", whep="5", doors=("director",))
@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_a_flood_is_slowed_down(endpoint: Endpoint, target: Target, method: str) -> None:
    """A session of ours has a rate of its own; POST, and DELETE of what is over, have that of the region's clients."""
    with endpoint.session() as session:
        limits = contextlib.nullcontext() if target.cdn is None or method == "PATCH" else limited(target.cdn)
        with limits:
            asked = endpoint if method == "POST" else session
            answers = (asked.ask(method, body="", Content_Type=FRAGMENT) for _ in range(400))
            refused = next((answer for answer in answers if answer.status == 429), None)
    assert refused is not None, "400 requests as fast as they go were all taken"
    assert int(refused.headers["Retry-After"]) > 0
