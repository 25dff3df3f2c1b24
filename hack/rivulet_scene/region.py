"""One region of the testbed, seen through kubectl and its front door."""

import json
from dataclasses import dataclass
from typing import Any

from rivulet_scene.command import TESTBED, output

SYSTEM_NAMESPACE = "rivulet-system"
NAMESPACE = "rivulet"
PUBLIC_PORT = 30080
MESH_PORT = 30743


@dataclass(frozen=True)
class Region:
    """Where a region's cluster is and how to talk to it."""

    name: str
    kubeconfig: str
    address: str
    binaries: str

    @property
    def door(self) -> str:
        """The front door, as a browser on this machine reaches it."""
        return f"http://{self.address}:{PUBLIC_PORT}"

    def kubectl(
        self, *arguments: str, stdin: str | None = None, namespace: str = NAMESPACE, seconds: float = 60
    ) -> str:
        """What kubectl printed."""
        program = [f"{self.binaries}/kubectl", "--kubeconfig", self.kubeconfig, "-n", namespace]
        return output([*program, *arguments], stdin=stdin, seconds=seconds)

    def helm(self, *arguments: str, seconds: float = 180) -> str:
        """What helm printed."""
        program = [f"{self.binaries}/helm", "--kubeconfig", self.kubeconfig, "-n", SYSTEM_NAMESPACE]
        return output([*program, *arguments], seconds=seconds)

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


def regions(*names: str) -> dict[str, Region]:
    """The testbed's regions by name."""
    description = json.loads(output([TESTBED, "env"]))
    return {
        name: Region(
            name,
            description["regions"][name]["kubeconfig"],
            description["regions"][name]["nodeIP"],
            description["binaries"],
        )
        for name in names
    }
