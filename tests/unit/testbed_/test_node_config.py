import json
from pathlib import Path

from rivulet_testbed import node_config
from rivulet_testbed.layout import TestbedPaths
from rivulet_testbed.places import Place

PLACE = Place("rv", "eu", 0, 2, mtu=1280)
NODE = PLACE.nodes[1]
PATHS = TestbedPaths(Path("/state"), "rv")
FILES = node_config.files(PLACE, NODE, PATHS.node(PLACE, NODE), PATHS.region(PLACE), "pause:1", Path("/cni"))
BY_NAME = {path.name: content for path, content in FILES.items()}


def test_every_file_of_a_node_lies_in_the_nodes_folder() -> None:
    assert all(path.is_relative_to("/state/rv/eu/eu-2") for path in FILES)


def test_everything_that_containerd_keeps_lies_in_the_nodes_folder() -> None:
    toml = BY_NAME["containerd.toml"]
    paths = [word.strip('"') for word in toml.split() if word.startswith('"/')]
    assert [path for path in paths if not path.startswith("/state/rv/eu/eu-2")] == ["/cni"]
    assert "netns_mounts_under_state_dir = true" in toml


def test_pods_get_the_nodes_range_the_places_mtu_and_ports_of_the_host() -> None:
    ptp, _, portmap = json.loads(BY_NAME["10-rivulet.conflist"])["plugins"]
    assert (ptp["type"], ptp["mtu"], ptp["ipam"]["ranges"]) == ("ptp", 1280, [[{"subnet": "10.244.2.0/24"}]])
    assert portmap["capabilities"] == {"portMappings": True}


def test_kubelet_runs_its_pods_below_the_prefixs_cgroup_and_keeps_images() -> None:
    kubelet = json.loads(BY_NAME["kubelet.json"])
    assert kubelet["cgroupRoot"] == "/rivulet-testbed/rv/eu-2/pods"
    assert kubelet["imageGCHighThresholdPercent"] == 100
    assert kubelet["tlsCertFile"] == "/state/rv/eu/pki/node-eu-2.crt"


def test_kube_proxy_leaves_the_hosts_conntrack_settings_alone() -> None:
    proxy = json.loads(BY_NAME["kube-proxy.json"])
    assert proxy["mode"] == "iptables"
    assert set(proxy["conntrack"].values()) == {0, "0s"}
