"""POST: what is answered, and what is refused with which words."""

import re

import pytest

from offers import AUDIO, FOREIGN, VIDEO, Answered, Section, values
from protocol import line
from rivulet_scene.clients import camera
from rivulet_scene.waiting import until
from target import SDP, SILENT, SMALL, VIDEO_ONLY, Endpoint, Target, published

pytestmark = pytest.mark.timeout(180)  # six processes start while two cores are busy

REFUSED = (400, 422)
RID, REPAIRED_RID = (f"urn:ietf:params:rtp-hdrext:sdes:{name}" for name in ("rtp-stream-id", "repaired-rtp-stream-id"))
OURS = ("director", "other region")
# RFC 8288, 3: any number of them, separated by commas, in a header.
LINK = re.compile(r'<[^>]*>(?:\s*;\s*[\w*-]+(?:\s*=\s*(?:"[^"]*"|[^\s",;]+))?)*')
RELATION = re.compile(r';\s*rel\s*=\s*"?([^";]+)')


def answered(endpoint: Endpoint) -> Answered:
    with endpoint.session() as session:
        return Answered.read(session.answer.body)


@line(
    "O",
    "while nobody publishes: 409 with Retry-After",
    whep="4.3.8",
    doors=OURS,
    silent=True,
)
def test_a_stream_that_is_not_live_is_a_conflict_that_passes(target: Target, spoken: str) -> None:
    if target.cdn is None:
        whep = target.whep or pytest.skip("no WHEP address was given")
        if target.whip is None:
            pytest.skip("not tried: it cannot be silenced without its WHIP address")
    else:
        whep = Endpoint(spoken, target.endpoint("whep").url.rpartition("/")[0] + f"/{SILENT}")
    answer = whep.post(whep.offer.text)
    assert answer.status == 409
    assert int(answer.headers["Retry-After"]) > 0


@line(
    "M",
    "POST of an offer → 201, `application/sdp`, an answer, Location of the session",
    whip="4.2",
    whep="4.3.1",
)
def test_an_offer_is_answered(endpoint: Endpoint) -> None:
    with endpoint.session() as session:
        assert session.answer.headers.get_content_type() == SDP
        assert session.answer.headers["Location"]
        answer = Answered.read(session.answer.body)
        assert answer.session[0] == "v=0"
        assert len(answer.sections) == 2
        assert answer.value("ice-ufrag")
        assert answer.value("fingerprint").lower().startswith("sha-256 ")


@line("M", "another content type → 4xx", whip="4.2", whep="4.3.4")
@pytest.mark.parametrize("content_type", ["text/plain", "application/json"])
def test_another_content_type_is_refused(endpoint: Endpoint, content_type: str) -> None:
    assert 400 <= endpoint.post(endpoint.offer.text, content_type).status < 500


@line("M", "malformed SDP → 4xx", whip="4.2", whep="4.3.4")
@pytest.mark.parametrize("body", ["", "hello", "v=0\r\n", '{"type": "offer"}'])
def test_malformed_sdp_is_refused(endpoint: Endpoint, body: str) -> None:
    assert 400 <= endpoint.post(body).status < 500


@line("M", "the answer is `recvonly` (WHIP), `sendonly` (WHEP)", whip="4.2", whep="4.3.5")
def test_the_answers_direction_is_the_protocols(endpoint: Endpoint, spoken: str) -> None:
    direction = {"whip": "a=recvonly", "whep": "a=sendonly"}[spoken]
    assert all(direction in section for section in answered(endpoint).accepted)


@line("M", "an offer may say `sendrecv`; the answer's direction is the same", whip="4.2", whep="4.3.5")
def test_an_offer_that_would_do_both_is_taken(endpoint: Endpoint, spoken: str) -> None:
    both = endpoint.offer.text.replace("a=sendonly", "a=sendrecv").replace("a=recvonly", "a=sendrecv")
    answer = endpoint.post(both)
    assert answer.status == 201, answer.body
    endpoint_session = Answered.read(answer.body)
    direction = {"whip": "a=recvonly", "whep": "a=sendonly"}[spoken]
    assert all(direction in section for section in endpoint_session.accepted)


@line("M", "max-bundle: every accepted `m=` is in the one BUNDLE group, with rtcp-mux", whip="4.4.1", whep="4.6.1")
def test_everything_is_bundled_and_muxed(endpoint: Endpoint) -> None:
    answer = answered(endpoint)
    assert answer.bundle == [values(section, "mid")[0] for section in answer.accepted]
    assert all("a=rtcp-mux" in section for section in answer.accepted)


