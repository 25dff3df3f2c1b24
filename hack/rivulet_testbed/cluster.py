"""Brings one region up: keys, configuration, processes, images, CoreDNS; each step bounded, each may run again."""

import functools
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rivulet_testbed import (
    cgroups,
    components,
    containerd_images,
    coredns,
    kubeconfig,
    node_config,
    packages,
    pki,
    processes,
)
from rivulet_testbed.command import attempt, wait_until
from rivulet_testbed.components import HERE, Installation
from rivulet_testbed.control_plane import api_server_url
from rivulet_testbed.errors import TestbedError, tail_of
from rivulet_testbed.kubectl import Kubectl, ready_nodes
from rivulet_testbed.places import DNS_SERVICE_IP, Place
from rivulet_testbed.progress import Progress
from rivulet_testbed.system_images import SystemImages

API_SECONDS = 120.0
CONTAINERD_SECONDS = 60.0
NODE_SECONDS = 180.0
DNS_SECONDS = 180.0
DNS_NAME = "kubernetes.default.svc.cluster.local"


@dataclass(frozen=True)
class Cluster:
    """One region's cluster."""

    installation: Installation
    place: Place
    images: SystemImages
    progress: Progress

    @property
    def kubectl(self) -> Kubectl:
        """Kubectl as the region's administrator."""
        return Kubectl(self.installation.binaries, self.installation.paths.region(self.place).kubeconfig("admin"))

    def up(self) -> None:
        """Bring the region up, or back up."""
        self._write_files()
        self._start("etcd", "kube-apiserver", *self._agents("containerd"))
        self._wait_for_api()
        self._load_images()
        self._start("kube-controller-manager", "kube-scheduler", *self._agents("kubelet"), *self._agents("kube-proxy"))
        self._apply_coredns()
        self._wait_for_nodes()
        self._wait_for_dns()

    def _agents(self, agent: str) -> list[str]:
        return [components.agent_name(agent, number) for number in range(1, self.place.kubelets + 1)]

    def _write_files(self) -> None:
        paths = self.installation.paths
        region = paths.region(self.place)
        pki.issue(region.pki, self.place)
        for user in (
            "admin",
            "controller-manager",
            "scheduler",
            "proxy",
            *(f"node-{n.name}" for n in self.place.nodes),
        ):
            content = kubeconfig.render(self.place.name, api_server_url(self.place), user, pki.pem(region.pki, user))
            _write(region.kubeconfig(user), content)
        for number, node in enumerate(self.place.nodes, start=1):
            node_paths = paths.node(self.place, node)
            cgroups.make(node_paths.daemon_cgroup)
            cgroups.make(node_paths.pod_cgroup)
            files = node_config.files(self.place, node, node_paths, region, self.images.pause, packages.cni_plugins())
            changed = [path for path, content in files.items() if _write(path, content)]
            if changed:
                self._stop_agents(number)

    def _stop_agents(self, number: int) -> None:
        """Stop what runs with a configuration that has changed; containers run on."""
        for agent in components.NODE_AGENTS:
            name = components.agent_name(agent, number)
            if processes.stop(components.program(self.installation, self.place, name).record):
                self.progress(f"{self.place.name}: stopped {name}, its configuration has changed")

    def _start(self, *names: str) -> None:
        started = [name for name in names if processes.start(components.program(self.installation, self.place, name))]
        if started:
            self.progress(f"{self.place.name}: started {', '.join(started)}")

    def _log(self, name: str) -> Path:
        return self.installation.paths.region(self.place).logs / f"{name}.log"

    def _wait(self, component: str, check: Callable[[], bool], what: str, seconds: float) -> None:
        """Wait until the check holds, no longer than the component lives; its log tells why not."""
        record = components.program(self.installation, self.place, component).record

        def holds() -> bool:
            if not processes.is_alive(processes.read_record(record)):
                log = self._log(component)
                raise TestbedError(f"{self.place.name}: {component} has ended; last lines of {log}:\n{tail_of(log)}")
            return check()

        wait_until(holds, f"{self.place.name}: {what}", seconds=seconds, log=self._log(component))

    def _wait_for_api(self) -> None:
        self._wait("kube-apiserver", self.kubectl.is_ready, "kube-apiserver ready", API_SECONDS)
        self.progress(f"{self.place.name}: kube-apiserver ready")

    def _load_images(self) -> None:
        for number, node in enumerate(self.place.nodes, start=1):
            socket = self.installation.paths.node(self.place, node).containerd_socket
            answers = functools.partial(containerd_images.answers, socket)
            self._wait(components.agent_name("containerd", number), answers, "containerd answers", CONTAINERD_SECONDS)
            for archive in self.images.archives:
                containerd_images.load(socket, archive)

    def _apply_coredns(self) -> None:
        manifests = json.dumps(coredns.manifests(self.images.coredns))
        self.kubectl.run("apply", "-f", "-", stdin=manifests)

    def _wait_for_nodes(self) -> None:
        for number, node in enumerate(self.place.nodes, start=1):
            kubelet = components.agent_name("kubelet", number)
            self._wait(kubelet, functools.partial(self._is_ready, node.name), f"{node.name} Ready", NODE_SECONDS)
        self.progress(f"{self.place.name}: {', '.join(node.name for node in self.place.nodes)} Ready")

    def _is_ready(self, node: str) -> bool:
        return node in ready_nodes(self.kubectl.items("nodes"))

    def _wait_for_dns(self) -> None:
        self._wait("kubelet", self.dns_answers, "CoreDNS answers", DNS_SECONDS)
        self.progress(f"{self.place.name}: CoreDNS answers")

    def dns_answers(self) -> bool:
        """Ask the cluster's DNS from the first node."""
        enter = ["nsenter", f"--net=/run/netns/{self.place.nodes[0].netns}"]
        return (
            attempt([*enter, "/usr/bin/python3", str(HERE / "dns_probe.py"), DNS_SERVICE_IP, DNS_NAME]).returncode == 0
        )


def _write(path: Path, content: str) -> bool:
    """Write a file that may hold keys, unless it says that already; return whether it was written."""
    if path.exists() and path.read_text() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
    return True
