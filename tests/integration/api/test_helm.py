"""The life of a release, and what outlives it (O9)."""

import os
import subprocess
from collections.abc import Callable, Iterator

import pytest

import kube_api
from rivulet_chart.render import CHART, NAMESPACE, ROOT, helm_program

Helm = Callable[..., str]
NODE = {
    "apiVersion": "rivulet.dev/v1alpha1",
    "kind": "CDNNode",
    "metadata": {"name": "edge-eu"},
    "spec": {"role": "edge", "region": "eu"},
}


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kube_api.KubeApi]:
    with kube_api.running(tmp_path_factory.mktemp("kube-api-empty"), crds=False) as api:
        yield api


@pytest.fixture(scope="module")
def helm(empty: kube_api.KubeApi) -> Helm:
    program = helm_program()

    def run(*arguments: str) -> str:
        environment = {**os.environ, "KUBECONFIG": str(empty.kubeconfig), "HELM_CACHE_HOME": str(empty.folder / "helm")}
        fixed = [str(program), *arguments, f"--namespace={NAMESPACE}"]
        done = subprocess.run(fixed, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_o9_the_release_goes_and_definitions_resources_and_their_namespace_stay(
    empty: kube_api.KubeApi, helm: Helm
) -> None:
    install = ("install", "rivulet", str(ROOT / CHART), "--create-namespace", "--set=region=eu")
    notes = helm(*install)
    assert "this cluster is region eu" in notes
    assert "media pods run on until their resource is deleted" in notes.replace("\n", " ")
    next_command = notes.partition("<<'YAML'\n")[2].partition("  YAML")[0].replace("HOST", "eu.example.com")
    empty.kubectl("apply", "--namespace=rivulet", "--dry-run=server", "--filename=-", stdin=next_command)
    empty.apply(NODE, namespace="rivulet")

    helm("upgrade", "rivulet", str(ROOT / CHART), "--set=region=eu,logLevel=debug")
    helm("uninstall", "rivulet")

    assert empty.kubectl("get", "deployment", "--all-namespaces", "--output=name") == ""
    assert empty.kubectl("get", "role", "--namespace=rivulet", "--output=name") == ""
    kept = "cdnnode.rivulet.dev/edge-eu\n"
    assert empty.kubectl("get", "cdnnode", "--namespace=rivulet", "--output=name") == kept

    helm(*install)  # takes what it had kept back into the release
    assert empty.kubectl("get", "cdnnode", "--namespace=rivulet", "--output=name") == kept
