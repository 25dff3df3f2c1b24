"""The wires: bridges in the root namespace, one namespace per node, routes, and the way into the WAN router.

The plans are pure lists of commands; every command may run again (the shell skips what exists).
"""

from dataclasses import dataclass

from rivulet_testbed.allocation import Testbed
from rivulet_testbed.places import POD_CIDR, Node, Place, router_table

BRIDGE_GATEWAY_PREFIX = 24


@dataclass(frozen=True)
class Step:
    """One command; ``unless`` is a command whose success says that nothing need be done."""

    argv: tuple[str, ...]
    unless: tuple[str, ...] = ()


def _step(command: str, unless: str = "") -> Step:
    return Step(tuple(command.split()), tuple(unless.split()))


def tun_name(prefix: str) -> str:
    """Return the name of the router's device."""
    return f"{prefix}-wan"


def bridge_plan(place: Place) -> list[Step]:
    """Join a place to the root namespace: no delay on this way, the WAN router delays only place → place."""
    bridge = place.bridge
    return [
        _step(f"ip link add {bridge} type bridge", f"ip link show dev {bridge}"),
        _step(f"ip link set {bridge} mtu {place.mtu} up"),
        _step(f"ip addr replace {place.gateway}/{BRIDGE_GATEWAY_PREFIX} dev {bridge}"),
        # Per device, so that the host's global settings stay as they are; loose, as replies come out of the tun.
        _step(f"sysctl -qw net.ipv4.conf.{bridge}.forwarding=1 net.ipv4.conf.{bridge}.rp_filter=2"),
        _step(f"sysctl -qw net.ipv4.conf.{bridge}.send_redirects=0"),
    ]


def node_plan(place: Place, node: Node) -> list[Step]:
    """Make a node's namespace with its address, its way out and its kernel settings."""
    inside = f"nsenter --net=/run/netns/{node.netns}"
    sysctls = (
        "net.ipv4.ip_forward=1 "
        "net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0 "
        "net.ipv4.conf.all.route_localnet=1 net.ipv4.tcp_congestion_control=cubic"
    )
    steps = [
        _step(f"ip netns add {node.netns}", f"test -e /run/netns/{node.netns}"),
        # Its own namespace first, so that a kill between two steps leaves no half-moved veth.
        _step(
            f"ip link add {node.veth} mtu {place.mtu} type veth peer name eth0 mtu {place.mtu} netns {node.netns}",
            f"ip link show dev {node.veth}",
        ),
        _step(f"ip link set {node.veth} master {place.bridge} up"),
        _step(f"{inside} ip link set lo up"),
        _step(f"{inside} ip addr replace {node.address}/{BRIDGE_GATEWAY_PREFIX} dev eth0"),
        _step(f"{inside} ip link set eth0 up"),
        _step(f"{inside} ip route replace default via {place.gateway}"),
        _step(f"{inside} sysctl -qw {sysctls}"),
    ]
    return steps + (_pod_route_plan(place, node) if place.is_region else [])


def _pod_route_plan(place: Place, node: Node) -> list[Step]:
    """Pods of the same region reach each other untranslated; to the rest of the world a pod is its node."""
    inside = f"nsenter --net=/run/netns/{node.netns}"
    routes = [
        _step(f"{inside} ip route replace {other.pod_cidr} via {other.address}")
        for other in place.nodes
        if other != node
    ]
    masquerade = f"POSTROUTING -s {POD_CIDR} ! -d {POD_CIDR} -o eth0 -j MASQUERADE"
    nat = f"{inside} iptables -w -t nat"
    # No way out of the cluster for a pod address that nobody has: it must not travel the WAN.
    unreachable = _step(f"{inside} ip route replace unreachable {POD_CIDR}")
    return [*routes, unreachable, _step(f"{nat} -A {masquerade}", f"{nat} -C {masquerade}")]


def forward_plan(prefix: str) -> list[Step]:
    """Let the testbed's packets through a host whose FORWARD policy is DROP (Docker's, for one)."""
    steps = []
    for direction in ("-i", "-o"):
        rule = f"FORWARD {direction} {prefix}-+ -m comment --comment rivulet-testbed:{prefix} -j ACCEPT"
        steps.append(_step(f"iptables -w -I {rule}", f"iptables -w -C {rule}"))
    return steps


def wan_route_plan(testbed: Testbed) -> list[Step]:
    """Send what one place has for another into the tun; all else that comes from a place goes nowhere."""
    tun = tun_name(testbed.prefix)
    table = router_table(testbed.index)
    steps = [
        _step(f"ip link set {tun} mtu 1500 txqueuelen 5000 up"),
        _step(f"sysctl -qw net.ipv4.conf.{tun}.forwarding=1 net.ipv4.conf.{tun}.rp_filter=2"),
        _step(f"ip route replace unreachable default table {table}"),
    ]
    for place in testbed.places:
        rule = f"from all iif {place.bridge} lookup {table}"
        steps += [
            _step(f"ip route replace {place.subnet} dev {tun} table {table}"),
            _step(f"ip rule add pref {table} {rule}", f"rule-exists {table} {place.bridge}"),
        ]
    return steps


def has_rule(listing: str, table: int, bridge: str) -> bool:
    """Tell whether ``ip rule`` lists our rule for that bridge."""
    return any(
        line.startswith(f"{table}:") and f" iif {bridge} " in f"{line} " and f"lookup {table}" in line
        for line in listing.splitlines()
    )
