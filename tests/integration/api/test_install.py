"""Plain `kubectl apply` of deploy/rivulet.yaml, and what the operator may do then (S3, S4)."""

import pytest
import yaml

from kube_api import ROOT, KubeApi
from rivulet_chart.render import DEPLOY
from rivulet_scene.waiting import until

CDN, SYSTEM = "rivulet", "rivulet-system"
OURS = ["cdnregions", "cdnnodes", "streams"]
READ = ["get", "list", "watch"]
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
# What the operator's code does (namespace, group, resource, verbs), and nothing else.
NEEDED: dict[str, tuple[str, str, str, list[str]]] = {
    **{f"{kind} are read": (CDN, "rivulet.dev", kind, READ) for kind in OURS},
    **{f"status of {kind}": (CDN, "rivulet.dev", f"{kind}/status", ["get", "patch"]) for kind in OURS},
    "replicas, once": (CDN, "rivulet.dev", "cdnnodes", ["patch"]),
    "auto-Streams": (CDN, "rivulet.dev", "streams", ["create", "patch", "delete"]),
    "slots": (CDN, "apps", "deployments", [*READ, "create", "patch", "delete"]),
    "Services": (CDN, "", "services", ["get", "create", "patch"]),
    "settings of pools": (CDN, "", "configmaps", ["get", "create", "patch"]),
    "Secrets": (CDN, "", "secrets", [*READ, "create"]),
    "directors' account": (CDN, "", "serviceaccounts", ["get", "create", "patch"]),
    "directors' rights": (CDN, "rbac.authorization.k8s.io", "roles", ["get", "create", "patch"]),
    "directors' binding": (CDN, "rbac.authorization.k8s.io", "rolebindings", ["get", "create", "patch"]),
    "pods": (CDN, "", "pods", READ),
    "the lease": (SYSTEM, "coordination.k8s.io", "leases", ["get", "create", "update"]),
    "hosts": ("", "", "nodes", READ),
}
FORBIDDEN: dict[str, tuple[str, str, str, list[str]]] = {
    "CDNNodes of users": (CDN, "rivulet.dev", "cdnnodes", ["create", "delete", "update"]),
    "CDNRegions of users": (CDN, "rivulet.dev", "cdnregions", ["create", "delete", "patch"]),
    "changes of Secrets": (CDN, "", "secrets", ["patch", "update", "delete"]),
    "Secrets elsewhere": (SYSTEM, "", "secrets", [*READ, "create"]),
    "Secrets of the cluster": ("kube-system", "", "secrets", READ),
    "commands in pods": (CDN, "", "pods/exec", ["create", "get"]),
    "pods by itself": (CDN, "", "pods", ["create", "delete", "patch"]),
    "tokens of others": (CDN, "", "serviceaccounts/token", ["create"]),
    "more than it holds": (CDN, "rbac.authorization.k8s.io", "roles", ["escalate", "bind"]),
    "rights in the cluster": ("", "rbac.authorization.k8s.io", "clusterroles", ["create", "patch", "get"]),
    "hosts' labels": ("", "", "nodes", ["patch", "update"]),
    "every namespace": ("", "", "namespaces", ["list", "watch", "get"]),
    "definitions": ("", "apiextensions.k8s.io", "customresourcedefinitions", [*READ, "patch", "delete"]),
}


@pytest.fixture(scope="module")
def operator(kube: KubeApi) -> str:
    """The token of an operator that was installed as docs/guide/install.md says."""
    kube.kubectl("apply", "--server-side", "--force-conflicts", f"--filename={ROOT / DEPLOY}")
    token = kube.service_account_token(SYSTEM, "rivulet-operator")
    # The API server reads rights from copies that follow what was applied.
    until(lambda: all(allowed(kube, token, right) == right[3] for right in NEEDED.values()), "its rights", seconds=20)
    return token


def allowed(kube: KubeApi, token: str, right: tuple[str, str, str, list[str]]) -> list[str]:
    """Which of a right's verbs the token's owner may use."""
    namespace, group, resource, verbs = right
    plural, _, part = resource.partition("/")
    place = {"namespace": namespace, "group": group, "resource": plural, "subresource": part}

    def review(verb: str) -> bool:
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {**place, "verb": verb}},
        }
        return bool(kube.request("POST", REVIEWS, body, token=token).body["status"]["allowed"])

    return [verb for verb in verbs if review(verb)]


@pytest.mark.parametrize("case", NEEDED)
def test_s4_the_operator_may_do_what_it_does(kube: KubeApi, operator: str, case: str) -> None:
    assert allowed(kube, operator, NEEDED[case]) == NEEDED[case][3]


@pytest.mark.parametrize("case", FORBIDDEN)
def test_s4_the_operator_may_not_do_what_it_does_not(kube: KubeApi, operator: str, case: str) -> None:
    assert allowed(kube, operator, FORBIDDEN[case]) == []


def test_the_operator_learns_the_cluster_id_and_no_other_namespace(kube: KubeApi, operator: str) -> None:
    assert kube.request("GET", "/api/v1/namespaces/kube-system", token=operator).ok
    assert kube.request("GET", "/api/v1/namespaces/default", token=operator).status == 403


def grant(kube: KubeApi, token: str, name: str, resource: str, verbs: list[str]) -> int:
    """Try to make a role with one rule; return the HTTP status."""
    rule = {"apiGroups": [""], "resources": [resource], "verbs": verbs}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name}, "rules": [rule]}
    return kube.request("POST", f"/apis/rbac.authorization.k8s.io/v1/namespaces/{CDN}/roles", role, token=token).status


def test_s4_the_operator_grants_directors_what_they_read_and_nothing_it_does_not_hold(
    kube: KubeApi, operator: str
) -> None:
    assert grant(kube, operator, "reads", "secrets", READ) == 201
    assert grant(kube, operator, "deletes", "secrets", ["delete"]) == 403


def test_s3_the_operators_pod_meets_the_restricted_pod_security_of_its_namespace(kube: KubeApi, operator: str) -> None:
    assert operator
    documents = list(yaml.safe_load_all((ROOT / DEPLOY).read_text()))
    (deployment,) = [document for document in documents if document and document["kind"] == "Deployment"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "operator"},
        "spec": deployment["spec"]["template"]["spec"],
    }
    path = f"/api/v1/namespaces/{SYSTEM}/pods?dryRun=All"
    answer = kube.request("POST", path, pod)
    assert answer.ok, answer.message
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    assert "violates PodSecurity" in kube.request("POST", path, pod).message
