"""Two regions: what each learns of the other, who is passed where, and a way between them that is cut."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

import pytest

from attempts import ATTEMPTS, one_of_three
from director.played_node import PlayedNode
from director.scene import PlayedDirector, PlayedRegions, token, until
from rivulet_media.table import StreamEntry
from rivulet_media.wire import Policies, RelayIn

pytestmark = pytest.mark.timeout(180)
SDP = {"Content_Type": "application/sdp"}
MESH = {"Authorization": "Bearer mesh", "Rivulet_Region": "us"}


@dataclass
class Continents:
    regions: PlayedRegions
    eu: PlayedDirector
    us: PlayedDirector
    eu_origin: PlayedNode
    eu_edge: PlayedNode
    us_origin: PlayedNode
    us_edge: PlayedNode

    @property
    def nodes(self) -> list[PlayedNode]:
        return [self.eu_origin, self.eu_edge, self.us_origin, self.us_edge]

    def have(self, entry: StreamEntry) -> bool:
        """Whether this is a stream's entry in every node's table."""
        return all(node.table.stream(entry.stream) == entry for node in self.nodes)


@pytest.fixture
async def both(regions: PlayedRegions) -> AsyncIterator[Continents]:
    (eu,), (us,) = regions.add("eu", 1), regions.add("us", 1)
    regions.start()
    async with (
        PlayedNode("origin-eu-0", "origin") as eu_origin,
        PlayedNode("edge-eu-0", "edge") as eu_edge,
        PlayedNode("origin-us-0", "origin", region="us") as us_origin,
        PlayedNode("edge-us-0", "edge", region="us") as us_edge,
    ):
        await regions.ready()
        for node, director in ((eu_origin, eu), (eu_edge, eu), (us_origin, us), (us_edge, us)):
            await node.link(director.url)
        scene = Continents(regions, eu, us, eu_origin, eu_edge, us_origin, us_edge)
        await until(lambda: all(len(node.table.nodes) == 4 for node in scene.nodes), 30)
        yield scene


async def test_every_node_of_both_regions_has_the_same_table(both: Continents) -> None:
    """E9 E15 D10 D11: also while streams start and end; a node killed in eu is down in us ≤ 10 s."""

    def equal() -> bool:
        return len({node.table.digest() for node in both.nodes}) == 1

    async def change() -> float:
        """How long everybody waits for a stream's start or its end."""
        published = await both.eu_origin.publish("test_eu"), await both.us_origin.publish("test_us")
        started = await until(lambda: all(map(both.have, published)) and equal())
        ended = await both.eu_origin.end(published[0])
        return max(started, await until(lambda: both.have(ended) and equal()))

    assert min([await change() for _ in range(ATTEMPTS)]) <= 2
    await both.eu_edge.vanish()

    def down() -> bool:
        seen = both.us_edge.table.node(both.eu_edge.ref)
        return seen is not None and seen.state == "down"

    await until(down, 10)


async def test_a_foreign_stream_plays_on_an_own_edge_and_is_published_at_home(both: Continents) -> None:
    """E12: the viewer stays in us. A publisher at the wrong door is passed on, with the right of its own token."""
    sent = await both.us.ask("POST", "/whip/test_eu", data="v=0", Authorization=token("test_eu"), **SDP)
    assert sent.headers["Location"].startswith(f"/session/{both.eu_origin.ref}/")
    refused = await both.us.ask("POST", "/whip/test_eu", data="v=0", Authorization=token("test_us"), **SDP)
    assert (refused.status, refused.problem) == (403, "forbidden")
    assert (await both.us.ask("POST", "/whip/test_eu", data="v=0", **SDP)).status == 401

    assert (await both.us.ask("POST", "/whep/test_eu", data="v=0", **SDP)).problem == "not-live"
    await both.eu_origin.publish("test_eu")
    await until(lambda: both.us_edge.table.stream("test_eu") is not None)
    played = await both.us.ask("POST", "/whep/test_eu", data="v=0", **SDP)
    assert played.headers["Location"].startswith(f"/session/{both.us_edge.ref}/")
    for location in (sent.headers["Location"], played.headers["Location"]):
        for director in (both.us, both.eu):
            assert (await director.ask("PATCH", location, data="a=x", If_Match='"1"')).status == 204
            assert (await director.ask("DELETE", location)).status == 200


