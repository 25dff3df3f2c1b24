from collections.abc import Iterator
from typing import Any

import pytest

from rivulet_scene.bare import BareCdn

STREAMS: dict[str, dict[str, Any]] = {
    "test_eu": {"region": "eu"},
    "other_eu": {"region": "eu", "holdSeconds": 120},
    "third_eu": {"region": "eu"},
    "short_hold": {"region": "eu", "holdSeconds": 10},
}


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BareCdn]:
    """One region of bare processes: a director, an origin, an edge."""
    with BareCdn(tmp_path_factory.mktemp("region"), {"eu": 1}, STREAMS) as cdn:
        cdn.director("eu", ready=False)
        cdn.node("origin-eu-0", "origin", "eu")
        cdn.node("edge-eu-0", "edge", "eu")
        cdn.settled("eu")
        yield cdn