@line("M", "`a=rtcp-mux-only` in each bundled `m=`", whip="4.4.1", whep="4.6.1")
def test_rtcp_needs_no_port_of_its_own(endpoint: Endpoint) -> None:
    assert all("a=rtcp-mux-only" in section for section in answered(endpoint).accepted)


@line("M", "one MediaStream: all `a=msid` of the answer name the same", whep="4.6.2")
def test_all_tracks_are_of_one_stream(endpoint: Endpoint) -> None:
    streams = [values(section, "msid")[0].split()[0] for section in answered(endpoint).accepted]
    assert len(set(streams)) == 1


@line("S", "`a=setup:actpass` is taken; the answer decides", whip="4.4.4", whep="4.3.1")
def test_the_answer_chooses_its_dtls_role(endpoint: Endpoint) -> None:
    assert answered(endpoint).value("setup") in ("passive", "active")


@line("S", "`a=setup:active` (a client that can do nothing else) is taken, or 422/400", whip="4.4.4")
def test_an_active_client_is_served_by_a_passive_server(endpoint: Endpoint) -> None:
    answer = endpoint.post(endpoint.offer.with_setup("active").text)
    assert answer.status in (201, *REFUSED)
    assert answer.status != 201 or Answered.read(answer.body).value("setup") == "passive"


@line("S", "an unsupported `a=setup` → 422 or 400", whip="4.4.4")
def test_an_unknown_dtls_role_is_refused(endpoint: Endpoint) -> None:
    assert endpoint.post(endpoint.offer.with_setup("holdconn").text).status in REFUSED


@line("M", "more than one track of a kind → 422 or 400", whip="4.4.2")
@pytest.mark.parametrize("twice", [AUDIO, VIDEO], ids=["audio", "video"])
def test_two_tracks_of_a_kind_are_refused(endpoint: Endpoint, twice: Section) -> None:
    assert endpoint.post(endpoint.offer.with_sections(AUDIO, VIDEO, twice).text).status in REFUSED


@line("M", "more than one MediaStream → 422 or 400", whip="4.4.2")
def test_two_streams_are_refused(endpoint: Endpoint) -> None:
    other = Section("video", VIDEO.codecs, stream="two")
    assert endpoint.post(endpoint.offer.with_sections(AUDIO, other).text).status in REFUSED


@line("S", "a single `m=` is never rejected: the whole POST fails, 422 or 400", whip="4.4.3")
def test_half_an_ingest_is_none(endpoint: Endpoint) -> None:
    foreign = Section("video", FOREIGN["video"])
    assert endpoint.post(endpoint.offer.with_sections(AUDIO, foreign).text).status in REFUSED


@line(
    "M",
    "a kind that the stream has not: port 0 outside BUNDLE (RFC 9429 §5.3.1), the rest plays",
    whep="4.3.1",
    doors=("director",),
)
def test_a_kind_that_is_not_published_is_rejected_alone(target: Target, spoken: str) -> None:
    publish = published(target.own, VIDEO_ONLY)
    token = publish.headers["Authorization"].removeprefix("Bearer ")
    whep = Endpoint(spoken, publish.url.replace("/whip/", "/whep/"))
    with camera(publish.url, *SMALL, "--no-audio", token=token) as sender:
        sender.line(seconds=45)
        until(lambda: whep.ask("GET").status == 204 and plays(whep), "live", seconds=20)
        answer = answered(whep)
    (rejected,), (accepted,) = answer.rejected, answer.accepted
    assert rejected[0].startswith("m=audio 0 ")
    assert accepted[0].startswith("m=video ")
    assert answer.bundle == values(accepted, "mid")
    assert "a=sendonly" in accepted


def plays(whep: Endpoint) -> bool:
    answer = whep.post(whep.offer.text)
    whep.end_all()
    return answer.status == 201


