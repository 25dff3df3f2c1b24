import dataclasses

import pytest

from rivulet_media.director.joining import JoinRefusedError, admit
from rivulet_media.director.resources import parse_documents
from rivulet_media.table import Role
from rivulet_media.wire import Hello

HELLO = Hello(incarnation="0" * 12, http_port=8080, media_port=7003, kube_node="Worker.1", version=1)
MAP = {
    "mapped": "198.51.100.1",
    "dual": "198.51.100.1, 2001:DB8:0::9,198.51.100.1,::ffff:192.0.2.1",
    "many": ",".join(f"198.51.100.{number}" for number in range(9)),
    "half": "198.51.100.1,host.example.com",
    "nonsense": "999.1.1.1",
}
PARSED = parse_documents(
    [
        {
            "kind": "CDNRegion",
            "metadata": {"name": "eu"},
            "spec": {"host": "h", "nodeDefaults": {"addressMap": MAP}},
            "status": {
                "nodeAddresses": {"mapped": "203.0.113.1", "known": "203.0.113.2", "nonsense": "203.0.113.3"},
                "nodeAddressesAlso": {"mapped": ["2001:db8::1"], "known": ["2001:db8::2"]},
            },
        },
        {"kind": "CDNNode", "metadata": {"name": "origin-eu"}, "spec": {"role": "origin", "region": "eu"}},
        {"kind": "CDNNode", "metadata": {"name": "edge-us"}, "spec": {"role": "edge", "region": "us"}},
        {"kind": "CDNNode", "metadata": {"name": "turn-eu"}, "spec": {"role": "turn", "region": "eu"}},
    ],
    fresh=True,
)
RESOURCES = PARSED.resources


@pytest.mark.parametrize(
    ("slot", "role", "expected"),
    [
        (None, None, ("worker-1-7003", "edge")),
        ("origin-eu-0", None, ("origin-eu-0", "origin")),
        ("elsewhere-3", "origin", ("elsewhere-3", "origin")),
        ("origin-eu", None, ("origin-eu", "edge")),
    ],
)
def test_slot_and_role(slot: str | None, role: Role | None, expected: tuple[str, str]) -> None:
    hello = dataclasses.replace(HELLO, slot=slot, role=role)
    admission = admit(hello, remote="10.0.0.1", region="eu", resources=RESOURCES)
    assert (admission.slot, admission.role) == expected


@pytest.mark.parametrize(
    ("kube_node", "addresses"),
    [
        ("mapped", ["198.51.100.1"]),
        ("dual", ["198.51.100.1", "2001:db8::9", "192.0.2.1"]),
        ("many", [f"198.51.100.{number}" for number in range(4)]),
        ("half", ["198.51.100.1"]),
        ("nonsense", ["203.0.113.3"]),
        ("known", ["203.0.113.2", "2001:db8::2"]),
        ("unknown", ["10.0.0.1"]),
        ("", ["10.0.0.1"]),
    ],
)
def test_addresses_are_mapped_or_published_or_that_of_the_hello(kube_node: str, addresses: list[str]) -> None:
    hello = dataclasses.replace(HELLO, kube_node=kube_node)
    assert list(admit(hello, remote="10.0.0.1", region="eu", resources=RESOURCES).addresses) == addresses


def test_a_hello_by_a_link_local_address_advertises_it_without_its_zone() -> None:
    assert admit(HELLO, remote="fe80::1%eth0", region="eu", resources=RESOURCES).addresses == ("fe80::1",)


def test_what_of_the_map_is_no_address_is_named() -> None:
    assert PARSED.problems == (
        "CDNRegion eu: spec.nodeDefaults.addressMap.half: 'host.example.com' is no IP address",
        "CDNRegion eu: spec.nodeDefaults.addressMap.nonsense: '999.1.1.1' is no IP address",
    )


@pytest.mark.parametrize(("slot", "role"), [("origin-eu-0", "edge"), ("edge-us-0", "edge"), ("turn-eu-0", None)])
def test_a_contradiction_names_the_cdnnode(slot: str, role: Role | None) -> None:
    hello = dataclasses.replace(HELLO, slot=slot, role=role)
    with pytest.raises(JoinRefusedError, match=f"CDNNode {slot[:-2]}"):
        admit(hello, remote="10.0.0.1", region="eu", resources=RESOURCES)
