import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rivulet_scene.clients import Client, camera, probe
from rivulet_scene.command import CommandError
from rivulet_scene.install import Keys, install, join_regions
from rivulet_scene.region import NAMESPACE, SYSTEM_NAMESPACE, Region, regions
from rivulet_scene.waiting import until

NODES_READY_SECONDS = 150


@dataclass(frozen=True)
class Cdn:
    """The CDN over two clusters, and what was seen of eu while us came."""

    eu: Region
    us: Region
    keys: Keys
    seen_while_us_came: dict[str, Any]
    eu_uids_before: dict[str, str]

    def publish(self, stream: str, *options: str, region: Region | None = None, subject: str = "camera-1") -> Client:
        """A camera standing in the region's network that publishes there; returns once the Stream is live."""
        at = region or self.eu
        client = camera(f"{at.door}/whip/{stream}", *options, token=self.keys.token(stream, subject), place=at.name)
        try:
            client.line(0)
            until(lambda: stream_is_live(at, stream), f"{stream} live", seconds=10)
        except AssertionError:
            client.stop()
            raise
        return client


def stream_is_live(region: Region, stream: str) -> bool:
    for found in region.get("streams.rivulet.dev"):
        if found["spec"].get("name", found["metadata"]["name"]) == stream:
            conditions = found.get("status", {}).get("conditions", [])
            return any(each["type"] == "Live" and each["status"] == "True" for each in conditions)
    return False


def nodes_ready(region: Region) -> bool:
    found = region.get("cdnnodes.rivulet.dev")
    return bool(found) and all(
        any(
            each["type"] == "Ready" and each["status"] == "True"
            for each in node.get("status", {}).get("conditions", [])
        )
        and node["status"].get("observedGeneration") == node["metadata"]["generation"]
        for node in found
        if node["spec"]["region"] == region.name
    )


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
        with camera(f"{eu.door}/whip/test_eu", token=keys.token("test_eu"), place="eu") as publisher:
            publisher.line(0)
            until(lambda: stream_is_live(eu, "test_eu"), "test_eu live", seconds=10)
            with probe(f"{eu.door}/whep/test_eu", seconds=90, place="eu") as viewer:
                viewer.line(0)
                install(us, both, keys)
                until(lambda: nodes_ready(us), "us's nodes Ready", seconds=NODES_READY_SECONDS)
                join_regions(both)
                seen = viewer.result(seconds=120)
        yield Cdn(eu, us, keys, seen, before)
    finally:
        for region in both.values():
            keep_logs(region)


def keep_logs(region: Region) -> None:
    """Logs of every pod and the state of every object, for a failed run."""
    target = Path(os.environ.get("RIVULET_LOGS", "logs")) / "clusters" / region.name
    target.mkdir(parents=True, exist_ok=True)
    for namespace in (NAMESPACE, SYSTEM_NAMESPACE):
        try:
            (target / f"{namespace}.yaml").write_text(
                region.kubectl("get", "pods,deployments,cdnregions,cdnnodes,streams", "-o", "yaml", namespace=namespace)
            )
            (target / f"{namespace}-events.txt").write_text(region.kubectl("get", "events", namespace=namespace))
            for pod in region.get("pods", namespace=namespace):
                name = pod["metadata"]["name"]
                text = region.kubectl("logs", name, "--all-containers", "--tail=2000", namespace=namespace)
                (target / f"{namespace}-{name}.log").write_text(text)
        except (CommandError, subprocess.SubprocessError, OSError) as failure:
            (target / f"{namespace}.failed").write_text(str(failure))
