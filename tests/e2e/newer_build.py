"""A build of the operator whose manifests bear one more label: the operator's own image with one line changed."""

import json
import os
import tempfile
from pathlib import Path

from rivulet_scene.command import TESTBED, output
from rivulet_scene.install import IMAGES

LABEL = "example.com/added"
TAG = "newer"
MANIFEST = "/opt/rivulet/rivulet_operator/manifests/metadata.py"
DOCKERFILE = f"""
USER 0:0
RUN sed -i 's#labels.NAME: "rivulet",#&"{LABEL}": "yes",#' {MANIFEST} && grep -q {LABEL} {MANIFEST}
USER 10001:10001
"""
BUILD_SECONDS = 120


def load_operator_with_one_more_label(region: str) -> str:
    """Build it, load it into the region; its tag (the repository is the operator's)."""
    built_from = json.loads(IMAGES.read_text())["operator"]
    reference = f"{built_from['reference'].rpartition(':')[0]}:{TAG}"
    environment = {**os.environ, "BUILDAH_ISOLATION": "chroot"}
    with tempfile.TemporaryDirectory(prefix="rivulet-newer-") as folder:
        store = ["buildah", "--root", f"{folder}/store", "--runroot", f"{folder}/run", "--storage-driver", "vfs"]
        archive = f"{folder}/newer.tar"
        (Path(folder) / "Dockerfile").write_text(f"FROM oci-archive:{built_from['archive']}\n{DOCKERFILE}")
        output([*store, "build", "--tag", reference, folder], seconds=BUILD_SECONDS, env=environment)
        output(
            [*store, "push", reference, f"oci-archive:{archive}:{reference}"], seconds=BUILD_SECONDS, env=environment
        )
        output([*store, "rmi", "--all", "--force"], seconds=BUILD_SECONDS, env=environment)
        output([TESTBED, "load-image", archive, region], seconds=BUILD_SECONDS)
    return TAG
