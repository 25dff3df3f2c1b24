"""With Kubernetes' own controllers at work beside the API server: what is owned goes with its owner."""

import subprocess
from collections.abc import Iterator

import pytest

import kube_api
from operator_bench import STOP_SECONDS, Bench

pytestmark = pytest.mark.timeout(300)  # starts an API server and controllers
CONTROLLERS = "deployment,replicaset,garbagecollector,namespace"


@pytest.fixture
def controllers(kube: kube_api.KubeApi) -> Iterator[None]:
    argv = ["setpriv", "--pdeathsig", "KILL", str(kube.programs / "kube-controller-manager")]
    argv += [f"--kubeconfig={kube.kubeconfig}", f"--controllers={CONTROLLERS}", "--leader-elect=false"]
    argv += ["--secure-port=0", f"--cert-dir={kube.folder}/kcm"]
    with (kube.folder / "kube-controller-manager.log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


@pytest.mark.usefixtures("controllers")
def test_all_that_is_made_goes_with_its_resource_also_without_the_operator_o9(bench: Bench) -> None:
    bench.region()
    bench.node("edge-eu", replicas=2)
    operator = bench.start()
    bench.until(lambda: len(bench.read("pods")["items"]) == 4, "two nodes and two directors")
    bench.kube.kubectl("-n", bench.namespace, "scale", "cdnnode/edge-eu", "--replicas=1")
    bench.until(lambda: set(bench.slots("edge-eu")) == {"edge-eu-0"}, "the surplus slot, which runs nowhere, is gone")
    assert bench.stop(operator) == 0
    bench.kube.kubectl("-n", bench.namespace, "delete", "cdnnode/edge-eu", "--wait=false")
    bench.until(lambda: not bench.slots("edge-eu") and not bench.read("configmaps", "edge-eu-settings"), "its parts")
    bench.kube.kubectl("-n", bench.namespace, "delete", "cdnregion/eu", "--wait=false")
    made = ("deployments", "services", "secrets", "roles", "rolebindings", "pods")
    bench.until(lambda: not any(bench.read(path)["items"] for path in made), "everything of the region")


@pytest.mark.usefixtures("controllers")
def test_nothing_is_made_anew_for_what_is_being_deleted_o9(bench: Bench) -> None:
    bench.region()
    bench.node("edge-eu", replicas=1)
    bench.start()
    bench.until(lambda: bench.slots("edge-eu"), "a slot")
    bench.kube.kubectl("-n", bench.namespace, "delete", "cdnnode/edge-eu", "--cascade=foreground", "--timeout=60s")
    bench.until(lambda: not bench.slots("edge-eu"), "the slot gone, which does not block its owner")
    bench.node("other", replicas=1)
    bench.until(lambda: bench.slots("other"), "the operator at work on something later")
    assert bench.slots("edge-eu") == {}


@pytest.mark.usefixtures("controllers")
def test_a_namespace_ends_while_the_operator_is_at_work_o9(bench: Bench) -> None:
    bench.region()
    bench.node("edge-eu", replicas=1)
    bench.start()
    bench.until(lambda: bench.read("pods")["items"], "pods")
    bench.kube.kubectl("delete", "namespace", bench.namespace, "--wait=false")
    where = f"/api/v1/namespaces/{bench.namespace}"
    bench.until(lambda: not bench.kube.request("GET", where).ok, "the namespace gone", within=90)


@pytest.mark.usefixtures("controllers")
def test_a_pod_template_changes_only_with_what_users_see_e3(bench: Bench) -> None:
    bench.region()
    bench.node("edge-eu", replicas=1)
    bench.node("origin-eu", role="origin", replicas=1)
    bench.start()
    pods = bench.until(lambda: len(found := _uids(bench)) == 4 and found, "pods")
    bench.node("edge-eu", replicas=1, pod={"image": "media:2"}, capacity={"viewers": 9})
    bench.until(lambda: "media:2" in _images(bench), "the new image, as the slot runs nowhere")
    bench.until(lambda: len(_uids(bench)) == 4, "pods again")
    changed = {name for name in _uids(bench).values() if name not in pods.values()}
    assert len(changed) == 1
    assert changed.pop().startswith("edge-eu-0")


def _uids(bench: Bench) -> dict[str, str]:
    return {p["metadata"]["uid"]: p["metadata"]["name"] for p in bench.read("pods")["items"]}


def _images(bench: Bench) -> set[str]:
    return {c["image"] for p in bench.read("pods")["items"] for c in p["spec"]["containers"]}
