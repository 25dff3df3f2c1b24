"""What tests of the operator need around it: a namespace, the operator's process, and hands that play kubelet.

The API server is real; no controller-manager, scheduler or kubelet runs, so a test says itself what pods do.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from rivulet_scene.bare import START_SECONDS
from rivulet_scene.ports import free_port
from rivulet_scene.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kube_api import Answer, KubeApi

WITHIN_SECONDS = 60.0  # no promise is tested by it; controllers beside may have to start first
STOP_SECONDS = 45.0  # kopf takes up to 20
LOG_CHARACTERS = 3000
GROUP = "/apis/rivulet.dev/v1alpha1"
Json = dict[str, Any]


def condition(body: Json, name: str) -> Json:
    """A condition of an object's status; empty if it is not there."""
    found = [c for c in body.get("status", {}).get("conditions", []) if c["type"] == name]
    return dict(found[0]) if found else {}


class Bench:
    """One namespace with an operator of region eu."""

    def __init__(self, kube: KubeApi, folder: Path, name: str) -> None:
        """The namespace is named after the test; the operator is not started yet."""
        self.kube = kube
        self.folder = folder
        self.namespace = f"t-{hashlib.sha256(name.encode()).hexdigest()[:10]}"
        self._processes: list[subprocess.Popen[bytes]] = []
        kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}})
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        kube.apply(account, namespace=self.namespace)

    def start(self, *, kubeconfig: Path | None = None, **environment: str) -> subprocess.Popen[bytes]:
        """The operator as a process of its own, at work: it holds the Lease."""
        name = f"operator-{len(self._processes)}"
        variables = {
            "KUBECONFIG": str(kubeconfig or self.kube.kubeconfig),
            "HOSTNAME": name,
            "RIVULET_REGION": "eu",
            "RIVULET_NAMESPACE": self.namespace,
            "RIVULET_MEDIA_IMAGE": "media:1",
            "RIVULET_COTURN_IMAGE": "coturn:1",
            "RIVULET_PROBE_PORT": str(free_port()),
            **environment,
        }
        argv = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "rivulet_operator.main"]
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(argv, env={**os.environ, **variables}, stdout=log, stderr=log)
        self._processes.append(process)
        self.until(lambda: name in self._holder(), f"{name} at work", within=START_SECONDS)
        return process

    def _holder(self) -> str:
        return str(self.read("leases", "rivulet-operator-eu").get("spec", {}).get("holderIdentity", ""))

    def stop(self, process: subprocess.Popen[bytes]) -> int:
        """Ask it to end, as Kubernetes does; its exit status."""
        process.terminate()
        return process.wait(STOP_SECONDS)

    def stop_all(self) -> None:
        """Ask every operator that runs to end."""
        for process in self._processes:
            if process.poll() is None:
                self.stop(process)

    def close(self) -> None:
        """End what still runs, and what it has said goes to the test's report."""
        for number, process in enumerate(self._processes):
            if process.poll() is None:
                process.kill()
                process.wait(STOP_SECONDS)
            print((self.folder / f"operator-{number}.log").read_text()[-LOG_CHARACTERS:])

    def region(self, **spec: Any) -> None:
        """CDNRegion eu."""
        self._apply("CDNRegion", "eu", {"host": "eu.example:30080", **spec})

    def foreign_region(self) -> None:
        """CDNRegion us, with a mesh address."""
        self._apply("CDNRegion", "us", {"host": "us.example:30080", "mesh": {"address": "us.example:30743"}})

    def node(self, name: str, role: str = "edge", **spec: Any) -> None:
        """A CDNNode of region eu, unless `spec` says otherwise."""
        self._apply("CDNNode", name, {"role": role, "region": "eu", **spec})

    def stream(self, name: str, **spec: Any) -> None:
        """A Stream of region eu."""
        self._apply("Stream", name, {"region": "eu", **spec})

    def _apply(self, kind: str, name: str, spec: Json) -> None:
        body = {"apiVersion": "rivulet.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        self.kube.apply(body, namespace=self.namespace)

    def read(self, path: str, name: str = "") -> Json:
        """An object, or a list: `deployments`, `pods`, `cdnnodes`, …; empty if there is none."""
        answer = self.kube.request("GET", self._path(path, name))
        return answer.body if answer.ok else {}

    def slots(self, node: str) -> dict[str, Json]:
        """Deployments of a CDNNode by name."""
        items = self.read("deployments").get("items", [])
        owned = [body for body in items if body["metadata"]["labels"].get("rivulet.dev/node") == node]
        return {body["metadata"]["name"]: body for body in owned}

    def patch(self, path: str, name: str, body: Json, *, subresource: str = "") -> Answer:
        """Merge patch, as kubectl annotate and edit do."""
        where = self._path(path, name) + (f"/{subresource}" if subresource else "")
        return self.kube.request("PATCH", where, body, media_type="application/merge-patch+json")

    def annotate(self, deployment: str, **values: str | None) -> None:
        """`kubectl annotate deployment`; names as in `rivulet.dev/NAME`, None takes one away."""
        marks = {f"rivulet.dev/{name}": value for name, value in values.items()}
        self.patch("deployments", deployment, {"metadata": {"annotations": marks}})

    def run_pod(self, slot: str, *, ready: bool = True, address: str = "127.0.0.1") -> None:
        """Play Deployment controller, scheduler and kubelet: the slot's pod runs on host h1."""
        deployment = self.read("deployments", slot)
        template = deployment["spec"]["template"]
        spec = {**template["spec"], "nodeName": "h1", "automountServiceAccountToken": False}
        for account in ("serviceAccountName", "serviceAccount"):
            spec.pop(account, None)
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"{slot}-pod", "labels": template["metadata"]["labels"]},
            "spec": spec,
        }
        answer = self.kube.request("POST", self._path("pods"), pod)
        assert answer.ok, answer.message
        self.set_pod(slot, running=True, ready=ready, address=address)
        generation = self.read("deployments", slot)["metadata"]["generation"]
        counted = {"observedGeneration": generation, "replicas": 1, "updatedReplicas": 1, "readyReplicas": int(ready)}
        self.patch("deployments", slot, {"status": counted}, subresource="status")

    def set_pod(self, slot: str, *, running: bool, ready: bool, address: str = "127.0.0.1") -> None:
        """Play kubelet: what it says of the pod's one container."""
        state = {"running": {}} if running else {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
        container = {"name": "media", "ready": ready, "restartCount": 0, "image": "", "imageID": "", "state": state}
        conditions = [{"type": "Ready", "status": str(ready)}]
        status = {"phase": "Running", "podIP": address, "conditions": conditions, "containerStatuses": [container]}
        status["podIPs"] = [{"ip": address}]
        answer = self.patch("pods", f"{slot}-pod", {"status": status}, subresource="status")
        assert answer.ok, answer.message

    def host(self, name: str, **addresses: list[str]) -> None:
        """A Kubernetes node; its addresses by their type (`ExternalIP`, `InternalIP`)."""
        self.kube.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
        listed = [{"type": kind, "address": address} for kind, each in addresses.items() for address in each]
        answer = self.kube.request(
            "PATCH",
            f"/api/v1/nodes/{name}/status",
            {"status": {"addresses": listed}},
            media_type="application/merge-patch+json",
        )
        assert answer.ok, answer.message

    def until(self, check: Callable[[], Any], what: str, within: float = WITHIN_SECONDS) -> Any:
        """What `check` returns once it is true."""
        return until(lambda: check() or None, what, seconds=within, pause=0.1)

    def until_condition(self, path: str, name: str, wanted: tuple[str, str, str]) -> Json:
        """Wait for a condition (type, status, reason) and return it."""
        kind, status, reason = wanted

        def met() -> Json | None:
            found = condition(self.read(path, name), kind)
            return found if (found.get("status"), found.get("reason")) == (status, reason) else None

        found: Json = self.until(met, f"{path} {name}: {kind}={status} {reason}")
        return found

    def _path(self, path: str, name: str = "") -> str:
        bases = {
            **dict.fromkeys(("cdnregions", "cdnnodes", "streams"), GROUP),
            "deployments": "/apis/apps/v1",
            **dict.fromkeys(("roles", "rolebindings"), "/apis/rbac.authorization.k8s.io/v1"),
            "leases": "/apis/coordination.k8s.io/v1",
        }
        tail = f"/{name}" if name else ""
        return f"{bases.get(path, '/api/v1')}/namespaces/{self.namespace}/{path}{tail}"
