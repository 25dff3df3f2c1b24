"""What clients get from a region of two directors, one origin and two edges."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

import pytest

from director.played_node import PlayedNode
from director.scene import Answer, PlayedRegions, resource, token, until

pytestmark = pytest.mark.timeout(150)
SDP = {"Content_Type": "application/sdp"}
RACES = 100


@dataclass
class Region:
    regions: PlayedRegions
    origin: PlayedNode
    edges: list[PlayedNode]

    @property
    def nodes(self) -> list[PlayedNode]:
        return [self.origin, *self.edges]


@pytest.fixture
async def eu(regions: PlayedRegions) -> AsyncIterator[Region]:
    one, two = regions.add("eu", 2)
    slot = {"name": "turn-eu-0", "address": "192.0.2.7", "port": 3478, "ready": True}
    regions.more = [resource("CDNNode", "turn-eu", {"role": "turn", "region": "eu"}, status={"slots": [slot]})]
    regions.start()
    async with (
        PlayedNode("origin-eu-0", "origin") as origin,
        PlayedNode("edge-eu-0", "edge") as first,
        PlayedNode("edge-eu-1", "edge") as second,
    ):
        region = Region(regions, origin, [first, second])
        await regions.ready()
        for node in region.nodes:
            await node.link(one.url, two.url)
        yield region


async def test_a_stream_is_published_played_and_ended_through_either_director(eu: Region) -> None:
    """D19's path, N4's credentials: 201 with our own Location and TURN links; DELETE lands right through the other."""
    one, two = eu.regions.directors["eu"]
    sent = await one.ask("POST", "/whip/test_eu", data="v=0", Authorization=token("test_eu"), **SDP)
    assert sent.status == 201
    assert sent.headers["Location"] == f"/session/{eu.origin.ref}/{1:016x}"
    assert [link.partition(";")[0] for link in sent.links] == [
        "<turn:192.0.2.7:3478?transport=udp>",
        "<turn:192.0.2.7:3478?transport=tcp>",
    ]
    seen = eu.origin.requests[0]
    assert (seen.headers["Rivulet-Join"], seen.headers["Rivulet-Subject"]) == ("join", "camera-1")
    assert '"holdSeconds":30' in seen.headers["Rivulet-Stream-Policy"]

    await eu.origin.publish("test_eu")
    await until(lambda: all(edge.table.stream("test_eu") is not None for edge in eu.edges))
    played = await two.ask("POST", "/whep/test_eu", data="v=0", **SDP)
    assert played.status == 201
    assert played.headers["Access-Control-Allow-Origin"] == "*"
    assert "Location" in played.headers["Access-Control-Expose-Headers"]
    for path in (sent.headers["Location"], played.headers["Location"]):
        assert (await two.ask("DELETE", path)).status == 200
        assert (await one.ask("PATCH", path, data="a=x", If_Match='"1"')).status == 204
    assert eu.origin.requests[-1].headers["If-Match"] == '"1"'


async def test_wrong_requests_are_refused_at_once_and_reach_no_node(eu: Region) -> None:
    """D20 S1: nothing hangs and nothing is asked of a node."""
    one, _ = eu.regions.directors["eu"]
    cases = [
        ("POST", "/whep/nope", {}, 404, "not-found"),
        ("POST", "/whep/test_eu", {}, 409, "not-live"),
        ("POST", "/whip/nope", {"Authorization": token()}, 404, "not-found"),
        ("POST", "/whip/test_eu", {}, 401, "unauthorized"),
        ("POST", "/whip/test_eu", {"Authorization": "Bearer x.y.z"}, 401, "unauthorized"),
        ("POST", "/whip/test_eu", {"Authorization": token("second_eu")}, 403, "forbidden"),
        ("GET", "/session/edge-eu-0/000000000000/0000000000000001", {}, 404, "not-found"),
        ("POST", "/n/edge-eu-9/whep/test_eu", {}, 404, "not-found"),
        ("POST", "/v1/streams/test_eu", {}, 405, "method-not-allowed"),
        ("GET", "/nothing", {}, 404, "not-found"),
        ("POST", "/v1/join", {}, 404, "not-found"),
    ]
    for method, path, headers, status, problem in cases:
        answer = await one.ask(method, path, data="v=0", **headers)
        assert (path, answer.status, answer.problem) == (path, status, problem)
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert ("Retry-After" in answer.headers) is (problem == "not-live")
    large = await one.ask("POST", "/whip/test_eu", data="v" * 70_000, Authorization=token(), **SDP)
    assert (large.status, large.problem) == (413, "too-large")
    assert not any(node.requests for node in eu.nodes)


async def test_cross_origin_requests_and_options(eu: Region) -> None:
    """Pre-flights bring no token and get no credentials; an authorised OPTIONS gets the TURN servers."""
    one, _ = eu.regions.directors["eu"]
    flight = await one.ask("OPTIONS", "/whip/test_eu", Access_Control_Request_Method="POST")
    assert (flight.status, flight.links) == (200, [])
    assert "Authorization" in flight.headers["Access-Control-Allow-Headers"]
    assert (await one.ask("OPTIONS", "/whip/test_eu")).links == []
    authorised = await one.ask("OPTIONS", "/whip/test_eu", Authorization=token("test_eu"))
    assert len(authorised.links) == 2
    assert authorised.headers["Accept-Post"] == "application/sdp"
    assert (await one.ask("GET", "/whip/test_eu")).status == 204
    assert (await one.ask("HEAD", "/whep/test_eu")).headers["Content-Type"] == "application/sdp"
    session = await one.ask("OPTIONS", f"/session/{eu.origin.ref}/1", Access_Control_Request_Method="PATCH")
    assert session.status == 200
    assert session.headers["Access-Control-Allow-Origin"] == "*"


async def test_ice_servers_as_json(eu: Region) -> None:
    """N4: ephemeral credentials for clients that cannot change servers later."""
    one, _ = eu.regions.directors["eu"]
    (server,) = (await one.ask("GET", "/v1/ice-servers")).json["iceServers"]
    assert server["urls"] == ["turn:192.0.2.7:3478?transport=udp", "turn:192.0.2.7:3478?transport=tcp"]
    assert server["username"].endswith(":rivulet")


async def test_a_node_that_is_full_or_gone_is_followed_by_the_next(eu: Region) -> None:
    """L15's ground: the node has the last word."""
    one, _ = eu.regions.directors["eu"]
    await eu.origin.publish("test_eu")
    await until(lambda: eu.edges[0].table.stream("test_eu") is not None)
    eu.edges[0].status = 503
    for _ in range(4):
        played = await one.ask("POST", "/whep/test_eu", data="v=0", **SDP)
        assert played.headers["Location"].startswith(f"/session/{eu.edges[1].ref}/")
    eu.edges[1].status = 503
    assert (await one.ask("POST", "/whep/test_eu", data="v=0", **SDP)).status == 503
    await eu.edges[1].change("full")
    await eu.edges[0].change("draining")

    async def refused() -> bool:
        return (await one.ask("POST", "/whep/test_eu", data="v=0", **SDP)).problem == "no-node"

    await until(refused)


