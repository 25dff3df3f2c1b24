"""Every process of a region by name, as a Program: what ``up``, ``stop``, ``start`` and ``restart`` work on. Pure."""

from dataclasses import dataclass
from pathlib import Path

from rivulet_testbed import cgroups, control_plane
from rivulet_testbed.errors import UsageError
from rivulet_testbed.layout import TestbedPaths
from rivulet_testbed.network import tun_name
from rivulet_testbed.packages import SYSTEM_PATH
from rivulet_testbed.places import Node, Place
from rivulet_testbed.processes import Program

CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
NODE_AGENTS = ("containerd", "kubelet", "kube-proxy")
HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Installation:
    """What all programs share: where they lie and where their data goes."""

    paths: TestbedPaths
    binaries: Path


def names(place: Place) -> list[str]:
    """List a region's components; those of the second and later nodes carry the node's number (``kubelet-2``)."""
    agents = [agent_name(agent, number) for number in range(1, place.kubelets + 1) for agent in NODE_AGENTS]
    return [*CONTROL_PLANE, *agents] if place.is_region else []


def agent_name(agent: str, number: int) -> str:
    """Name an agent of the node with that number."""
    return agent if number == 1 else f"{agent}-{number}"


def program(installation: Installation, place: Place, name: str) -> Program:
    """Return the Program of a component; every call returns the same, so that a restart changes nothing."""
    if name not in names(place):
        raise UsageError(f"no component {name!r} in {place.name!r}; there are: {', '.join(names(place))}")
    if name in CONTROL_PLANE:
        return _program(installation, place, place.nodes[0], name, _control_plane_argv(installation, place, name))
    agent, number = _split_agent(name)
    node = place.nodes[number - 1]
    return _program(installation, place, node, name, _agent_argv(installation, place, node, agent))


def _split_agent(name: str) -> tuple[str, int]:
    for agent in NODE_AGENTS:
        if name.startswith(agent) and (name == agent or name[len(agent)] == "-"):
            return agent, int(name.removeprefix(agent).lstrip("-") or 1)
    raise UsageError(f"no component {name!r}")


def _program(installation: Installation, place: Place, node: Node, name: str, argv: list[str]) -> Program:
    region = installation.paths.region(place)
    return Program(
        name=f"{place.name}: {name}",
        argv=tuple(argv),
        record=region.pids / f"{name}.pid",
        log=region.logs / f"{name}.log",
        netns=node.netns,
        cgroup_procs=cgroups.daemon_procs(installation.paths.node(place, node).daemon_cgroup),
        env={"PATH": f"{installation.binaries}:{SYSTEM_PATH}"},
    )


def _control_plane_argv(installation: Installation, place: Place, name: str) -> list[str]:
    region = installation.paths.region(place)
    if name == "etcd":
        return control_plane.etcd_argv(installation.binaries, region)
    if name == "kube-apiserver":
        return control_plane.api_server_argv(installation.binaries, region, place)
    if name == "kube-controller-manager":
        return control_plane.controller_manager_argv(installation.binaries, region)
    return control_plane.scheduler_argv(installation.binaries, region)


def _agent_argv(installation: Installation, place: Place, node: Node, agent: str) -> list[str]:
    region = installation.paths.region(place)
    paths = installation.paths.node(place, node)
    if agent == "containerd":
        return ["containerd", "--config", str(paths.root / "containerd.toml")]
    if agent == "kube-proxy":
        return [str(installation.binaries / "kube-proxy"), f"--config={paths.root}/kube-proxy.json"]
    return [
        str(installation.binaries / "kubelet"),
        f"--config={paths.root}/kubelet.json",
        f"--kubeconfig={region.kubeconfig(f'node-{node.name}')}",
        f"--hostname-override={node.name}",
        f"--node-ip={node.address}",
        f"--root-dir={paths.kubelet}",
        f"--node-labels=topology.kubernetes.io/region={place.name}",
    ]


def wan_router(paths: TestbedPaths) -> Program:
    """Return the WAN router of the prefix; it runs in the root namespace."""
    return Program(
        name="WAN router",
        argv=("/usr/bin/python3", "-m", "rivulet_testbed.wan_router", tun_name(paths.prefix), str(paths.wan)),
        record=paths.wan / "router.pid",
        log=paths.wan / "router.log",
        cgroup_procs=cgroups.daemon_procs(f"{paths.cgroup}/wan"),
        env={"PYTHONPATH": str(HERE.parent), "PYTHONDONTWRITEBYTECODE": "1"},
    )
