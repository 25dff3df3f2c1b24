import os
import secrets
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from entrances import Entrance
from rivulet_scene.bare import BareCdn
from rivulet_scene.waiting import until
from steps import BRIEF_LINKS, LONG_NAME, agreed, publish


@pytest.fixture(scope="module")
def cdn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BareCdn]:
    """Two regions: eu with two directors, an origin, two edges; us with one director, an origin, an edge."""
    directory = tmp_path_factory.mktemp("cdn")
    streams: dict[str, dict[str, Any]] = {
        "test_eu": {"region": "eu"},
        "second_eu": {"region": "eu"},
        "test_us": {"region": "us"},
        LONG_NAME: {"region": "eu"},
        "short_hold": {"region": "eu", "holdSeconds": 20, "distribution": {"idleSeconds": 1}},
    }
    with BareCdn(directory, {"eu": 2, "us": 1}, streams) as running:
        for region, number in (("eu", 0), ("eu", 1), ("us", 0)):
            running.director(region, number, ready=False)
        running.node("origin-eu-0", "origin", "eu")
        running.node("edge-eu-0", "edge", "eu", *BRIEF_LINKS, director=1)
        running.node("edge-eu-1", "edge", "eu", *BRIEF_LINKS)
        running.node("origin-us-0", "origin", "us")
        running.node("edge-us-0", "edge", "us", *BRIEF_LINKS)
        for region, number in (("eu", 0), ("eu", 1), ("us", 0)):
            running.settled(region, number)
        until(partial(agreed, running), "all know each other", seconds=20)
        yield running
        keep_logs(directory)


@pytest.fixture(scope="module")
def playing(cdn: BareCdn) -> Iterator[BareCdn]:
    """`test_eu` is live all the time."""
    with publish(cdn, "test_eu"):
        yield cdn


@pytest.fixture(params=["front door", "node"])
def entrance(request: pytest.FixtureRequest, playing: BareCdn) -> Entrance:
    """Each way in, once."""
    if request.param == "front door":
        return Entrance.at_the_door(playing)
    let_in = {"Rivulet-Join": playing.regions["eu"].join_token, "Rivulet-Subject": "camera-1"}
    nodes = playing.processes
    return Entrance("node", nodes["origin-eu-0"].http, nodes["edge-eu-0"].http, let_in)


def keep_logs(directory: Path) -> None:
    """Copy a CDN's logs to logs/bare, so that a failed run can be read afterwards."""
    target = Path(os.environ.get("RIVULET_LOGS", "logs")) / "bare" / f"{directory.name}-{secrets.token_hex(2)}"
    target.mkdir(parents=True, exist_ok=True)
    for log in directory.glob("*.log"):
        (target / log.name).write_bytes(log.read_bytes())