async def test_a_node_of_another_region_is_reached_by_its_name(both: Continents) -> None:
    """E13's way: the node itself refuses what it does not serve, and its answer comes through."""
    await both.eu_origin.publish("test_eu")
    await until(lambda: both.us_edge.table.stream("test_eu") is not None)
    both.us_origin.status = 403
    for director in (both.us, both.eu):
        assert (await director.ask("POST", "/n/origin-us-0/whep/test_eu", data="v=0", **SDP)).status == 403
    played = await both.us.ask("POST", "/n/edge-eu-0/whep/test_eu", data="v=0", **SDP)
    assert played.headers["Location"].startswith(f"/session/{both.eu_edge.ref}/")


async def test_a_relay_crosses_through_both_directors(both: Continents) -> None:
    """E12 R6: a us edge asks the eu origin; the join tokens of the two regions never leave them."""
    path = f"/v1/relay/eu/{both.eu_origin.ref}/test_eu"
    headers = {"Rivulet_Node": both.us_edge.ref, "Rivulet_Cluster": "us"}
    answer = await both.us.ask_inside("POST", path, data="v=0", Authorization="Bearer join", **headers, **SDP)
    assert answer.status == 201
    seen = both.eu_origin.requests[-1]
    assert (seen.path, seen.headers["Rivulet-Node"]) == ("/relay/test_eu", both.us_edge.ref)
    assert "Rivulet-Region" not in seen.headers
    end = f"/v1/relay/eu{answer.headers['Location']}"
    assert (await both.us.ask_inside("DELETE", end, Authorization="Bearer join")).status == 200
    assert (await both.us.ask_inside("POST", path, data="v=0")).status == 401


async def test_a_link_crosses_through_both_directors(both: Continents) -> None:
    """E12 R6: whatever a us edge asks of the eu origin about links, and nothing else."""
    path = f"/v1/links/eu/{both.eu_origin.ref}"
    headers = {"Rivulet_Node": both.us_edge.ref, "Rivulet_Cluster": "us", "Content_Type": "application/json"}
    link = "00000000000000aa"
    for method, part, seen_as in (
        ("POST", "", "/links"),
        ("GET", f"/{link}", f"/links/{link}"),
        ("POST", f"/{link}/legs", f"/links/{link}/legs"),
    ):
        answer = await both.us.ask_inside(method, path + part, Authorization="Bearer join", **headers)
        assert answer.status < 300, answer
        seen = both.eu_origin.requests[-1]
        assert (seen.method, seen.path, seen.headers["Rivulet-Node"]) == (method, seen_as, both.us_edge.ref)
        assert (await both.us.ask_inside(method, path + part)).status == 401
    before = len(both.eu_origin.requests)
    wrong = await both.us.ask_inside("GET", f"{path}/..%2Fmetrics", Authorization="Bearer join", **headers)
    assert (wrong.status, wrong.problem) == (404, "no-link")
    nobody = f"/v1/links/eu/origin-eu-9/{both.eu_origin.incarnation}"
    answer = await both.us.ask_inside("POST", nobody, Authorization="Bearer join", **headers)
    assert (answer.status, answer.problem) == (503, "no-node"), "404 would say that there are no links at all"
    assert len(both.eu_origin.requests) == before


async def test_a_stream_s_settings_reach_the_nodes_of_every_region(both: Continents) -> None:
    """A us edge that pulls an eu stream hears eu's idleSeconds and holdSeconds, and hears when they change."""
    await both.eu_origin.publish("test_eu")
    both.us_edge.relays_in = (RelayIn(stream="test_eu", parent=both.eu_origin.ref, state="live"),)

    def heard() -> tuple[float, float] | None:
        said = [frame.streams["test_eu"] for frame in both.us_edge.frames if isinstance(frame, Policies)]
        return (said[-1].idle_seconds, said[-1].hold_seconds) if said else None

    await until(lambda: heard() == (10, 30))
    both.regions.stream_fields = {"distribution": {"idleSeconds": 1}, "holdSeconds": 5}
    both.regions.write()
    await until(lambda: heard() == (1, 5))


