"""Asking a region's API server, by kubectl."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rivulet_testbed.command import attempt, run

REQUEST_TIMEOUT = "--request-timeout=10s"


@dataclass(frozen=True)
class Kubectl:
    """kubectl with one kubeconfig."""

    binaries: Path
    kubeconfig: Path

    def _argv(self, arguments: tuple[str, ...]) -> list[str]:
        return [str(self.binaries / "kubectl"), f"--kubeconfig={self.kubeconfig}", REQUEST_TIMEOUT, *arguments]

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """Run it; failure is an error."""
        return run(self._argv(arguments), stdin=stdin)

    def attempt(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it; failure is an answer."""
        return attempt(self._argv(arguments))

    def is_ready(self) -> bool:
        """Tell whether the API server says that it is ready."""
        return self.attempt("get", "--raw", "/readyz").returncode == 0

    def items(self, *arguments: str) -> list[dict[str, Any]]:
        """Return the items of a list; none while the API server does not answer."""
        done = self.attempt("get", *arguments, "-o", "json")
        if done.returncode != 0:
            return []
        items: list[dict[str, Any]] = json.loads(done.stdout)["items"]
        return items


def ready_nodes(nodes: list[dict[str, Any]]) -> set[str]:
    """Return the names of nodes whose Ready condition is True. Pure."""
    return {
        node["metadata"]["name"]
        for node in nodes
        for condition in node.get("status", {}).get("conditions", [])
        if condition["type"] == "Ready" and condition["status"] == "True"
    }
