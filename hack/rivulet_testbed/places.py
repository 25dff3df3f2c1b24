"""Places on the emulated map: names, numbers and addresses. Pure.

A *place* is one end of the WAN: a region with a cluster (one or more kubelets) or a bare namespace in which clients
stand. Every place owns one slot of 172.30.0.0/16: slot s is 172.30.s.0/24, its gateway (in the root namespace) is .1,
its nodes .2, .3, … Pod and Service ranges are the same in all regions on purpose: pods are never reached from another
region, only nodeIP:port.
"""

import re
from dataclasses import dataclass

from rivulet_testbed.errors import UsageError

POD_CIDR = "10.244.0.0/16"
SERVICE_CIDR = "10.96.0.0/16"
API_SERVICE_IP = "10.96.0.1"
DNS_SERVICE_IP = "10.96.0.10"
MAX_PREFIXES = 16
PLACES_PER_PREFIX = 16
MAX_KUBELETS = 9
DEFAULT_MTU = 1450
INTERFACE_NAME_LIMIT = 15
RESERVED_PLACES = frozenset({"wan", "run"})
_NAME = re.compile(r"[a-z][a-z0-9]*")


@dataclass(frozen=True)
class Node:
    """One machine: a network namespace with an address, and (in a region) a kubelet."""

    name: str
    netns: str
    address: str
    veth: str
    pod_cidr: str


@dataclass(frozen=True)
class Place:
    """A region (kubelets ≥ 1) or a bare place (kubelets = 0) of one prefix."""

    prefix: str
    name: str
    slot: int
    kubelets: int
    mtu: int = DEFAULT_MTU

    @property
    def is_region(self) -> bool:
        """Whether a cluster runs here."""
        return self.kubelets > 0

    @property
    def bridge(self) -> str:
        """The bridge in the root namespace that joins this place's nodes."""
        return f"{self.prefix}-{self.name}"

    @property
    def subnet(self) -> str:
        """The place's slot of the testbed's range."""
        return f"172.30.{self.slot}.0/24"

    @property
    def gateway(self) -> str:
        """The root namespace's address on the place's bridge."""
        return f"172.30.{self.slot}.1"

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The machines of the place; the first carries the control plane."""
        return tuple(self._node(number) for number in range(1, max(1, self.kubelets) + 1))

    def _node(self, number: int) -> Node:
        suffix = "" if number == 1 else f"-{number}"
        return Node(
            name=f"{self.name}-{number}",
            netns=f"{self.prefix}-{self.name}{suffix}",
            address=f"172.30.{self.slot}.{number + 1}",
            veth=f"{self.prefix}-{self.name}.{number}",
            pod_cidr=f"10.244.{number}.0/24",
        )


@dataclass(frozen=True)
class Wish:
    """What the command line asks for: a place's name and its number of kubelets (0: a bare place)."""

    name: str
    kubelets: int


def parse_wish(text: str) -> Wish:
    """Parse ``eu``, ``eu:2`` (two kubelets) or ``place:nsk`` (no cluster)."""
    head, _, tail = text.partition(":")
    if head == "place":
        return Wish(tail, 0)
    if tail and not tail.isdigit():
        raise UsageError(f"{text!r}: write REGION, REGION:KUBELETS or place:NAME")
    kubelets = int(tail) if tail else 1
    if not 1 <= kubelets <= MAX_KUBELETS:
        raise UsageError(f"{text!r}: 1 to {MAX_KUBELETS} kubelets per region")
    return Wish(head, kubelets)


def check_prefix(prefix: str) -> None:
    """Refuse prefixes that cannot become interface names."""
    if not _NAME.fullmatch(prefix):
        raise UsageError(f"prefix {prefix!r}: lower-case letters and digits, a letter first")


def check_place(prefix: str, name: str) -> None:
    """Refuse place names that collide with our own names or do not fit an interface name."""
    check_prefix(prefix)
    if not _NAME.fullmatch(name) or name in RESERVED_PLACES:
        raise UsageError(
            f"place {name!r}: lower-case letters and digits, a letter first, none of {sorted(RESERVED_PLACES)}"
        )
    longest = f"{prefix}-{name}.{MAX_KUBELETS}"
    if len(longest) > INTERFACE_NAME_LIMIT:
        excess = len(longest) - INTERFACE_NAME_LIMIT
        raise UsageError(
            f"prefix {prefix!r} and place {name!r} together are {excess} characters too long for an interface name"
        )


def router_table(prefix_index: int) -> int:
    """Return the number of the policy routing table and rule priority of a prefix."""
    return 7700 + prefix_index
