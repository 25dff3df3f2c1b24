"""PATCH: trickle and restarts, as HTTP and with media."""

import asyncio

import pytest

from live import Live
from offers import Answered
from protocol import line
from rivulet_scene.http import Answer
from target import FRAGMENT, SDP, Endpoint, Session, Target

pytestmark = pytest.mark.timeout(180)  # six processes start while two cores are busy

CANDIDATE = "1 1 udp 2130706431 127.0.0.1 9 typ host"
UNUSABLE = (
    "1 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active",
    "2 1 udp 2122260223 7a3c1a44-0d1a-4f0e-9f0e-6f1f7e3a1c55.local 61764 typ host",
    "3 1 sctp 1 192.0.2.1 9 typ host",
    "4 1 udp 1 nonsense.invalid 9 typ host",
)
LIVE_DOORS = ("director", "other region")


def trickled(answer: Answer) -> bool:
    return (answer.status, answer.body, answer.headers["ETag"]) == (204, "", None)


def restart(session: Session, if_match: str | None = '"*"') -> Answer:
    return session.patch(session.offer.restarted().fragment(CANDIDATE), if_match)


def skip_without_restarts(answer: Answer, target: Target) -> None:
    """A server that only trickles says 422 to a restart (RFC 9725, 4.3.1); ours does both."""
    if answer.status == 422 and target.cdn is None:
        pytest.skip("ICE restarts are not supported")


@line("M", "the 201 has a strong entity tag", whip="4.3.1", whep="4.5.1")
def test_a_session_has_a_strong_entity_tag(endpoint: Endpoint) -> None:
    with endpoint.session() as session:
        assert session.tag.startswith('"')
        assert session.tag.endswith('"')


@line("M", "a candidate by PATCH → 204 without body and entity tag", whip="4.3.2", whep="4.5.2")
def test_a_candidate_is_taken(endpoint: Endpoint) -> None:
    with endpoint.session() as session:
        assert trickled(session.patch(session.offer.fragment(CANDIDATE), session.tag))


@line("M", "a candidate that cannot be used is dropped silently", whip="4.3.2", whep="4.5.2")
def test_useless_candidates_are_no_error(endpoint: Endpoint) -> None:
    with endpoint.session() as session:
        assert trickled(session.patch(session.offer.fragment(*UNUSABLE), session.tag))


@line("M", "PATCH with another content type → 4xx", whip="4.3.1", whep="4.5.1")
def test_a_fragment_of_another_type_is_refused(endpoint: Endpoint) -> None:
    with endpoint.session() as session:
        for content_type in (SDP, "application/json"):
            answer = session.patch(session.offer.fragment(CANDIDATE), session.tag, content_type)
            assert 400 <= answer.status < 500


@line("M", "a malformed fragment → 4xx", whip="4.3.1", whep="4.5.1")
def test_a_malformed_fragment_is_refused(endpoint: Endpoint) -> None:
    with endpoint.session() as session:
        for fragment in ("", '{"candidate": "x"}', "hello\r\n"):
            assert 400 <= session.patch(fragment, session.tag).status < 500
        assert session.ask("GET").status // 100 == 2


@line("M", "PATCH without If-Match → 428", whip="4.3.1", whep="4.5.1")
def test_patches_are_conditional(endpoint: Endpoint) -> None:
    with endpoint.session() as session:
        assert session.tag
        assert session.patch(session.offer.fragment(CANDIDATE)).status == 428
        assert restart(session, None).status == 428


@line("M", "PATCH with another tag than the session's → 412", whip="4.3.1", whep="4.5.1")
def test_stale_tags_are_refused(endpoint: Endpoint) -> None:
    with endpoint.session() as session:
        for tag in ('"stale"', f"W/{session.tag}"):
            assert session.patch(session.offer.fragment(CANDIDATE), tag).status == 412


