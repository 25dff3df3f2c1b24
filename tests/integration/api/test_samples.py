"""P1, P2: the samples go in as they are."""

from pathlib import Path

import pytest

from kube_api import ROOT, KubeApi

SAMPLES = sorted(path for path in (ROOT / "samples").rglob("*.yaml") if path.name != "cluster.yaml")


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: str(path.relative_to(ROOT / "samples")))
def test_p1_p2_every_sample_applies_as_it_is(kube: KubeApi, path: Path) -> None:
    done = kube.try_kubectl("apply", "--validate=strict", "--dry-run=server", f"--filename={path}")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("folder", ["one-region", "two-regions", "three-sites"])
def test_p1_p2_a_folder_of_samples_applies_in_one_command(kube: KubeApi, folder: str) -> None:
    done = kube.try_kubectl("apply", "--dry-run=server", f"--filename={ROOT / 'samples' / folder}")
    assert done.returncode == 0, done.stderr
