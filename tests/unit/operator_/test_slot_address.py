"""The address of a slot in its CDNNode's status."""

from __future__ import annotations

from typing import Literal

import pytest

from rivulet_operator.manifests.choices import Images
from rivulet_operator.model.facts import Facts
from rivulet_operator.model.kinds import CDN_NODE, CDN_REGION, Kind
from rivulet_operator.model.node import Node
from rivulet_operator.model.owner import Identity
from rivulet_operator.model.region import Region
from rivulet_operator.model.slot import Pod, Slot
from rivulet_operator.plan import node as node_plan
from rivulet_operator.plan.pool import Pool

BOTH = ("2001:db8::10", "203.0.113.10")


def _who(kind: Kind, name: str) -> Identity:
    return Identity(kind=kind, namespace="cdn", name=name, uid=name, generation=1, created="2026-11-21T09:00:00Z")


def _address(role: Literal["edge", "turn"], addresses: tuple[str, ...], pods: tuple[Pod, ...]) -> object:
    name = f"{role}-eu"
    slot = Slot(
        name=f"{name}-0",
        pool=name,
        role=role,
        uid="u",
        resource_version="5",
        revision="r",
        template={},
        port=7000,
        pods=pods,
    )
    pool = Pool(
        node=Node(identity=_who(CDN_NODE, name), role=role, region="eu", replicas=1),
        region=Region(identity=_who(CDN_REGION, "eu"), host="eu.example"),
        images=Images(media="media:1", coturn="coturn:1"),
        facts=Facts(),
        slots=(slot,),
        addresses={"h1": addresses} if addresses else {},
    )
    (status,) = node_plan.plan(pool, 1_795_000_000.0).status.fields["slots"]
    return status.get("address")


@pytest.mark.parametrize(
    ("role", "pod_ip", "addresses", "shown"),
    [
        ("edge", "10.0.0.1", BOTH, "2001:db8::10"),
        ("edge", "10.0.0.1", (), None),
        ("turn", "10.0.0.1", BOTH, "203.0.113.10"),
        ("turn", "fd00::1", BOTH, "2001:db8::10"),
        ("turn", "10.0.0.1", BOTH[:1], "2001:db8::10"),
        ("turn", "", BOTH, "2001:db8::10"),
        ("turn", "10.0.0.1", (), None),
    ],
)
def test_a_slot_shows_its_host_s_best_address_a_turn_server_one_that_it_listens_on(
    role: Literal["edge", "turn"], pod_ip: str, addresses: tuple[str, ...], shown: str | None
) -> None:
    assert _address(role, addresses, (Pod(name="p", host="h1", ip=pod_ip),)) == shown


def test_the_pod_that_ends_says_nothing_of_the_one_that_has_come() -> None:
    pods = (
        Pod(name="old", host="h2", ip="fd00::1", ending=True, created="2026-11-21T09:00:01Z"),
        Pod(name="new", host="h1", ip="10.0.0.1", created="2026-11-21T09:00:00Z"),
    )
    assert _address("turn", BOTH, pods) == "203.0.113.10"
