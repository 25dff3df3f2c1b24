import subprocess
from pathlib import Path

import pytest
import yaml

import kube_api
from operator_bench import Bench, condition

pytestmark = pytest.mark.timeout(180)  # starts an API server
CHART = kube_api.ROOT / "charts" / "rivulet"


@pytest.fixture
def rights(bench: Bench) -> Path:
    """A kubeconfig of the chart's ServiceAccount, with exactly what the chart grants."""
    argv = [
        str(bench.kube.programs / "helm"),
        "template",
        "rivulet",
        str(CHART),
        f"--namespace={bench.namespace}",
        "--kube-version=1.34.0",
    ]
    argv += ["--set=region=eu", f"--set=cdn.namespace={bench.namespace}"]
    rendered = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30).stdout
    kinds = {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "ServiceAccount"}
    bodies = [body for body in yaml.safe_load_all(rendered) if body and body["kind"] in kinds]
    bench.kube.apply(*bodies, namespace=bench.namespace)
    account = next(body["metadata"]["name"] for body in bodies if body["kind"] == "ServiceAccount")
    return bench.kube.kubeconfig_of(bench.namespace, account)


def test_the_operator_works_with_exactly_the_rights_of_the_chart_s4(bench: Bench, rights: Path) -> None:
    bench.region(openPublishing={})
    bench.foreign_region()
    bench.node("edge-eu")
    bench.node("turn-eu", role="turn")
    bench.stream("s")
    process = bench.start(kubeconfig=rights)
    bench.until_condition("streams", "s", ("Ready", "True", "Publishable"))
    bench.until(lambda: bench.slots("edge-eu") and bench.slots("turn-eu"), "slots")
    token = bench.until_condition("cdnregions", "eu", ("MeshReady", "False", "NoToken"))
    assert f"kubectl -n {bench.namespace} create secret generic mesh-us --from-literal=token=" in token["message"]
    assert condition(bench.read("cdnregions", "eu"), "Stalled")["status"] == "False"
    rules = bench.read("roles", "rivulet-director")["rules"]
    assert rules[1]["resourceNames"] == ["mesh-us"]
    bench.kube.kubectl("-n", bench.namespace, "scale", "cdnnode/edge-eu", "--replicas=0")
    bench.until(lambda: "deletionTimestamp" in bench.slots("edge-eu")["edge-eu-0"]["metadata"], "the slot deleted")
    assert bench.stop(process) == 0


def test_secrets_are_drawn_once_and_stay_s2(bench: Bench) -> None:
    bench.region()
    first = bench.start()
    names = ("rivulet-join", "rivulet-operator-link", "rivulet-turn")
    bench.until(lambda: all(bench.read("secrets", name) for name in names), "secrets")
    before = {name: bench.read("secrets", name)["data"] for name in names}
    assert len({str(data) for data in before.values()}) == len(names)
    assert bench.stop(first) == 0
    bench.start()
    bench.node("edge-eu", replicas=1)
    bench.until(lambda: bench.slots("edge-eu"), "the second operator at work")
    assert {name: bench.read("secrets", name)["data"] for name in names} == before
