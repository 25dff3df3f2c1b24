"""Everything that is made from crds/ and the chart: the chart's copy of the definitions, and deploy/rivulet.yaml.

``hack/render-chart`` writes them, ``hack/render-chart --check`` only tells whether they are fresh.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rivulet_testbed import binaries, settings, versions
from rivulet_testbed.errors import TestbedError
from rivulet_testbed.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]
CHART = Path("charts/rivulet")
DEPLOY = Path("deploy/rivulet.yaml")
NAMESPACE = "rivulet-system"
HELM_SECONDS = 60.0
DEPLOY_HEAD = f"""\
# Rivulet by plain `kubectl apply`: what the chart renders, made by hack/render-chart. Edit before you apply it:
# RIVULET_REGION below, the region that this cluster is, and the images. docs/guide/install.md
apiVersion: v1
kind: Namespace
metadata:
  name: {NAMESPACE}
  labels:
    app.kubernetes.io/name: rivulet
    pod-security.kubernetes.io/enforce: restricted
"""


def crd_files(root: Path) -> dict[Path, str]:
    """Return the chart's copies of the definitions: path below the root → content."""
    return {CHART / "crd-files" / source.name: source.read_text() for source in sorted((root / "crds").glob("*.yaml"))}


def helm_program() -> Path:
    """Return the pinned helm, built on first use."""
    cache = settings.from_environment(os.environ, None).cache
    return binaries.ensure_tool(cache, versions.load(), "helm", Progress()) / "helm"


def template(helm: Path, chart: Path, *arguments: str) -> str:
    """Render a chart with helm; raise CalledProcessError, with helm's sentence in stderr."""
    fixed = [str(helm), "template", "rivulet", str(chart), f"--namespace={NAMESPACE}"]
    version = f"--kube-version={versions.load()['KUBERNETES_VERSION']}"
    done = subprocess.run(
        [*fixed, version, *arguments], capture_output=True, text=True, timeout=HELM_SECONDS, check=True
    )
    return done.stdout


def deploy_file(helm: Path, root: Path) -> str:
    """Return the one file for `kubectl apply`: the chart's output."""
    rendered = template(helm, root / CHART, "--set=region=eu")
    lines = [line.rstrip() for line in rendered.splitlines() if not line.startswith("# Source:")]
    return DEPLOY_HEAD + "\n".join(lines) + "\n"


def stale(root: Path, expected: Mapping[Path, str]) -> list[Path]:
    """Return which files differ from what they should be."""
    return [path for path, content in expected.items() if not _reads(root / path, content)]


def surplus(root: Path, expected: Mapping[Path, str]) -> list[Path]:
    """Return copies whose definition is gone."""
    copies = (path.relative_to(root) for path in (root / CHART / "crd-files").glob("*"))
    return [path for path in copies if path not in expected]


def write(root: Path, expected: Mapping[Path, str]) -> None:
    """Make the files what they should be."""
    for path in surplus(root, expected):
        (root / path).unlink()
    for path in stale(root, expected):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(expected[path])


def main(arguments: list[str]) -> int:
    """Write or check; return the exit code."""
    if arguments not in ([], ["--check"]):
        print("usage: hack/render-chart [--check]")
        return 2
    copies = crd_files(ROOT)
    if not arguments:
        write(ROOT, copies)  # before helm reads them
    try:
        expected = {**copies, DEPLOY: deploy_file(helm_program(), ROOT)}
    except subprocess.CalledProcessError as failed:
        print(failed.stderr)
        return 1
    except TestbedError as failed:
        print(failed)
        return 1
    if not arguments:
        write(ROOT, expected)
        return 0
    wrong = stale(ROOT, expected) + surplus(ROOT, expected)
    for path in wrong:
        print(f"{path} is not what crds/ and the chart make it: run hack/render-chart and commit what it changes")
    return 1 if wrong else 0


def _reads(path: Path, content: str) -> bool:
    return path.is_file() and path.read_text() == content


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
