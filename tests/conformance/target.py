"""The server that is asked: any, by its URLs, or a CDN of our own through each of its doors."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest

from offers import Offer, offer
from rivulet_scene.bare import START_SECONDS, BareCdn, resource
from rivulet_scene.clients import camera
from rivulet_scene.http import Answer, get, request
from rivulet_scene.waiting import until
from steps import node_state

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
DIRECTION = {"whip": "sendonly", "whep": "recvonly"}
PLAYED, TRIED, SILENT, VIDEO_ONLY = "played_eu", "tried_eu", "silent_eu", "video_eu"
STREAMS: dict[str, dict[str, Any]] = {name: {"region": "eu"} for name in (PLAYED, TRIED, SILENT, VIDEO_ONLY)}
REQUESTS_PER_SECOND = 20


@dataclass(frozen=True)
class Session:
    """What a POST has made."""

    answer: Answer
    url: str
    offer: Offer
    headers: Mapping[str, str]

    @property
    def tag(self) -> str:
        """Its entity tag; the test is skipped when it has none, which is right where ICE restarts are not supported."""
        tag = self.answer.headers["ETag"]
        if not tag:
            pytest.skip("no entity tag: ICE restarts are not supported")
        return str(tag)

    def ask(self, method: str, *, body: str | None = None, **headers: str) -> Answer:
        """A request of the session's URL. Header names are written with `_`."""
        given = {name.replace("_", "-"): text for name, text in headers.items()}
        return request(method, self.url, body=body, headers={**self.headers, **given})

    def patch(self, body: str, if_match: str | None = None, content_type: str = FRAGMENT) -> Answer:
        """A PATCH."""
        tag = {} if if_match is None else {"If_Match": if_match}
        return self.ask("PATCH", body=body, Content_Type=content_type, **tag)


@dataclass(frozen=True)
class Endpoint:
    """A WHIP or WHEP endpoint and what opens it."""

    protocol: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    made: list[str] = field(default_factory=list, compare=False)

    @property
    def offer(self) -> Offer:
        """An offer as this protocol wants it."""
        return offer(DIRECTION[self.protocol])

    def ask(self, method: str, *, body: str | None = None, **headers: str) -> Answer:
        """Any request of the endpoint. Header names are written with `_`."""
        given = {name.replace("_", "-"): text for name, text in headers.items()}
        return request(method, self.url, body=body, headers={**self.headers, **given})

    def post(self, sdp: str, content_type: str = SDP) -> Answer:
        """A POST."""
        answer = self.ask("POST", body=sdp, Content_Type=content_type)
        if answer.status == 201:
            self.made.append(urljoin(self.url, answer.headers["Location"]))
        return answer

    def end_all(self) -> None:
        """End every session that was made: a stranger's server would refuse the next publisher."""
        while self.made:
            request("DELETE", self.made.pop(), headers=self.headers)

    @contextlib.contextmanager
    def session(self, made: Offer | None = None) -> Iterator[Session]:
        """A session, ended on leaving."""
        sent = made or self.offer
        answer = self.post(sent.text)
        assert answer.status == 201, (answer.status, answer.body)
        session = Session(answer, urljoin(self.url, answer.headers["Location"]), sent, self.headers)
        try:
            yield session
        finally:
            session.ask("DELETE")


class Media:
    """The camera that publishes for whoever plays, from the first time that it is wanted."""

    def __init__(self, publish: Endpoint | None) -> None:
        self._publish = publish
        self._open = contextlib.ExitStack()
        self._at: set[str] = set()

    def bring(self, whep: Endpoint) -> None:
        """Return when `whep` plays."""
        if whep.url in self._at or self._publish is None:
            return
        if not self._at:
            token = self._publish.headers.get("Authorization", "").removeprefix("Bearer ") or None
            sender = camera(self._publish.url, *SMALL, token=token)
            self._open.enter_context(sender)
            sender.line(seconds=45)
        until(lambda: _plays(whep), f"{whep.url} plays", seconds=30)
        self._at.add(whep.url)

    def close(self) -> None:
        """Stop the camera."""
        self._open.close()


def request_session(endpoint: Endpoint, answer: Answer) -> Session:
    """The session of a POST whose offer is a client's own."""
    return Session(answer, urljoin(endpoint.url, answer.headers["Location"]), endpoint.offer, endpoint.headers)


def _plays(whep: Endpoint) -> bool:
    answer = whep.post(whep.offer.text)
    whep.end_all()
    return answer.status == 201