async def test_the_mesh_needs_its_own_token(both: Continents) -> None:
    """S2: neither without one, nor with another's, nor with the join token; a passed request is not passed again."""
    for headers in ({}, {**MESH, "Authorization": "Bearer join"}, {**MESH, "Rivulet_Region": "mars"}):
        assert (await both.eu.ask_inside("GET", "/v1/mesh", **headers)).status == 401
        assert (await both.eu.ask_inside("POST", "/v1/pass/whep/test_eu", data="v=0", **headers)).status == 401
    path = f"/v1/pass/session/{both.us_edge.ref}/{1:016x}"
    assert (await both.eu.ask_inside("GET", path, **MESH)).status == 404


async def test_viewers_go_elsewhere_when_the_region_has_no_edge(both: Continents) -> None:
    """L16's ground: own edges first, another region's when there is none."""
    await both.us_origin.publish("test_us")
    await until(lambda: both.eu_edge.table.stream("test_us") is not None)
    await both.us_edge.change("draining")
    await until(lambda: (seen := both.eu_edge.table.slot("edge-us-0")) is not None and seen.state == "draining")
    played = await both.us.ask("POST", "/whep/test_us", data="v=0", **SDP)
    assert played.headers["Location"].startswith(f"/session/{both.eu_edge.ref}/")


async def test_a_publisher_abroad_hears_of_a_frozen_node_before_giving_up(both: Continents) -> None:
    """The stream's region says so itself, in time for the answer to come back: OBS waits 8 s."""
    clock = asyncio.get_running_loop().time
    both.eu_origin.frozen = True

    async def told_in_time(path: str) -> bool:
        started = clock()
        refused = await both.us.ask("POST", path, data="v=0", Authorization=token("test_eu"), **SDP)
        assert (refused.status, "Retry-After" in refused.headers) == (503, True)
        return refused.problem == "no-node" and clock() - started < 8

    for path in ("/whip/test_eu", "/n/origin-eu-0/whip/test_eu"):
        assert await one_of_three(partial(told_in_time, path)), path


async def test_a_region_that_is_cut_off_stays_in_the_table_and_heals(both: Continents) -> None:
    """D20: known but unreachable is 503, unknown is 404; nothing leaves a table; back, all is as before."""
    await both.eu_origin.publish("test_eu")
    await until(lambda: both.us_edge.table.stream("test_eu") is not None)
    both.eu.kill()

    async def unreachable() -> bool:
        answer = await both.us.ask("POST", "/whep/test_eu", data="v=0", **SDP)
        return answer.status == 503 and answer.problem == "region-unreachable"

    await until(unreachable, 20)
    shown = (await both.us.table())["nodes"]
    assert {node["node"]: node.get("unreachable", False) for node in shown} == {
        "origin-eu-0": True,
        "edge-eu-0": True,
        "origin-us-0": False,
        "edge-us-0": False,
    }
    assert (await both.us.ask("POST", "/whep/nope", data="v=0")).status == 404
    assert len(both.us_edge.table.nodes) == 4
    both.eu.start()
    await both.eu.ready()

    async def plays() -> bool:
        return (await both.us.ask("POST", "/whep/test_eu", data="v=0", **SDP)).status == 201

    await until(plays, 20)
    assert len(both.us_edge.table.nodes) == 4


async def test_a_wrong_mesh_token_is_named_to_the_operator(regions: PlayedRegions) -> None:
    """S2: no table crosses; the reason is TokenRefused."""
    (eu,), (us,) = regions.add("eu", 1), regions.add("us", 1)
    regions.mesh_tokens = {"eu": "one", "us": "another"}
    await regions.start().ready()
    async with PlayedNode("edge-us-0", "edge", region="us") as edge:
        await edge.link(us.url)
        await asyncio.sleep(3)
        assert (await eu.table())["nodes"] == []
