"""Where everything of a testbed lies on disk and in the cgroup tree. Pure."""

from dataclasses import dataclass
from pathlib import Path

from rivulet_testbed.places import Node, Place

CGROUP_ROOT = "rivulet-testbed"


@dataclass(frozen=True)
class RegionPaths:
    """A region's control plane."""

    root: Path

    @property
    def pki(self) -> Path:
        """Keys and certificates."""
        return self.root / "pki"

    @property
    def etcd(self) -> Path:
        """The database."""
        return self.root / "etcd"

    @property
    def logs(self) -> Path:
        """One log per component."""
        return self.root / "logs"

    @property
    def pids(self) -> Path:
        """One record per running component."""
        return self.root / "pids"

    def kubeconfig(self, user: str) -> Path:
        """Return the kubeconfig of one user (admin, scheduler, …)."""
        return self.root / "kubeconfigs" / f"{user}.kubeconfig"


@dataclass(frozen=True)
class NodePaths:
    """A node's container runtime and kubelet."""

    root: Path
    cgroup: str

    @property
    def containerd(self) -> Path:
        """Root and state of containerd."""
        return self.root / "containerd"

    @property
    def containerd_socket(self) -> Path:
        """Where kubelet and ctr find containerd."""
        return self.root / "containerd.sock"

    @property
    def kubelet(self) -> Path:
        """Kubelet's root directory."""
        return self.root / "kubelet"

    @property
    def pod_logs(self) -> Path:
        """The containers' output."""
        return self.root / "pod-logs"

    @property
    def cni(self) -> Path:
        """The network configuration."""
        return self.root / "cni"

    @property
    def daemon_cgroup(self) -> str:
        """The cgroup of containerd, its shims, kubelet and, on the first node, the control plane."""
        return f"{self.cgroup}/daemons"

    @property
    def pod_cgroup(self) -> str:
        """Kubelet's cgroup root."""
        return f"{self.cgroup}/pods"


@dataclass(frozen=True)
class TestbedPaths:
    """The folder of one prefix; ``down`` removes it whole."""

    __test__ = False

    state_root: Path
    prefix: str

    @property
    def root(self) -> Path:
        """Everything of the prefix."""
        return self.state_root / self.prefix

    @property
    def lock(self) -> Path:
        """Held by the command that changes the prefix; outside its folder, so that ``down`` can hold it."""
        return self.state_root / f"{self.prefix}.lock"

    @property
    def wan(self) -> Path:
        """The router's configuration, socket and log."""
        return self.root / "wan"

    @property
    def cgroup(self) -> str:
        """The prefix's path in every cgroup hierarchy."""
        return f"{CGROUP_ROOT}/{self.prefix}"

    def region(self, place: Place) -> RegionPaths:
        """Return the folder of one region."""
        return RegionPaths(self.root / place.name)

    def node(self, place: Place, node: Node) -> NodePaths:
        """Return the folder of one node of a region."""
        return NodePaths(self.root / place.name / node.name, f"{self.cgroup}/{node.name}")
