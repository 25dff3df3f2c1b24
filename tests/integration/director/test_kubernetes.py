"""Resources from a real API server: followed while it is there, kept when it is not (docs/contract.md §10)."""

import asyncio
from pathlib import Path

import pytest

import kube_api
from director.played_node import PlayedNode
from director.scene import PlayedDirector, resource, until
from rivulet_media.wire import PullOrder, Pulls, StreamPolicy

pytestmark = pytest.mark.timeout(240)  # starts an API server; builds it when nobody has yet


async def test_resources_are_followed_and_outlive_the_api(tmp_path: Path) -> None:
    """O6's ground: a Stream made and deleted is noticed; one that starts without the API knows the last state."""
    director = PlayedDirector("eu", tmp_path / "none.yaml", tmp_path / "state", kubeconfig=tmp_path / "api/kubeconfig")
    try:
        with kube_api.running(tmp_path / "api") as api:
            await _follows(api, director)
        # Without the API: nothing is forgotten, neither by this process nor by the next.
        await asyncio.sleep(2)
        assert (await director.ask("POST", "/whep/kept", data="v=0")).problem == "not-live"
        director.kill()
        await director.start().ready()
        assert (await director.ask("POST", "/whep/kept", data="v=0")).problem == "not-live"
        assert (await director.ask("POST", "/whep/made_later", data="v=0")).status in (404, 503)
        metrics = (await director.ask_inside("GET", "/metrics")).text
        assert "rivulet_director_settled 1.0" in metrics
        assert director.stop() == 0
    finally:
        director.kill()


async def _follows(api: kube_api.KubeApi, director: PlayedDirector) -> None:
    region = resource("CDNRegion", "eu", {"host": "eu.example", "balancer": {"enabled": True}})
    other = resource("CDNRegion", "us", {"host": "us.example", "mesh": {"address": "127.0.0.1:9"}})
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mesh-us"}, "stringData": {"token": "mesh"}}
    api.apply(region, other, secret, _stream("kept"))
    await director.start().ready()
    assert await _problem_becomes(director, "kept", "not-live")
    api.apply(_stream("made_later"))
    assert await _problem_becomes(director, "made_later", "not-live")
    api.kubectl("delete", "streams.rivulet.dev", "made-later", "--wait=false")
    assert await _problem_becomes(director, "made_later", "not-found", "settling")
    await _pulls(api, director)
    # The mesh Secret was read by its name: its bearer is let in as far as the WebSocket.
    mesh = {"Authorization": "Bearer mesh", "Rivulet_Region": "us"}

    async def let_in() -> bool:
        return (await director.ask_inside("GET", "/v1/mesh", **mesh)).status != 401

    await until(let_in, 15)


async def _pulls(api: kube_api.KubeApi, director: PlayedDirector) -> None:
    """The Secret that a Stream names is read, and what it says goes to the origin that is to pull."""
    async with PlayedNode("origin-eu-0", "origin") as node:
        await node.link(director.url)
        url = "https://cdn.example/whep/s"
        pull = {"url": url, "secretRef": {"name": "pull-cdn", "key": "token"}}
        api.apply(resource("Stream", "pulled", {"region": "eu", "source": {"pull": pull}}))
        assert await until(lambda: "there is no Secret pull-cdn" in (_order(node).problem or ""), 15)
        assert (_order(node).url, _order(node).token) == (url, None)
        secret = {"metadata": {"name": "pull-cdn"}, "stringData": {"token": "for-cdn"}}
        api.apply({"apiVersion": "v1", "kind": "Secret", **secret})
        assert await until(lambda: _order(node).problem is None, 25)
        assert (_order(node).url, _order(node).token) == (url, "for-cdn")


def _order(node: PlayedNode) -> PullOrder:
    """The latest one of the stream; one with a problem of its own while there is none."""
    said = [frame.streams for frame in node.frames if isinstance(frame, Pulls)]
    nothing = PullOrder(url="", policy=StreamPolicy(stream="pulled"), problem="not ordered yet")
    return said[-1].get("pulled", nothing) if said else nothing


async def _problem_becomes(director: PlayedDirector, stream: str, *problems: str) -> float:
    async def asked() -> bool:
        return (await director.ask("POST", f"/whep/{stream}", data="v=0")).problem in problems

    return await until(asked, 20)


def _stream(name: str) -> dict[str, object]:
    return resource("Stream", name.replace("_", "-"), {"name": name, "region": "eu", "source": {"publish": {}}})
