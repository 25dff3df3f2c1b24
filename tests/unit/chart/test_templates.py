import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rivulet_chart import render

pytestmark = pytest.mark.timeout(1800)  # on a machine that never built it, the first test builds helm
CHART = render.ROOT / render.CHART
Document = dict[str, Any]
Rendered = list[Document]
Render = Callable[..., Rendered]


@pytest.fixture(scope="module")
def helm() -> Path:
    return render.helm_program()


@pytest.fixture(scope="module")
def rendered(helm: Path) -> Render:
    def with_values(*settings: str) -> Rendered:
        text = render.template(helm, CHART, "--set=region=eu", *(f"--set={setting}" for setting in settings))
        return [document for document in yaml.safe_load_all(text) if document]

    return with_values


def of_kind(documents: Rendered, kind: str) -> Rendered:
    return [document for document in documents if document["kind"] == kind]


def operator(documents: Rendered) -> Document:
    (deployment,) = of_kind(documents, "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(container)


def environment(documents: Rendered) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in operator(documents)["env"]}


def test_helm_lint_is_clean(helm: Path) -> None:
    done = subprocess.run(
        [str(helm), "lint", "--strict", str(CHART), "--set=region=eu"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "WARNING" not in done.stdout


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("region=", "region is required: say once which region this cluster is, as in --set region=eu"),
        ("region=EU", "does not match pattern"),
        ("regio=eu", "additional properties 'regio' not allowed"),
    ],
)
def test_an_install_that_makes_no_sense_is_refused(helm: Path, setting: str, sentence: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        render.template(helm, CHART, f"--set={setting}")
    assert sentence in refused.value.stderr


def test_the_definitions_are_those_of_crds_and_outlive_the_release(rendered: Render) -> None:
    sources = {path.name: yaml.safe_load(path.read_text()) for path in (render.ROOT / "crds").glob("*.yaml")}
    definitions = of_kind(rendered(), "CustomResourceDefinition")
    kept = {"helm.sh/resource-policy": "keep"}
    assert [definition["metadata"].pop("annotations") for definition in definitions] == [kept] * len(sources)
    by_name = {source["metadata"]["name"]: source for source in sources.values()}
    assert {definition["metadata"]["name"]: definition for definition in definitions} == by_name


def test_the_definitions_can_be_left_to_others(rendered: Render) -> None:
    assert of_kind(rendered("crds.install=false"), "CustomResourceDefinition") == []


def test_the_namespace_of_the_cdn_is_made_unless_it_is_there_and_outlives_the_release(rendered: Render) -> None:
    (namespace,) = of_kind(rendered(), "Namespace")
    assert namespace["metadata"]["name"] == "rivulet"
    assert namespace["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert of_kind(rendered("cdn.createNamespace=false"), "Namespace") == []
    assert of_kind(rendered(f"cdn.namespace={render.NAMESPACE}"), "Namespace") == []


def test_the_operator_is_told_what_the_contract_says(rendered: Render) -> None:
    assert environment(rendered()) == {
        "RIVULET_REGION": "eu",
        "RIVULET_NAMESPACE": "rivulet",
        "RIVULET_MEDIA_IMAGE": "rivulet-media:0.1.0",
        "RIVULET_COTURN_IMAGE": "docker.io/coturn/coturn:4.6.2",
        "RIVULET_LOG_LEVEL": "info",
    }


def test_a_digest_wins_over_a_tag(rendered: Render) -> None:
    digest = "sha256:" + "a" * 64
    documents = rendered("images.media.repository=r/m", "images.media.tag=v2", f"images.media.digest={digest}")
    assert environment(documents)["RIVULET_MEDIA_IMAGE"] == f"r/m@{digest}"
    assert operator(rendered("images.operator.tag=v2"))["image"] == "rivulet-operator:v2"


def test_the_operator_runs_once_as_nobody_with_a_read_only_root(rendered: Render) -> None:
    (deployment,) = of_kind(rendered(), "Deployment")
    assert (deployment["spec"]["replicas"], deployment["spec"]["strategy"]) == (1, {"type": "Recreate"})
    pod = deployment["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert operator(rendered())["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_scheduling_is_handed_on(rendered: Render) -> None:
    documents = rendered("nodeSelector.disk=ssd", "tolerations[0].operator=Exists", "imagePullSecrets[0].name=pull")
    (deployment,) = of_kind(documents, "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"disk": "ssd"}
    assert pod["tolerations"] == [{"operator": "Exists"}]
    assert pod["imagePullSecrets"] == [{"name": "pull"}]


def granted(role: Document) -> dict[str, set[str]]:
    return {
        f"{group}/{resource}" + "".join(f":{name}" for name in rule.get("resourceNames", [])): set(rule["verbs"])
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def test_s4_outside_its_namespaces_the_operator_only_looks_at_hosts_and_the_cluster_id(rendered: Render) -> None:
    (role,) = of_kind(rendered(), "ClusterRole")
    assert granted(role) == {"/nodes": {"get", "list", "watch"}, "/namespaces:kube-system": {"get"}}


def test_s4_no_right_is_a_wildcard_and_nothing_runs_in_pods(rendered: Render) -> None:
    roles = of_kind(rendered(), "Role") + of_kind(rendered(), "ClusterRole")
    rights = {name: verbs for role in roles for name, verbs in granted(role).items()}
    assert not [name for name, verbs in rights.items() if "*" in name or "*" in verbs]
    assert not [name for name in rights if name in {"/pods/exec", "/pods/log", "/pods/portforward"}]
    assert not {verb for verbs in rights.values() for verb in verbs} & {"bind", "escalate", "impersonate"}


def test_two_installs_in_one_cluster_do_not_share_objects_outside_namespaces(helm: Path) -> None:
    def names(namespace: str) -> set[str]:
        text = render.template(helm, CHART, "--set=region=eu,crds.install=false", f"--namespace={namespace}")
        documents = [document for document in yaml.safe_load_all(text) if document]
        return {d["metadata"]["name"] for d in documents if d["kind"].startswith("ClusterRole")}

    assert not names("one") & names("two")


def test_the_file_for_kubectl_apply_is_what_the_chart_renders(helm: Path) -> None:
    assert (render.ROOT / render.DEPLOY).read_text() == render.deploy_file(helm, render.ROOT)
