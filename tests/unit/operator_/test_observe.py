"""What of the cluster's objects is taken for what: the addresses of hosts."""

from __future__ import annotations

from typing import Any

import pytest

from rivulet_operator.cache import Cache
from rivulet_operator.manifests.choices import Images
from rivulet_operator.model.kinds import HOST
from rivulet_operator.model.region import parse
from rivulet_operator.observe import Installed, Observer, host_addresses

Addresses = list[tuple[str, str]]
EXTERNAL_4, EXTERNAL_6 = ("ExternalIP", "203.0.113.10"), ("ExternalIP", "2001:db8::10")
INTERNAL_4, INTERNAL_6 = ("InternalIP", "10.0.0.10"), ("InternalIP", "fd00::10")
CASES: dict[str, tuple[Addresses, tuple[str, ...]]] = {
    "one family": ([("Hostname", "h1"), INTERNAL_4], ("10.0.0.10",)),
    "two families": ([INTERNAL_4, INTERNAL_6], ("10.0.0.10", "fd00::10")),
    "IPv6 first": ([INTERNAL_6, ("Hostname", "h1"), INTERNAL_4], ("fd00::10", "10.0.0.10")),
    "outside before inside": ([INTERNAL_4, INTERNAL_6, EXTERNAL_4, EXTERNAL_6], ("203.0.113.10", "2001:db8::10")),
    "outside in one family": ([INTERNAL_4, INTERNAL_6, EXTERNAL_6], ("2001:db8::10",)),
    "the first of each": (
        [EXTERNAL_4, ("ExternalIP", "203.0.113.11"), EXTERNAL_6, ("ExternalIP", "2001:db8::11")],
        ("203.0.113.10", "2001:db8::10"),
    ),
    "names only": ([("Hostname", "h1"), ("ExternalDNS", "h1.example")], ()),
    "nothing yet": ([], ()),
}


def _host(name: str, addresses: Addresses) -> dict[str, Any]:
    status = {"addresses": [{"type": kind, "address": address} for kind, address in addresses]}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": name}, "status": status}


@pytest.mark.parametrize("case", CASES)
def test_a_host_has_an_address_of_each_family_its_external_ones_before_internal_ones(case: str) -> None:
    told, addresses = CASES[case]
    assert host_addresses(_host("h1", told)) == addresses


def test_a_host_that_has_no_status_yet_has_no_address() -> None:
    assert host_addresses({"metadata": {"name": "h1"}}) == ()


def test_the_region_s_map_goes_before_what_kubernetes_knows() -> None:
    cache = Cache()
    for name in ("mapped", "known", "unknown"):
        cache.put(_host(name, [] if name == "unknown" else [INTERNAL_4, INTERNAL_6]))
    mapped = {"mapped": "198.51.100.1, 2001:db8::9,198.51.100.1", "elsewhere": "198.51.100.2"}
    metadata = {"name": "eu", "namespace": "cdn", "uid": "u", "generation": 1}
    own = parse({"metadata": metadata, "spec": {"host": "h", "nodeDefaults": {"addressMap": mapped}}})
    observer = Observer(
        cache, Installed(region="eu", namespace="cdn", images=Images(media="m", coturn="c"), cluster="c")
    )
    assert len(cache.all(HOST)) == 3
    assert observer.addresses(own) == {
        "mapped": ("198.51.100.1", "2001:db8::9"),
        "known": ("10.0.0.10", "fd00::10"),
    }
