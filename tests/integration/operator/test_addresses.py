"""The addresses of Kubernetes nodes, in a real API server: what the CDNRegion's status says of them, and when."""

from typing import Any

import pytest

from operator_bench import Bench

pytestmark = pytest.mark.timeout(180)  # starts an API server


def _told(bench: Bench) -> tuple[Any, Any]:
    status = bench.read("cdnregions", "eu").get("status", {})
    return status.get("nodeAddresses"), status.get("nodeAddressesAlso")


def test_hosts_of_two_families_have_two_addresses_and_the_map_goes_first(bench: Bench) -> None:
    """Of a host with one address nothing more is said than ever; addresses come, change and go."""
    bench.host("old", InternalIP=["10.0.0.10"])
    bench.host("dual", InternalIP=["10.0.0.11", "fd00::11"])
    bench.host("outside", InternalIP=["10.0.0.12", "fd00::12"], ExternalIP=["2001:db8::12", "203.0.113.12"])
    bench.region(nodeDefaults={"addressMap": {"old": "10.0.0.10"}})
    bench.start()
    first = {"old": "10.0.0.10", "dual": "10.0.0.11", "outside": "2001:db8::12"}
    also = {"dual": ["fd00::11"], "outside": ["203.0.113.12"]}
    bench.until(lambda: _told(bench) == (first, also), "addresses of both families")
    bench.region(nodeDefaults={"addressMap": {"old": "198.51.100.1,2001:db8::1,198.51.100.2"}})
    mapped = ({**first, "old": "198.51.100.1"}, {**also, "old": ["2001:db8::1", "198.51.100.2"]})
    bench.until(lambda: _told(bench) == mapped, "the map's addresses")
    bench.region()
    bench.host("dual", InternalIP=["10.0.0.11"])
    bench.host("outside", InternalIP=["10.0.0.12"])
    bench.until(lambda: _told(bench) == ({**first, "outside": "10.0.0.12"}, None), "one address each")


def test_the_front_door_and_the_mesh_ask_for_both_families(bench: Bench) -> None:
    """A cluster of one family, such as this one, takes it and gives one address."""
    bench.region()
    bench.start()
    services = ("rivulet-director", "rivulet-director-internal", "rivulet-directors")
    bench.until(lambda: all(bench.read("services", name) for name in services), "services")
    specs = [bench.read("services", name)["spec"] for name in services]
    policies = ["PreferDualStack", "PreferDualStack", "SingleStack"]
    assert [spec["ipFamilyPolicy"] for spec in specs] == policies
    assert [spec["ipFamilies"] for spec in specs] == [["IPv4"]] * 3