@line("M", "no common codec is no 406 but a 422 that names what is published and offered", whep="4.3.3")
def test_what_cannot_be_played_is_said(endpoint: Endpoint, target: Target) -> None:
    foreign = [Section(kind, FOREIGN[kind]) for kind in ("audio", "video")]
    answer = endpoint.post(endpoint.offer.with_sections(*foreign).text)
    if target.cdn is None:
        assert 400 <= answer.status < 500
        assert answer.status != 406 or (answer.headers.get_content_type() == SDP and answer.headers["Location"])
        return
    assert answer.status == 422
    assert set(answer.json["published"]) == {"h264", "opus"}
    assert set(answer.json["offered"]) == {"g722", "h261"}


@line("M", "301 and 302 are not used", whip="4.5", whep="4.7")
def test_nobody_is_sent_elsewhere(endpoint: Endpoint) -> None:
    for method in ("GET", "OPTIONS"):
        assert endpoint.ask(method).status not in (301, 302)
    with endpoint.session() as session:
        assert session.ask("GET").status // 100 == 2, "the session's URL is final"


@line("O", "a server without room: 503 with Retry-After", whip="4.5", whep="4.7", doors=("director",))
def test_a_full_node_says_when_to_come_again(target: Target, spoken: str) -> None:
    if spoken == "whip":
        pytest.skip("tried in tests/integration/node/test_limits.py: S5")
    door = target.own.regions["eu"].public()
    full = Endpoint(spoken, target.endpoint("whep").url.replace(door, f"{door}/n/full-eu-0"))
    answer = full.post(full.offer.text)
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0


@line(
    "M",
    "bearer tokens: without one, or with a wrong one, 401 (or 403) and WWW-Authenticate",
    whip="4.7.1",
    whep="4.9",
    doors=OURS,
)
def test_a_token_opens(endpoint: Endpoint, target: Target, spoken: str) -> None:
    if target.cdn is not None and spoken == "whep":
        with endpoint.session():
            pytest.skip("not offered: play is public here, to whoever asks (`access.play: public` is all there is)")
    if "Authorization" not in endpoint.headers:
        pytest.skip("not tried: no token was given")
    refused = [
        Endpoint(endpoint.protocol, endpoint.url, headers).post(endpoint.offer.text)
        for headers in ({}, {"Authorization": "Bearer x.y.z"}, {"Authorization": "Basic eDp5"})
    ]
    assert {answer.status for answer in refused} <= {401, 403}
    assert all(answer.headers["WWW-Authenticate"] for answer in refused if answer.status == 401)


@line("O", "simulcast (RFC 8853) is answered by `a=simulcast:recv`", whip="4.8")
def test_simulcast_is_taken_or_left_out(endpoint: Endpoint) -> None:
    named = tuple(f"a=extmap:{number} {uri}" for number, uri in ((10, RID), (11, REPAIRED_RID)))
    layers = ("a=rid:h send", "a=rid:l send", "a=simulcast:send h;l", *named)
    answer = endpoint.post(endpoint.offer.with_sections(AUDIO, Section("video", VIDEO.codecs, more=layers)).text)
    assert answer.status == 201, answer.body
    taken = Answered.read(answer.body).value("simulcast")
    if not taken:
        pytest.skip("not offered: one layer is taken")
    assert taken == "recv h;l"
    assert all(uri in answer.body for uri in (RID, REPAIRED_RID))


@line("M", "extensions stand in Link and nobody needs them", whip="4.9", whep="4.10")
def test_links_are_ice_servers_or_registered_extensions(endpoint: Endpoint, target: Target, spoken: str) -> None:
    with endpoint.session() as session:
        said = ", ".join(session.answer.headers.get_all("Link", []))
    links = [match[0] for match in LINK.finditer(said)]
    assert re.sub(r"[\s,]", "", LINK.sub("", said)) == "", said
    relations = [RELATION.search(link) for link in links]
    assert all(relations), links
    names = {name for relation in relations if relation for name in relation[1].split()}
    assert all(name == "ice-server" or name.startswith("urn:ietf:params:wh") for name in names), names
    if target.cdn is not None and spoken == "whep":
        assert {name.rpartition(":")[2] for name in names} >= {"server-sent-events", "layer"}


@line("O", "errors are problem JSON (RFC 9457)", whip="4.1", whep="4.1")
def test_refusals_are_problems(endpoint: Endpoint) -> None:
    for answer in (endpoint.post("hello"), endpoint.post(endpoint.offer.text, "text/plain"), endpoint.ask("PUT")):
        assert answer.headers.get_content_type() == "application/problem+json", answer
        assert answer.json["status"] == answer.status
        assert {"type", "title", "detail"} <= answer.json.keys()