@dataclass
class Target:
    """A server. `cdn`: our own, about which more is known than its URLs; `door`: the way into it."""

    whip: Endpoint | None
    whep: Endpoint | None
    media: Media
    cdn: BareCdn | None = None
    door: str = ""

    def endpoint(self, protocol: str) -> Endpoint:
        """The endpoint of a protocol, with media on it where they are wanted; skips when there is none."""
        found = self.whip if protocol == "whip" else self.whep
        if found is None:
            pytest.skip(f"no {protocol.upper()} address was given")
        if protocol == "whep":
            self.media.bring(found)
        return found

    @property
    def own(self) -> BareCdn:
        """Our own CDN; skips on another server."""
        if self.cdn is None:
            pytest.skip("not tried: it needs a server of a known state")
        return self.cdn


SMALL = ("--width", "160", "--height", "90", "--bitrate", "100k", "--gop", "1")


def bearer(token: str) -> dict[str, str]:
    """The header for a token."""
    return {"Authorization": f"Bearer {token}"} if token else {}


def foreign(whip: str | None, whep: str | None, token: str) -> Target:
    """A server by its URLs: what is published at `whip` is played at `whep`."""
    publish = Endpoint("whip", whip, bearer(token)) if whip else None
    play = Endpoint("whep", whep, bearer(token)) if whep else None
    return Target(publish, play, Media(publish if play else None))


@contextlib.contextmanager
def own_cdn(directory: Path) -> Iterator[BareCdn]:
    """Region eu: two directors (the second knows TURN), an origin, an edge, a full edge. Region us: a director."""
    with BareCdn(directory, {"eu": 2, "us": 1}, {}) as cdn:
        slot = {"name": "turn-eu-0", "address": "192.0.2.7", "port": 3478, "ready": True}
        turn = resource("CDNNode", "turn-eu", {"role": "turn", "region": "eu"})
        cdn.more = [{**turn, "status": {"slots": [slot]}}]
        for region in cdn.regions.values():
            cdn.write_file(region, STREAMS)
        cdn.director("eu", 0, ready=False)
        cdn.director("eu", 1, "--turn-secret", "shared", ready=False)
        cdn.director("us", 0, ready=False)
        cdn.node("origin-eu-0", "origin", "eu", ready=False)
        cdn.node("edge-eu-0", "edge", "eu", ready=False)
        cdn.node("full-eu-0", "edge", "eu", "--capacity-viewers", "0")
        directors = (("eu", 0), ("eu", 1), ("us", 0))
        for region_name, number in directors:
            cdn.settled(region_name, number)

        def known() -> bool:
            tables = [cdn.director_table(region_name, number) for region_name, number in directors]
            return all(node_state(table, slot) == "up" for table in tables for slot in ("origin-eu-0", "edge-eu-0"))

        until(known, "origin and edge up in the tables of all directors", seconds=START_SECONDS)
        yield cdn


@contextlib.contextmanager
def limited(cdn: BareCdn) -> Iterator[None]:
    """Region eu with a limit of requests of one address."""
    region = cdn.regions["eu"]
    url = f"{region.public()}/v1/streams/{PLAYED}"

    def refuses() -> bool:
        return any(get(url).status == 429 for _ in range(10 * REQUESTS_PER_SECOND))

    cdn.write_file(region, STREAMS, limits={"requestsPerSecond": REQUESTS_PER_SECOND})
    try:
        until(refuses, "the limit holds", seconds=20)
        until(lambda: get(url).status != 429, "some requests are taken again", seconds=5)
        yield
    finally:
        cdn.write_file(region, STREAMS)
        until(lambda: not refuses(), "there is no limit", seconds=20)


def through(cdn: BareCdn, door: str, media: Media) -> Target:
    """Our own CDN through one of its doors."""
    if door == "node":
        join = {"Rivulet-Join": cdn.regions["eu"].join_token, "Rivulet-Subject": "tester"}
        whip = Endpoint("whip", f"{cdn.processes['origin-eu-0'].http}/whip/{TRIED}", join)
        whep = Endpoint("whep", f"{cdn.processes['edge-eu-0'].http}/whep/{PLAYED}")
    else:
        public = cdn.regions["us" if door == "other region" else "eu"].public()
        whip = Endpoint("whip", f"{public}/whip/{TRIED}", bearer(cdn.token(TRIED, subject="tester")))
        whep = Endpoint("whep", f"{public}/whep/{PLAYED}")
    return Target(whip, whep, media, cdn, door)


def published(cdn: BareCdn, stream: str) -> Endpoint:
    """Where a camera publishes into our own CDN."""
    return Endpoint("whip", f"{cdn.regions['eu'].public()}/whip/{stream}", bearer(cdn.token(stream)))
