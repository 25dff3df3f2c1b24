import dataclasses

import pytest

from rivulet_media.director.joining import JoinRefusedError, admit
from rivulet_media.director.resources import parse_documents
from rivulet_media.table import Role
from rivulet_media.wire import Hello

HELLO = Hello(incarnation="0" * 12, http_port=8080, media_port=7003, kube_node="Worker.1", version=1)
RESOURCES = parse_documents(
    [
        {
            "kind": "CDNRegion",
            "metadata": {"name": "eu"},
            "spec": {"host": "h", "nodeDefaults": {"addressMap": {"mapped": "198.51.100.1"}}},
            "status": {"nodeAddresses": {"mapped": "203.0.113.1", "known": "203.0.113.2"}},
        },
        {"kind": "CDNNode", "metadata": {"name": "origin-eu"}, "spec": {"role": "origin", "region": "eu"}},
        {"kind": "CDNNode", "metadata": {"name": "edge-us"}, "spec": {"role": "edge", "region": "us"}},
        {"kind": "CDNNode", "metadata": {"name": "turn-eu"}, "spec": {"role": "turn", "region": "eu"}},
    ],
    fresh=True,
).resources


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
    ("kube_node", "address"),
    [("mapped", "198.51.100.1"), ("known", "203.0.113.2"), ("unknown", "10.0.0.1"), ("", "10.0.0.1")],
)
def test_the_address_is_mapped_or_published_or_that_of_the_hello(kube_node: str, address: str) -> None:
    hello = dataclasses.replace(HELLO, kube_node=kube_node)
    assert admit(hello, remote="10.0.0.1", region="eu", resources=RESOURCES).address == address


@pytest.mark.parametrize(("slot", "role"), [("origin-eu-0", "edge"), ("edge-us-0", "edge"), ("turn-eu-0", None)])
def test_a_contradiction_names_the_cdnnode(slot: str, role: Role | None) -> None:
    hello = dataclasses.replace(HELLO, slot=slot, role=role)
    with pytest.raises(JoinRefusedError, match=f"CDNNode {slot[:-2]}"):
        admit(hello, remote="10.0.0.1", region="eu", resources=RESOURCES)
