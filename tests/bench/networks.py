"""Where server and clients of a benchmark stand: both on loopback, or the server as a pod does.

A pod: a namespace of its own behind a bridge, its UDP port mapped to its machine's by DNAT, what it begins itself
masqueraded, as the CNI plugins bridge, portmap and the ip-masq of host-local set-ups do. The clients are a third
namespace behind another veth, which stands for the wire. Each packet passes two veths, a bridge, the machine's
forwarding and its conntrack. The host's own network is left alone.
"""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

MEDIA_PORT = 7000
POD, BRIDGE = "10.244.9.2", "10.244.9.1"
POD_RANGE = "10.244.9.0/24"
MACHINE, CLIENTS = "172.31.9.1", "172.31.9.2"
STEP_SECONDS = 20


@dataclass(frozen=True)
class Network:
    """Two sides, each with the words that start a program there."""

    label: str
    server_side: tuple[str, ...] = ()
    client_side: tuple[str, ...] = ()
    bound: str = "127.0.0.1"
    port: int = 0  # 0: any
    advertised: str = "127.0.0.1"
    clients: str = "127.0.0.1"


LOOPBACK = Network("loopback")


def inside(namespace: str) -> tuple[str, ...]:
    """The words that start a program in a namespace; its process is the program itself."""
    return ("nsenter", f"--net=/run/netns/{namespace}")


def plan(pod: str, machine: str, clients: str) -> list[str]:
    """The commands that make it all, in namespaces of these names. Pure."""
    there = {name: " ".join(inside(name)) for name in (pod, machine, clients)}
    nat = f"{there[machine]} iptables -w -t nat"
    return [
        *(f"ip netns add {name}" for name in there),
        *(f"{words} ip link set lo up" for words in there.values()),
        f"{there[machine]} ip link add cni0 type bridge",
        f"{there[machine]} ip addr add {BRIDGE}/24 dev cni0",
        f"{there[machine]} ip link set cni0 up",
        f"{there[machine]} ip link add veth0 type veth peer name eth0 netns {pod}",
        f"{there[machine]} ip link set veth0 master cni0 up",
        f"{there[pod]} ip addr add {POD}/24 dev eth0",
        f"{there[pod]} ip link set eth0 up",
        f"{there[pod]} ip route add default via {BRIDGE}",
        f"{there[machine]} ip link add eth0 type veth peer name eth0 netns {clients}",
        f"{there[machine]} ip addr add {MACHINE}/24 dev eth0",
        f"{there[machine]} ip link set eth0 up",
        f"{there[clients]} ip addr add {CLIENTS}/24 dev eth0",
        f"{there[clients]} ip link set eth0 up",
        f"{there[machine]} sysctl -qw net.ipv4.ip_forward=1",
        f"{nat} -A PREROUTING -p udp -d {MACHINE} --dport {MEDIA_PORT} -j DNAT --to-destination {POD}:{MEDIA_PORT}",
        f"{nat} -A POSTROUTING -s {POD_RANGE} ! -d {POD_RANGE} -j MASQUERADE",
    ]


@contextlib.contextmanager
def pod() -> Iterator[Network]:
    """The namespaces, for as long as the block lasts. Needs root."""
    if os.geteuid() != 0:
        raise SystemExit("a pod's network needs root: it is made of network namespaces")
    names = [f"rvfan{os.getpid()}-{part}" for part in ("pod", "machine", "clients")]
    try:
        for command in plan(*names):
            subprocess.run(command.split(), check=True, timeout=STEP_SECONDS)
        server, _, clients = (inside(name) for name in names)
        yield Network("pod", server, clients, POD, MEDIA_PORT, MACHINE, CLIENTS)
    finally:
        for name in names:  # their devices and rules go with them
            subprocess.run(["ip", "netns", "del", name], check=False, timeout=STEP_SECONDS, stderr=subprocess.DEVNULL)
