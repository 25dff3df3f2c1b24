"""The CDN over two clusters, as all scenes see it."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rivulet_scene import metrics
from rivulet_scene.clients import Client, camera
from rivulet_scene.command import CommandError
from rivulet_scene.install import Keys
from rivulet_scene.region import NAMESPACE, SYSTEM_NAMESPACE, Region, on_testbed
from rivulet_scene.waiting import until

# A WAN to cut, a control plane to restart, a place without UDP, a way to pods: no other cluster offers that to a test.
needs_testbed = pytest.mark.skipif(not on_testbed(), reason="needs the testbed, not just two clusters")


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
        client = camera(f"{at.door}/whip/{stream}", *options, token=self.keys.token(stream, subject), place=at.place)
        try:
            client.line(0)
            until(lambda: stream_is_live(at, stream), f"{stream} live", seconds=30)
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


def table_of(region: Region, pod: dict[str, Any]) -> dict[str, Any]:
    """A node's own table, through the API server."""
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod['metadata']['name']}:8080/proxy/v1/table"
    return dict(json.loads(region.kubectl("get", "--raw", path)))


def metric(region: Region, pod: dict[str, Any], name: str, **labels: str) -> float:
    """A node's metric, through the API server: the sum of its samples that carry these labels."""
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod['metadata']['name']}:8080/proxy/metrics"
    return metrics.total(region.kubectl("get", "--raw", path), name, **labels)


def digests(*at: Region) -> set[str]:
    """The digests of all nodes' own tables: one when they agree."""
    pods = [(region, pod) for region in at for role in ("origin", "edge") for pod in region.pods(role)]
    return {str(table_of(region, pod)["digest"]) for region, pod in pods}


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
