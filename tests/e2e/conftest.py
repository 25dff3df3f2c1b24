import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rivulet_scene.clients import camera, probe
from rivulet_scene.install import Keys, install, join_regions
from rivulet_scene.region import Region, regions
from rivulet_scene.waiting import until
from scene import Cdn, keep_logs, nodes_ready, stream_is_live

NODES_READY_SECONDS = 150
MEETING_SECONDS = 60


@pytest.fixture(scope="session")
def cdn() -> Iterator[Cdn]:
    """Region eu is installed and plays; then region us is added (E8); both stay for all tests."""
    both = regions("eu", "us")
    eu, us = both["eu"], both["us"]
    keys = Keys(Path(os.environ.get("RIVULET_LOGS", "logs")) / "publish.key")
    try:
        install(eu, both, keys)
        until(lambda: nodes_ready(eu), "eu's nodes Ready", seconds=NODES_READY_SECONDS)
        before = eu.uids()
        with camera(f"{eu.door}/whip/test_eu", token=keys.token("test_eu"), place=eu.place) as publisher:
            publisher.line(0)
            until(lambda: stream_is_live(eu, "test_eu"), "test_eu live", seconds=30)
            with probe(f"{eu.door}/whep/test_eu", seconds=300, place=eu.place) as viewer:
                viewer.line(0)
                install(us, both, keys)
                until(lambda: nodes_ready(us), "us's nodes Ready", seconds=NODES_READY_SECONDS)
                join_regions(both)
                until(lambda: all(map(has_met_the_other, both.values())), "eu and us meet", seconds=MEETING_SECONDS)
                viewer.stop()
                seen = viewer.result()
        yield Cdn(eu, us, keys, seen, before)
    finally:
        for region in both.values():
            keep_logs(region)


def has_met_the_other(region: Region) -> bool:
    mesh = region.condition("cdnregion", region.name, "MeshReady")
    return mesh is not None and mesh["reason"] == "Connected"
