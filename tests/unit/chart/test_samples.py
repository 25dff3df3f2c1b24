from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from rivulet_chart.render import ROOT

SAMPLES = ROOT / "samples"


def documents(*paths: Path) -> list[dict[str, Any]]:
    return [document for path in paths for document in yaml.safe_load_all(path.read_text())]


def folder(name: str) -> list[dict[str, Any]]:
    return documents(*sorted((SAMPLES / name).glob("*.yaml")))


def nodes(name: str) -> Counter[str]:
    wanted = [document for document in folder(name) if document["kind"] == "CDNNode"]
    return Counter({document["metadata"]["name"]: document["spec"].get("replicas", 1) for document in wanted})


def test_p1_one_region_is_an_origin_with_the_balancer_two_edges_and_turn() -> None:
    assert nodes("one-region") == {"origin-eu": 1, "edge-eu": 2, "turn-eu": 1}
    (region,) = [document for document in folder("one-region") if document["kind"] == "CDNRegion"]
    assert region["spec"]["balancer"] == {"enabled": True}


def test_e9_two_regions_are_an_origin_and_two_edges_each_and_turn_in_eu() -> None:
    assert nodes("two-regions") == {"origin-eu": 1, "edge-eu": 2, "turn-eu": 1, "origin-us": 1, "edge-us": 2}


def test_p2_three_sites_are_an_origin_in_one_and_an_edge_in_each() -> None:
    assert nodes("three-sites") == {"origin-eu": 1, "edge-eu": 1, "edge-us": 1, "edge-ap": 1}


@pytest.mark.parametrize("name", ["one-region", "two-regions", "three-sites"])
def test_every_region_that_a_sample_names_has_its_fact_sheet(name: str) -> None:
    sheets = {document["metadata"]["name"] for document in folder(name) if document["kind"] == "CDNRegion"}
    named = {document["spec"]["region"] for document in folder(name) if document["kind"] != "CDNRegion"}
    assert named == sheets


def test_kind_maps_the_front_door_turn_and_each_media_port_of_its_region() -> None:
    (cluster,) = documents(SAMPLES / "kind" / "cluster.yaml")
    (region,) = documents(SAMPLES / "kind" / "region.yaml")
    mapped = {(entry["hostPort"], entry["protocol"]) for entry in cluster["nodes"][0]["extraPortMappings"]}
    ports = region["spec"]["nodeDefaults"]["portRange"]
    media = range(ports["first"], ports["last"] + 1)
    front_door = region["spec"]["directors"]["publicNodePort"]
    both = {(port, protocol) for port in (3478, *media) for protocol in ("TCP", "UDP")}
    assert mapped == {(front_door, "TCP")} | both
    assert all(entry["hostPort"] == entry["containerPort"] for entry in cluster["nodes"][0]["extraPortMappings"])
