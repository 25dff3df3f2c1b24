"""One region through kubectl and its front door: a cluster of the testbed, or one that RIVULET_CONTEXTS names."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rivulet_scene.command import TESTBED, output

SYSTEM_NAMESPACE = "rivulet-system"
NAMESPACE = "rivulet"
PUBLIC_PORT = 30080
MESH_PORT = 30743
CONTEXTS = "RIVULET_CONTEXTS"


@dataclass(frozen=True)
class Region:
    """Where a region's cluster is and how to talk to it."""

    name: str
    address: str
    kubectl_argv: tuple[str, ...]
    helm_argv: tuple[str, ...]
    # The place of the testbed where this region's clients stand; None: on this machine.
    place: str | None

    @property
    def door(self) -> str:
        """The front door, as a browser on this machine reaches it."""
        return f"http://{self.address}:{PUBLIC_PORT}"

    def kubectl(
        self, *arguments: str, stdin: str | None = None, namespace: str = NAMESPACE, seconds: float = 60
    ) -> str:
        """What kubectl printed."""
        return output([*self.kubectl_argv, "-n", namespace, *arguments], stdin=stdin, seconds=seconds)

    def helm(self, *arguments: str, seconds: float = 180) -> str:
        """What helm printed."""
        return output([*self.helm_argv, "-n", SYSTEM_NAMESPACE, *arguments], seconds=seconds)

    def get(self, kind: str, name: str = "", *, selector: str = "", namespace: str = NAMESPACE) -> Any:
        """An object, or the list of a kind's objects."""
        words = ["get", kind, *([name] if name else []), *(["-l", selector] if selector else []), "-o", "json"]
        found = json.loads(self.kubectl(*words, namespace=namespace))
        return found if name else found["items"]

    def apply(self, *documents: dict[str, Any], namespace: str = NAMESPACE) -> None:
        """Server-side apply as a user."""
        for document in documents:
            self.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(document), namespace=namespace)

    def pods(self, role: str = "") -> list[dict[str, Any]]:
        """Pods of slots, or of one role."""
        selector = f"rivulet.dev/role={role}" if role else "rivulet.dev/role"
        return list(self.get("pods", selector=selector))

    def uids(self, role: str = "") -> dict[str, str]:
        """Slot → UID of its pod."""
        return {pod["metadata"]["labels"]["rivulet.dev/slot"]: pod["metadata"]["uid"] for pod in self.pods(role)}

    def condition(self, kind: str, name: str, condition: str) -> dict[str, Any] | None:
        """A condition of a custom resource's status; None when it is not there."""
        status = self.get(kind, name).get("status", {})
        return next((found for found in status.get("conditions", []) if found["type"] == condition), None)


def on_testbed() -> bool:
    """Whether the regions are clusters of the testbed: only there can a WAN be cut or a control plane be restarted."""
    return not os.environ.get(CONTEXTS)


def regions(*names: str) -> dict[str, Region]:
    """The regions by name: those of RIVULET_CONTEXTS (`eu=CONTEXT@ADDRESS,us=…`), else the testbed's."""
    if not on_testbed():
        return from_contexts(os.environ[CONTEXTS], names)
    description = json.loads(output([TESTBED, "env"]))
    return {name: _of_testbed(name, description["regions"][name], description["binaries"]) for name in names}


def from_contexts(text: str, names: Sequence[str]) -> dict[str, Region]:
    """Regions in any clusters; ValueError says what is wrong with `text`."""
    parts = (entry.partition("=") for entry in text.split(",") if entry.strip())
    named = {name.strip(): rest.strip().rpartition("@") for name, _, rest in parts}
    for name in names:
        context, _, address = named.get(name, ("", "", ""))
        if not (context and address):
            raise ValueError(
                f"{CONTEXTS} must say {name}=CONTEXT@ADDRESS (a host's address that clients reach): {text!r}"
            )
    kubectl, helm = (shutil.which(program) or program for program in ("kubectl", "helm"))
    return {
        name: Region(name, address, (kubectl, "--context", context), (helm, "--kube-context", context), place=None)
        for name, (context, _, address) in named.items()
        if name in names
    }


def _of_testbed(name: str, cluster: Mapping[str, Any], binaries: str) -> Region:
    at = ("--kubeconfig", cluster["kubeconfig"])
    return Region(name, cluster["nodeIP"], (f"{binaries}/kubectl", *at), (f"{binaries}/helm", *at), place=name)
