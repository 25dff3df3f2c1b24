"""``status`` and ``env``: what runs, where, and whether it is well."""

from dataclasses import dataclass
from typing import Any

from rivulet_testbed import components, processes, wan_control
from rivulet_testbed.allocation import Testbed
from rivulet_testbed.cluster import Cluster
from rivulet_testbed.components import Installation
from rivulet_testbed.errors import TestbedError
from rivulet_testbed.kubectl import ready_nodes
from rivulet_testbed.layout import TestbedPaths
from rivulet_testbed.places import POD_CIDR, SERVICE_CIDR, Place


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    what: str
    healthy: bool
    detail: str


def environment(testbed: Testbed, paths: TestbedPaths, binaries: str) -> dict[str, Any]:
    """Describe the testbed for programs. Pure."""
    regions = {
        place.name: {
            "kubeconfig": str(paths.region(place).kubeconfig("admin")),
            "context": place.name,
            "netns": place.nodes[0].netns,
            "nodeIP": place.nodes[0].address,
            "podCIDR": POD_CIDR,
            "serviceCIDR": SERVICE_CIDR,
            "gateway": place.gateway,
            "mtu": place.mtu,
            "nodes": [{"name": n.name, "netns": n.netns, "ip": n.address, "podCIDR": n.pod_cidr} for n in place.nodes],
        }
        for place in testbed.regions
    }
    places = {
        place.name: {"netns": place.nodes[0].netns, "ip": place.nodes[0].address, "gateway": place.gateway}
        for place in testbed.places
    }
    return {"prefix": testbed.prefix, "regions": regions, "places": places, "binaries": binaries}


def look(testbed: Testbed, installation: Installation, clusters: list[Cluster]) -> list[Finding]:
    """Look at everything that ought to run."""
    findings = [_router(installation.paths)]
    for cluster in clusters:
        findings += [_component(installation, cluster.place, name) for name in components.names(cluster.place)]
        findings += _cluster(cluster)
    return findings + [_bare(place) for place in testbed.places if not place.is_region]


def _bare(place: Place) -> Finding:
    return Finding(f"{place.name}: place", healthy=True, detail=f"{place.nodes[0].address} in {place.nodes[0].netns}")


def _router(paths: TestbedPaths) -> Finding:
    record = processes.read_record(paths.wan / "router.pid")
    try:
        answer = wan_control.ask(paths.wan, "stats")
    except TestbedError as reason:
        return Finding("WAN router", healthy=False, detail=str(reason))
    return Finding(
        "WAN router",
        healthy=True,
        detail=f"pid {record.pid if record else '?'}, {answer['under_way']} packets under way",
    )


def _component(installation: Installation, place: Place, name: str) -> Finding:
    record = processes.read_record(components.program(installation, place, name).record)
    alive = processes.is_alive(record)
    return Finding(f"{place.name}: {name}", alive, f"pid {record.pid}" if alive and record else "not running")


def _cluster(cluster: Cluster) -> list[Finding]:
    place = cluster.place
    api = cluster.kubectl.is_ready()
    ready = ready_nodes(cluster.kubectl.items("nodes")) if api else set()
    findings = [Finding(f"{place.name}: API", api, f"https://{place.nodes[0].address}:6443")]
    for node in place.nodes:
        state = "Ready" if node.name in ready else "not Ready"
        findings.append(Finding(f"{place.name}: node {node.name}", node.name in ready, f"{node.address} {state}"))
    findings.append(Finding(f"{place.name}: DNS", cluster.dns_answers(), "kubernetes.default resolves"))
    return findings


def render(findings: list[Finding]) -> str:
    """Render one line per finding. Pure."""
    return "\n".join(f"{'ok  ' if f.healthy else 'BAD '} {f.what:<34} {f.detail}" for f in findings)