@line(
    "M",
    'ICE restart: `If-Match: "*"`, new credentials → 200, a fragment with new ones and candidates, a new tag',
    whip="4.3.3",
    whep="4.5.3",
)
@pytest.mark.parametrize("any_tag", ['"*"', "*"])
def test_a_restart_is_answered_with_new_credentials(endpoint: Endpoint, target: Target, any_tag: str) -> None:
    with endpoint.session() as session:
        before, tag = Answered.read(session.answer.body), session.tag
        answer = restart(session, any_tag)
        skip_without_restarts(answer, target)
        assert (answer.status, answer.headers.get_content_type()) == (200, FRAGMENT)
        assert answer.headers["ETag"].startswith('"')
        assert answer.headers["ETag"] != tag
        after = Answered.read(answer.body)
        for name in ("ice-ufrag", "ice-pwd"):
            assert after.value(name)
            assert after.value(name) != before.value(name)
        assert after.value("candidate")
        for same in ("ice-options", "ice-lite"):
            assert after.value(same) == before.value(same)


@line("M", "after a restart only the new tag is the session's", whip="4.3.1", whep="4.5.1")
def test_a_restart_changes_the_tag(endpoint: Endpoint, target: Target) -> None:
    with endpoint.session() as session:
        old, offer = session.tag, session.offer.restarted()
        restarted = session.patch(offer.fragment(CANDIDATE), '"*"')
        skip_without_restarts(restarted, target)
        new = restarted.headers["ETag"]
        assert session.patch(offer.fragment(CANDIDATE), old).status == 412
        assert trickled(session.patch(offer.fragment(CANDIDATE), new))


@line("M", "a restart that cannot be done is refused and the session stands", whip="4.3.3", whep="4.5.3")
def test_half_a_restart_changes_nothing(endpoint: Endpoint) -> None:
    with endpoint.session() as session:
        half = "\r\n".join(
            text for text in session.offer.restarted().fragment().split("\r\n") if not text.startswith("a=ice-pwd")
        )
        assert 400 <= session.patch(half, '"*"').status < 500
        assert session.ask("GET").status // 100 == 2
        assert trickled(session.patch(session.offer.fragment(CANDIDATE), session.tag))


@line(
    "M",
    "media go on over the old way until the new one is nominated, then over the new one (RFC 8445 §9)",
    whip="4.3.3",
    whep="4.5.3",
    doors=LIVE_DOORS,
)
async def test_media_pass_through_a_restart(endpoint: Endpoint, target: Target) -> None:
    async with Live(endpoint) as client:
        await client.more("old")
        new, fragment = await client.begin_restart()
        answer = await asyncio.to_thread(client.session.patch, fragment, '"*"')
        skip_without_restarts(answer, target)
        assert answer.status == 200, answer.body
        await client.more("old")
        await client.finish_restart(new, answer.body)
        await client.more("new")
        assert client.connection.connectionState == "connected"
        assert (await asyncio.to_thread(client.session.ask, "GET")).status // 100 == 2


@line(
    "M",
    "a restart that the client never finishes leaves the session as it was",
    whip="4.3.3",
    whep="4.5.3",
    doors=("director",),
)
async def test_an_unfinished_restart_stops_nothing(endpoint: Endpoint) -> None:
    async with Live(endpoint) as client:
        new, fragment = await client.begin_restart()
        await asyncio.to_thread(client.session.patch, fragment, '"*"')
        await new.close()
        for _ in range(3):
            await client.more("old")
        assert (await asyncio.to_thread(client.session.ask, "GET")).status // 100 == 2


@line("M", "DTLS closed by the client ends the session", whip="4.2", whep="4.4", doors=LIVE_DOORS)
async def test_a_client_that_closes_dtls_is_gone(endpoint: Endpoint) -> None:
    async with Live(endpoint) as client:
        await client.connection.close()
        await client.gone()


@line("M", "DELETE ends ICE and DTLS of the session at once", whip="4.2", whep="4.4", doors=LIVE_DOORS)
async def test_delete_closes_dtls(endpoint: Endpoint) -> None:
    async with Live(endpoint) as client:
        assert (await asyncio.to_thread(client.session.ask, "DELETE")).status == 200
        async with asyncio.timeout(5):
            await client.over.wait()
