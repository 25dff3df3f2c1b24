from pathlib import Path

import pytest

from rivulet_testbed import teardown
from rivulet_testbed.layout import TestbedPaths
from rivulet_testbed.places import Place
from rivulet_testbed.teardown import Scope

PATHS = TestbedPaths(Path("/state"), "rv")
EU = Place("rv", "eu", 0, 2)
WHOLE = teardown.scope_of(PATHS, None)
ONLY_EU = teardown.scope_of(PATHS, [EU])


def test_the_scope_of_a_place_is_its_nodes_its_folder_and_its_name() -> None:
    assert Scope(("rivulet-testbed/rv/eu-1", "rivulet-testbed/rv/eu-2"), (Path("/state/rv/eu"),), ("eu",)) == ONLY_EU
    assert Scope(("rivulet-testbed/rv",), (Path("/state/rv"),), None) == WHOLE


@pytest.mark.parametrize(
    ("name", "whole", "only_eu"),
    [
        ("rv-eu", True, True),
        ("rv-eu-2", True, True),
        ("rv-eu.2", True, True),
        ("rv-us", True, False),
        ("rv-wan", True, False),
        ("rv-eux", True, False),
        ("rvx-eu", False, False),
        ("eth0", False, False),
    ],
)
def test_only_names_of_the_prefix_are_taken_down(name: str, *, whole: bool, only_eu: bool) -> None:
    assert (WHOLE.holds(name, "rv"), ONLY_EU.holds(name, "rv")) == (whole, only_eu)


def test_mounts_below_our_folders_go_the_latest_first_and_no_others() -> None:
    points = ["/", "/state", "/state/rv/eu/a", "/state/rv/eu/a/b\\040c", "/state/rvx/eu", "/state/rv/us"]
    mountinfo = "\n".join(f"{n} 1 0:1 / {point} rw - ext4 x rw" for n, point in enumerate(points))
    assert teardown.mounts_below(mountinfo, ONLY_EU.folders) == ["/state/rv/eu/a/b c", "/state/rv/eu/a"]
    assert len(teardown.mounts_below(mountinfo, WHOLE.folders)) == 3


def test_rules_are_found_by_their_bridge_also_when_it_is_gone() -> None:
    listing = (
        "0:\tfrom all lookup local\n"
        "7700:\tfrom all iif rv-eu [detached] lookup 7700\n"
        "7700:\tfrom all iif rv-us lookup 7700\n"
        "7701:\tfrom all iif t-eu lookup 7701\n"
        "9000:\tfrom all iif rv-eu lookup 9\n"
    )
    assert teardown.stale_rules(listing, "rv", WHOLE) == [("7700", "rv-eu"), ("7700", "rv-us")]
    assert teardown.stale_rules(listing, "rv", ONLY_EU) == [("7700", "rv-eu")]


@pytest.mark.parametrize("folder", ["state/rv", "state/rv/eu"])
def test_what_containerd_keeps_outside_is_found_through_what_it_keeps_inside(tmp_path: Path, folder: str) -> None:
    containerd = tmp_path / "state/rv/eu/eu-1/containerd"
    task = containerd / "state/io.containerd.runtime.v2.task/k8s.io/abc"
    task.mkdir(parents=True)
    (task / "address").write_text("unix:///run/containerd/s/123")
    (containerd / "root/io.containerd.grpc.v1.cri/sandboxes/abc").mkdir(parents=True)
    assert teardown.shim_sockets(tmp_path / folder) == [Path("/run/containerd/s/123")]
    assert teardown.loopback_results(tmp_path / folder) == [Path("/var/lib/cni/results/cni-loopback-abc-lo")]
