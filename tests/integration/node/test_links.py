"""An origin's `/links`, at a real node: what is taken, what is refused and with which words."""

import asyncio
import json
from typing import Any

import pytest

from engine.peers import AUDIO
from node.clients import let_in, publisher
from node.conftest import STREAMS
from rivulet_media._engine import Engine
from rivulet_scene.bare import BareCdn, metric
from rivulet_scene.http import Answer, request
from rivulet_scene.waiting import until

pytestmark = pytest.mark.timeout(150)

PULLER = "edge-eu-9/77aa00000009"


class Puller:
    """Another node, as far as an origin sees it: an engine, and requests."""

    def __init__(self, region: BareCdn) -> None:
        self.engine = Engine("127.0.0.1", 0)
        self.origin = region.processes["origin-eu-0"].http
        self._token = region.regions["eu"].join_token

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        text = None if body is None else json.dumps(body)
        said = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._request(method, path, text, {"Content-Type": "application/json", **said})

    def offer(self, path: str, sdp: str) -> Answer:
        return self._request("POST", path, sdp, {"Content-Type": "application/sdp"})

    def _request(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> Answer:
        known = {"Authorization": f"Bearer {self._token}", "Rivulet-Node": PULLER}
        return request(method, f"{self.origin}{path}", body=body, headers={**known, **headers})


def slug(answer: Answer) -> str:
    return str(answer.json["type"]).rpartition("/")[2]


def wish(number: int = 100, incarnation: str = "aaaaaaaaaaaa", **more: Any) -> dict[str, Any]:
    tracks = [{"kind": "video", "ssrc": number, "rtxSsrc": number + 1}]
    return {"stream": "test_eu", "incarnation": incarnation, "feedback": number + 2, "tracks": tracks, **more}


def test_a_link_needs_the_join_token_a_name_and_an_origin(region: BareCdn) -> None:
    puller = Puller(region)
    for method, path in (("POST", "/links"), ("GET", f"/links/{'0' * 16}"), ("POST", f"/links/{'0' * 16}/legs")):
        assert puller.ask(method, path, Authorization="Bearer wrong").status == 401
        assert puller.ask(method, path, {}, Rivulet_Node="nobody").status == 400
    puller.origin = region.processes["edge-eu-0"].http
    refused = puller.ask("POST", "/links", {})
    assert (refused.status, slug(refused)) == (403, "wrong-role")


@pytest.mark.parametrize("body", [None, "text", [], {}, {"end": {}}, {"end": {}, "leg": wish()}])
def test_a_body_that_is_no_wish_is_refused(region: BareCdn, body: Any) -> None:
    refused = Puller(region).ask("POST", "/links", body)
    assert (refused.status, slug(refused)) == (400, "bad-request")


async def test_a_link_is_opened_looked_at_given_legs_and_closed(region: BareCdn) -> None:
    puller = Puller(region)
    async with publisher() as camera:
        posted = await camera.post(f"{puller.origin}/whip/test_eu", let_in(region))
        assert posted.status == 201
        await camera.connect()
        entry = await asyncio.to_thread(until, lambda: _live(region), "published", seconds=10)
        _, end = puller.engine.open_link()
        ours = {**end, "candidates": []}
        other = puller.ask("POST", "/links", {"end": ours, "leg": wish(incarnation="bbbbbbbbbbbb")})
        assert (other.status, slug(other)) == (409, "not-live")
        wished = wish(incarnation=entry["incarnation"])
        bad = puller.ask("POST", "/links", {"end": {**ours, "fingerprint": "AB"}, "leg": wished})
        assert (bad.status, slug(bad)) == (400, "bad-request")
        assert _links(region) == 0, "what was refused has left no link"

        opened = puller.ask("POST", "/links", {"end": ours, "leg": wished})
        assert (opened.status, opened.json["leg"]["stream"]["incarnation"]) == (201, entry["incarnation"])
        path = f"/links/{opened.json['link']}"
        assert (puller.ask("GET", path).status, _links(region)) == (200, 1)
        stranger = puller.ask("GET", path, Rivulet_Node="edge-eu-8/77aa00000008")
        assert (stranger.status, slug(stranger)) == (404, "no-link")
        used = puller.ask("POST", f"{path}/legs", wished)
        assert (used.status, slug(used)) == (409, "ssrc-used")
        zero = puller.ask("POST", f"{path}/legs", {**wished, "feedback": 0})
        assert (zero.status, slug(zero)) == (400, "bad-request")
        more = puller.ask("POST", f"{path}/legs", wish(200, entry["incarnation"]))
        assert more.status == 201
        first, second = (f"/session/{entry['origin']}/{leg['session']}" for leg in (opened.json["leg"], more.json))
        assert (puller.ask("GET", first).status, puller.ask("GET", second).status) == (410, 200), "asked for again"
        assert puller.ask("DELETE", second).status == 200
        assert metric(puller.origin, "rivulet_relays", direction="out") == 0
        assert puller.ask("GET", path).status == 200, "the link stays"
    puller.engine.shutdown()


async def test_a_leg_of_a_stream_that_goes_by_tcp_is_refused_whether_or_not_the_link_was_there_before(
    region: BareCdn,
) -> None:
    """N8: an edge may ask by an entry from before the setting changed. What it has by UDP it opens anew itself."""
    puller = Puller(region)
    try:
        async with publisher() as camera:
            assert (await camera.post(f"{puller.origin}/whip/test_eu", let_in(region))).status == 201
            await camera.connect()
            entry = await asyncio.to_thread(until, lambda: _live(region), "published", seconds=10)
            _, end = puller.engine.open_link()
            opening = {"end": {**end, "candidates": []}, "leg": wish(300, entry["incarnation"])}
            await asyncio.to_thread(_set_transport, region, "tcp")
            before = _links(region)
            early = puller.ask("POST", "/links", opening)
            assert (early.status, slug(early)) == (422, "tcp-only")
            assert _links(region) <= before, "what was refused has left no link"

            await asyncio.to_thread(_set_transport, region, "udp")
            opened = puller.ask("POST", "/links", opening)
            assert opened.status == 201
            await asyncio.to_thread(_set_transport, region, "tcp")
            path = f"/links/{opened.json['link']}"
            late = puller.ask("POST", f"{path}/legs", wish(400, entry["incarnation"]))
            assert (late.status, slug(late)) == (422, "tcp-only")
            assert puller.ask("GET", path).status == 200, "the link stays, other streams may go by it"

            relays = metric(puller.origin, "rivulet_relays", direction="out")
            _, offer = puller.engine.pull("test_eu", entry["incarnation"], [AUDIO])
            relay = puller.offer("/relay/test_eu", offer)
            assert (relay.status, slug(relay)) == (422, "tcp-only")
            assert metric(puller.origin, "rivulet_relays", direction="out") <= relays, "what was refused is no relay"
    finally:
        await asyncio.to_thread(_write_transport, region, "udp")
        puller.engine.shutdown()


def _write_transport(region: BareCdn, transport: str) -> None:
    streams = {name: {"region": "eu", "distribution": {"transport": transport}} for name in STREAMS}
    region.write_file(region.regions["eu"], streams)


def _set_transport(region: BareCdn, transport: str) -> None:
    _write_transport(region, transport)
    until(lambda: (_live(region) or {}).get("transport", "udp") == transport, f"the entry says {transport}", seconds=10)


def _live(region: BareCdn) -> Any:
    entries = region.table("origin-eu-0")["streams"]
    return next((each for each in entries if each["stream"] == "test_eu" and each["state"] == "live"), None)


def _links(region: BareCdn) -> float:
    return metric(region.processes["origin-eu-0"].http, "rivulet_links", direction="out")
