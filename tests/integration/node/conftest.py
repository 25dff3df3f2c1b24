from collections.abc import Iterator
from typing import Any

import pytest

from rivulet_scene.bare import BareCdn
from rivulet_scene.http import get
from rivulet_scene.waiting import until

STREAMS: dict[str, dict[str, Any]] = {
    "test_eu": {"region": "eu"},
    "other_eu": {"region": "eu"},
    "third_eu": {"region": "eu"},
    "short_hold": {"region": "eu", "holdSeconds": 5},
}


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BareCdn]:
    """One region of bare processes: a director, an origin, an edge."""
    with BareCdn(tmp_path_factory.mktemp("region"), {"eu": 1}, STREAMS) as cdn:
        cdn.director("eu", ready=False)
        cdn.node("origin-eu-0", "origin", "eu")
        cdn.node("edge-eu-0", "edge", "eu")
        door = cdn.regions["eu"].public()
        until(lambda: get(f"{door}/readyz").status == 200, "the director has settled", seconds=15)
        yield cdn
