"""The configuration files of a node: containerd, CNI, kubelet, kube-proxy. Pure."""

import json
from pathlib import Path

from rivulet_testbed.layout import NodePaths, RegionPaths
from rivulet_testbed.pki import node_certificate
from rivulet_testbed.places import DNS_SERVICE_IP, POD_CIDR, Node, Place


def cni_network_name(node: Node) -> str:
    """Return the network's name: the prefix of what CNI leaves in /var/lib/cni."""
    return f"rivulet-{node.netns}"


def containerd_toml(paths: NodePaths, pause_image: str, cni_plugins: Path) -> str:
    """Render containerd's configuration."""
    return f"""version = 2
root = "{paths.containerd}/root"
state = "{paths.containerd}/state"
[grpc]
  address = "{paths.containerd_socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause_image}"
  # Without CAP_SYS_RESOURCE nobody may lower an oom_score_adj, and runc would fail on trying.
  restrict_oom_score_adj = true
  # Pods' namespaces below our own folder, so that `down` finds their mounts.
  netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{cni_plugins}"
  conf_dir = "{paths.cni}"
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"
[plugins."io.containerd.internal.v1.opt"]
  path = "{paths.containerd}/opt"
"""


def cni_conflist(paths: NodePaths, node: Node, mtu: int) -> str:
    """Render the pod network: point-to-point links, so that every packet is routed.

    (On a bridge, a neighbour's answer through a Service would bypass the translation back, unless br_netfilter is
    loaded.)
    """
    ipam = {
        "type": "host-local",
        "dataDir": str(paths.root / "cni-addresses"),
        "ranges": [[{"subnet": node.pod_cidr}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    plugins = [
        {"type": "ptp", "ipMasq": False, "mtu": mtu, "ipam": ipam},
        {"type": "tuning", "sysctl": {"net.ipv4.tcp_congestion_control": "cubic"}},
        {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True},
    ]
    return json.dumps({"cniVersion": "1.0.0", "name": cni_network_name(node), "plugins": plugins}, indent=1)


def kubelet_config(paths: NodePaths, region: RegionPaths, node: Node) -> str:
    """Render kubelet's configuration (JSON is YAML)."""
    certificate = region.pki / node_certificate(node.name)
    config = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "x509": {"clientCAFile": f"{region.pki}/ca.crt"},
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{certificate}.crt",
        "tlsPrivateKeyFile": f"{certificate}.key",
        "clusterDNS": [DNS_SERVICE_IP],
        "clusterDomain": "cluster.local",
        "resolvConf": str(paths.root / "resolv.conf"),
        "containerRuntimeEndpoint": f"unix://{paths.containerd_socket}",
        "podLogsDir": str(paths.pod_logs),
        "nodeStatusUpdateFrequency": "4s",
        "syncFrequency": "10s",
        "serializeImagePulls": False,
        **_cgroup_settings(paths),
        **_eviction_settings(),
    }
    return json.dumps(config, indent=1)


def _cgroup_settings(paths: NodePaths) -> dict[str, object]:
    return {
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{paths.pod_cgroup}",
        "cgroupsPerQOS": True,
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
    }


def _eviction_settings() -> dict[str, object]:
    """Keep images whatever the disk says: there is no registry from which they could come again."""
    return {
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
    }


def proxy_config(region: RegionPaths, node: Node) -> str:
    """Render kube-proxy's configuration; the conntrack sysctls belong to the host and stay as they are."""
    config = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(region.kubeconfig("proxy"))},
        "hostnameOverride": node.name,
        "mode": "iptables",
        "clusterCIDR": POD_CIDR,
        "detectLocalMode": "ClusterCIDR",
        "oomScoreAdj": 0,
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
            "udpTimeout": "0s",
            "udpStreamTimeout": "0s",
        },
    }
    return json.dumps(config, indent=1)


def files(
    place: Place, node: Node, paths: NodePaths, region: RegionPaths, pause_image: str, cni_plugins: Path
) -> dict[Path, str]:
    """Return every configuration file of a node with its content."""
    return {
        paths.root / "containerd.toml": containerd_toml(paths, pause_image, cni_plugins),
        paths.cni / "10-rivulet.conflist": cni_conflist(paths, node, place.mtu),
        paths.root / "kubelet.json": kubelet_config(paths, region, node),
        paths.root / "kube-proxy.json": proxy_config(region, node),
        paths.root / "resolv.conf": f"nameserver {DNS_SERVICE_IP}\n",
    }
