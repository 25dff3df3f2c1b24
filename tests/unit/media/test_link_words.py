import json
import random
from math import nan
from typing import TYPE_CHECKING, Any

import pytest

from rivulet_media.link_words import (
    LegAnswer,
    LegWish,
    LinkAnswer,
    LinkEnd,
    LinkWish,
    end_from_engine,
    end_to_engine,
    wish_from_engine,
    wish_to_engine,
)
from rivulet_media.wire import parse_body, render_body
from rivulet_media.wire_codec import WireError

if TYPE_CHECKING:
    from rivulet_media import _engine

END: dict[str, Any] = {
    "ufrag": "abcd",
    "password": "p" * 24,
    "fingerprint": ":".join(["AB"] * 32),
    "candidates": [{"ip": "192.0.2.1", "port": 7000}],
}
WISH: dict[str, Any] = {
    "stream": "s",
    "incarnation": "aaaaaaaaaaaa",
    "feedback": 7,
    "tracks": [{"kind": "video", "rid": "h", "ssrc": 8, "rtxSsrc": 9}, {"kind": "audio", "ssrc": 10}],
}


LEG: dict[str, Any] = {
    "session": "0" * 16,
    "stream": {
        "stream": "s",
        "incarnation": "aaaaaaaaaaaa",
        "version": 1,
        "origin": "origin-eu-0/77aa00000001",
        "region": "eu",
        "state": "live",
        "since": 1.5,
        "tracks": [{"kind": "video", "codec": "h264", "clockRate": 90000, "layers": [{"rid": "h", "bitrate": 9}]}],
    },
}


def test_what_the_engine_says_goes_over_the_wire_and_comes_back() -> None:
    end: _engine.LinkTransport = {
        "ufrag": "abcd",
        "password": "p",
        "fingerprint": "AB",
        "candidates": [("192.0.2.1", 7000), ("2001:db8::1", 7001)],
    }
    assert end_to_engine(parse_body(LinkEnd, render_body(end_from_engine(end)))) == end
    wish: _engine.LegWish = {
        "feedback": 1,
        "tracks": [
            {"kind": "video", "rid": "h", "ssrc": 2, "rtx_ssrc": 3},
            {"kind": "audio", "rid": None, "ssrc": 4, "rtx_ssrc": None},
        ],
    }
    words = wish_from_engine("s", "aaaaaaaaaaaa", wish)
    assert wish_to_engine(parse_body(LegWish, render_body(words))) == wish


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"stream": "../x"}, "leg.stream"),
        ({"incarnation": "x"}, "leg.incarnation"),
        ({"feedback": "7"}, "leg.feedback"),
        ({"tracks": [{"kind": "text", "ssrc": 1}]}, "leg.tracks[0].kind"),
        ({"tracks": [{"kind": "audio"}]}, "leg.tracks[0].ssrc"),
        ({"tracks": {}}, "leg.tracks"),
    ],
)
def test_a_wrong_wish_is_refused_with_the_keys_path(change: dict[str, Any], path: str) -> None:
    body = json.dumps({"end": END, "leg": WISH | change})
    with pytest.raises(WireError) as refused:
        parse_body(LinkWish, body)
    assert refused.value.path == path


@pytest.mark.parametrize("ssrc", [0, -1, 1 << 32])
def test_an_ssrc_has_32_bits_and_is_not_0(ssrc: int) -> None:
    for change in ({"feedback": ssrc}, {"tracks": [{"kind": "audio", "ssrc": ssrc}]}):
        wish = parse_body(LegWish, json.dumps(WISH | change))
        with pytest.raises(ValueError, match="SSRC"):
            wish_to_engine(wish)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_candidates_port_is_a_port(port: int) -> None:
    end = parse_body(LinkEnd, json.dumps(END | {"candidates": [{"ip": "192.0.2.1", "port": port}]}))
    with pytest.raises(ValueError, match="port"):
        end_to_engine(end)


def test_any_json_is_read_or_refused_and_nothing_else() -> None:
    """D5: whatever another node says, the reader answers with a value or a WireError."""
    draw = random.Random(4)  # noqa: S311 - the same inputs every time
    bodies: dict[type, Any] = {
        LinkWish: {"end": END, "leg": WISH},
        LinkAnswer: {"end": END, "leg": LEG, "link": "0" * 16},
        LegWish: WISH,
        LegAnswer: LEG,
    }
    for kind, whole in bodies.items():
        outcomes = {True: 0, False: 0}
        for _ in range(1500):
            outcomes[_reads(kind, json.dumps(_spoil(whole, draw)))] += 1
        assert min(outcomes.values()) > 150, (kind, outcomes)


def _reads(kind: type[Any], body: str) -> bool:
    try:
        read = parse_body(kind, body)
        render_body(read).encode()
        if isinstance(read, LinkWish | LinkAnswer):
            end_to_engine(read.end)
        if isinstance(read, LinkWish):
            wish_to_engine(read.leg)
    except UnicodeError:
        raise
    except ValueError:  # also a WireError
        return False
    return True


def _spoil(value: Any, draw: random.Random) -> Any:
    """The same with something else in some places."""
    if draw.random() < 0.05:
        return draw.choice(
            [None, True, -1, 1e300, 2**70, 10**400, nan, "", "\0", "\ud800", "x" * 999, [], {}, [[]], {"": {}}]
        )
    if isinstance(value, dict):
        return {key: _spoil(item, draw) for key, item in value.items() if draw.random() > 0.02}
    if isinstance(value, list):
        return [_spoil(item, draw) for item in value for _ in range(draw.choice([1, 1, 1, 0, 2]))]
    return value