async def test_a_publisher_is_answered_in_time_although_an_origin_has_frozen(eu: Region) -> None:
    """OBS waits 8 s: a node that takes the request and never answers costs a part of that."""
    one, two = eu.regions.directors["eu"]
    clock = asyncio.get_running_loop().time

    async def publish() -> Answer:
        return await one.ask("POST", "/whip/test_eu", data="v=0", Authorization=token("test_eu"), **SDP)

    eu.origin.frozen = True
    started = clock()
    alone = await publish()
    assert (alone.status, alone.problem) == (503, "no-node")
    assert clock() - started < 8
    eu.origin.frozen = False
    async with PlayedNode("origin-eu-1", "origin") as second:
        await second.link(one.url, two.url)
        chosen = (await publish()).headers["Location"]
        first, other = sorted((eu.origin, second), key=lambda node: node.ref not in chosen)
        first.frozen = True
        started = clock()
        assert (await publish()).headers["Location"].startswith(f"/session/{other.ref}/")
        assert 2 < clock() - started < 7


async def test_the_balancer_alternates_and_leaves_out_a_dead_edge(eu: Region) -> None:
    """L1 L4 L7 L8 L13: strictly in turn; a dead edge is never named once it shows down; back, it is used again."""
    one, _ = eu.regions.directors["eu"]

    async def next_edge() -> str:
        answer = await one.ask("GET", "/?action=server_list")
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.json.keys() == {"server", "flash", "ws", "wss"}
        assert (answer.json["flash"], answer.json["ws"], answer.json["wss"]) == ("1935", str(one.public_port), "443")
        return str(answer.json["server"])

    path = f"127.0.0.1:{one.public_port}/n/edge-eu-"
    assert [await next_edge() for _ in range(10)] == [f"{path}{number % 2}" for number in range(10)]

    await eu.edges[0].vanish()

    await until(partial(one.shows, "edge-eu-0", "down"))
    assert {await next_edge() for _ in range(100)} == {f"{path}1"}
    await eu.edges[0].link(one.url)
    await until(partial(one.shows, "edge-eu-0", "up"))
    assert {await next_edge() for _ in range(10)} == {f"{path}0", f"{path}1"}


