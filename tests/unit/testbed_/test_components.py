from pathlib import Path

import pytest

from rivulet_testbed import components
from rivulet_testbed.components import Installation
from rivulet_testbed.errors import UsageError
from rivulet_testbed.layout import TestbedPaths
from rivulet_testbed.places import Place

INSTALLATION = Installation(TestbedPaths(Path("/state"), "rv"), Path("/bin-cache"))
EU = Place("rv", "eu", 0, 2)


def test_a_region_has_one_control_plane_and_agents_per_node() -> None:
    assert components.names(EU) == [
        *("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"),
        *("containerd", "kubelet", "kube-proxy", "containerd-2", "kubelet-2", "kube-proxy-2"),
    ]
    assert components.names(Place("rv", "nsk", 1, 0)) == []


@pytest.mark.parametrize("name", components.names(EU))
def test_a_restarted_component_has_the_same_arguments_record_and_namespace(name: str) -> None:
    first, second = (components.program(INSTALLATION, EU, name) for _ in range(2))
    assert first == second
    assert first.record == Path(f"/state/rv/eu/pids/{name}.pid")
    assert first.netns == ("rv-eu-2" if name.endswith("-2") else "rv-eu")


def test_an_unknown_component_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="kube-scheduler"):
        components.program(INSTALLATION, EU, "kubelet-3")


def test_the_api_server_is_known_by_its_nodes_address() -> None:
    argv = components.program(INSTALLATION, EU, "kube-apiserver").argv
    assert "--advertise-address=172.30.0.2" in argv
    assert "--kubelet-preferred-address-types=InternalIP" in argv
