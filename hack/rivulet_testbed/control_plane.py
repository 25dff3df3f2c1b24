"""The command lines of etcd, the API server, the controller manager and the scheduler. Pure."""

from pathlib import Path

from rivulet_testbed.layout import RegionPaths
from rivulet_testbed.places import POD_CIDR, SERVICE_CIDR, Place

API_PORT = 6443
ETCD_CLIENT_URL = "http://127.0.0.1:2379"
ETCD_PEER_URL = "http://127.0.0.1:2380"


def api_server_url(place: Place) -> str:
    """Return where the region's API server listens; reachable from the root namespace too."""
    return f"https://{place.nodes[0].address}:{API_PORT}"


def etcd_argv(binaries: Path, paths: RegionPaths) -> list[str]:
    """Return etcd's command line; nobody mourns this data, so it need not wait for the disk."""
    return [
        str(binaries / "etcd"),
        f"--data-dir={paths.etcd}",
        f"--listen-client-urls={ETCD_CLIENT_URL}",
        f"--advertise-client-urls={ETCD_CLIENT_URL}",
        f"--listen-peer-urls={ETCD_PEER_URL}",
        f"--initial-advertise-peer-urls={ETCD_PEER_URL}",
        f"--initial-cluster=default={ETCD_PEER_URL}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def api_server_argv(binaries: Path, paths: RegionPaths, place: Place) -> list[str]:
    """Return the API server's command line."""
    pki = paths.pki
    return [
        str(binaries / "kube-apiserver"),
        f"--etcd-servers={ETCD_CLIENT_URL}",
        f"--secure-port={API_PORT}",
        f"--advertise-address={place.nodes[0].address}",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--client-ca-file={pki}/ca.crt",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={pki}/service-account.pub",
        f"--service-account-signing-key-file={pki}/service-account.key",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        "--allow-privileged=true",
        "--profiling=false",
        *_kubelet_client_arguments(pki),
        *_aggregation_arguments(pki),
    ]


def _kubelet_client_arguments(pki: Path) -> list[str]:
    return [
        f"--kubelet-client-certificate={pki}/apiserver-kubelet-client.crt",
        f"--kubelet-client-key={pki}/apiserver-kubelet-client.key",
        # Nobody resolves the nodes' names.
        "--kubelet-preferred-address-types=InternalIP",
    ]


def _aggregation_arguments(pki: Path) -> list[str]:
    return [
        f"--proxy-client-cert-file={pki}/front-proxy.crt",
        f"--proxy-client-key-file={pki}/front-proxy.key",
        f"--requestheader-client-ca-file={pki}/ca.crt",
        "--requestheader-allowed-names=aggregator",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
    ]


def controller_manager_argv(binaries: Path, paths: RegionPaths) -> list[str]:
    """Return the controller manager's command line; pod ranges are fixed per node, so it allocates none."""
    kubeconfig = paths.kubeconfig("controller-manager")
    return [
        str(binaries / "kube-controller-manager"),
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        f"--root-ca-file={paths.pki}/ca.crt",
        f"--service-account-private-key-file={paths.pki}/service-account.key",
        f"--cluster-signing-cert-file={paths.pki}/ca.crt",
        f"--cluster-signing-key-file={paths.pki}/ca.key",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        "--allocate-node-cidrs=false",
        f"--cluster-cidr={POD_CIDR}",
        "--profiling=false",
    ]


def scheduler_argv(binaries: Path, paths: RegionPaths) -> list[str]:
    """Return the scheduler's command line."""
    kubeconfig = paths.kubeconfig("scheduler")
    return [
        str(binaries / "kube-scheduler"),
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--profiling=false",
    ]
