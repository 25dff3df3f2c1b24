"""Who a node is, by its hello and the resources (docs/contract.md §7.1). Pure."""

import re
from dataclasses import dataclass

from rivulet_media.director.resources import CDNNode, Resources
from rivulet_media.table import Role
from rivulet_media.wire import Hello

LONGEST_LABEL = 63


class JoinRefusedError(Exception):
    """The hello contradicts the resources; the message says what to change."""


@dataclass(frozen=True)
class Admission:
    """What the node is told of itself."""

    slot: str
    role: Role
    addresses: tuple[str, ...]


def admit(hello: Hello, *, remote: str, region: str, resources: Resources) -> Admission:
    """Slot, role and advertised addresses; `remote` is where the hello came from. Raises JoinRefusedError."""
    slot = hello.slot or _slot_by_host(hello)
    pool = resources.pool_of(slot)
    role = hello.role or _role_of(pool) or "edge"
    if pool is not None:
        _check(pool, slot, role, region)
    return Admission(slot, role, addresses_of(hello, remote=remote, region=region, resources=resources))


def addresses_of(hello: Hello, *, remote: str, region: str, resources: Resources) -> tuple[str, ...]:
    """Explicit map, ExternalIPs, InternalIPs (as the operator has published them), else where the hello came from."""
    sheet = resources.regions.get(region)
    known = sheet.addresses_of(hello.kube_node) if sheet is not None else ()
    return known or (remote.partition("%")[0],)


def _check(pool: CDNNode, slot: str, role: Role, region: str) -> None:
    name = pool.metadata.name
    if pool.spec.region != region:
        raise JoinRefusedError(
            f"slot {slot} belongs to CDNNode {name} of region {pool.spec.region}; this is {region}: "
            "join through that region's director, or take another slot name"
        )
    if pool.spec.role != role:
        raise JoinRefusedError(
            f"slot {slot} belongs to CDNNode {name} with role {pool.spec.role}, the hello says {role}: "
            "leave the role out, or take another slot name"
        )


def _role_of(pool: CDNNode | None) -> Role | None:
    if pool is None or pool.spec.role == "turn":
        return None
    return pool.spec.role


def _slot_by_host(hello: Hello) -> str:
    """Several nodes of one host differ by their media ports: every director gives the same name, and asks nobody."""
    suffix = f"-{hello.media_port}"
    label = re.sub(r"[^a-z0-9-]+", "-", hello.kube_node.lower()).strip("-") or "node"
    return label[: LONGEST_LABEL - len(suffix)].rstrip("-") + suffix
