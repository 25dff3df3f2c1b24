"""Offers that no honest client sends, to the front door and straight to a node: refused in words, nothing is kept."""

import http.client
import random
import re
from urllib.parse import urlsplit

import pytest

from entrances import FRAGMENT, SDP, Entrance, assert_refused, offer
from rivulet_scene.bare import delete
from rivulet_scene.http import Answer


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


def with_foreign_codecs(text: str) -> str:
    return re.sub(r"(a=rtpmap:\d+ )[A-Za-z0-9]+", r"\1THEORA", text)


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