async def test_one_name_goes_to_one_of_two_subjects_whichever_director_is_asked(eu: Region) -> None:
    """D23: a hundred times, two subjects at once through two directors: the same origin decides."""
    async with PlayedNode("origin-eu-1", "origin") as second:
        one, two = eu.regions.directors["eu"]
        await second.link(one.url, two.url)
        names = [f"race-{number}" for number in range(RACES + 10)]
        eu.regions.streams["eu"] += names
        eu.regions.write()
        for director in (one, two):
            await until(partial(director.has, names[-1], "idle"), 15)
        clock = asyncio.get_running_loop().time
        races = 0
        for name in names:
            started = clock()
            answers = await asyncio.gather(
                one.ask("POST", f"/whip/{name}", data="v=0", Authorization=token(subject="a"), **SDP),
                two.ask("POST", f"/whip/{name}", data="v=0", Authorization=token(subject="b"), **SDP),
            )
            if clock() - started > 2:  # a director may have gone on to the next origin
                continue
            assert sorted(answer.status for answer in answers) == [201, 409]
            races += 1
        assert races >= RACES
        assert eu.origin.subjects
        assert second.subjects


async def test_a_takeover_goes_where_the_stream_stands(eu: Region) -> None:
    """D23: also when the rendezvous would choose another origin by now."""
    one, two = eu.regions.directors["eu"]
    async with PlayedNode("origin-eu-1", "origin") as second, PlayedNode("origin-eu-2", "origin") as third:
        for node in (second, third):
            await node.link(one.url, two.url)
        holder = min((eu.origin, second, third), key=lambda node: node.slot)
        for stream in ("test_eu", "second_eu"):
            await holder.publish(stream)
            await until(partial(two.has, stream, "live"))
            sent = await two.ask("POST", f"/whip/{stream}", data="v=0", Authorization=token(stream), **SDP)
            assert sent.headers["Location"].startswith(f"/session/{holder.ref}/")
        other = await one.ask("POST", "/n/origin-eu-1/whip/test_eu", data="v=0", Authorization=token(), **SDP)
        assert (other.status, other.problem) == (409, "name-in-use")


async def test_named_nodes_are_reached_by_path(eu: Region) -> None:
    """R2's way: a player pointed at one node by the node's own path."""
    one, _ = eu.regions.directors["eu"]
    await eu.origin.publish("test_eu")
    await until(lambda: eu.edges[1].table.stream("test_eu") is not None)
    for node in eu.nodes:
        played = await one.ask("POST", f"/n/{node.slot}/whep/test_eu", data="v=0", **SDP)
        assert played.headers["Location"].startswith(f"/session/{node.ref}/")
