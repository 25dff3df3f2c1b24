"""The directors of a region: two pods, three ways to reach them, and rights to read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rivulet_operator.manifests import pod as parts
from rivulet_operator.manifests.choices import DIRECTOR_RESOURCES
from rivulet_operator.manifests.metadata import canonical, common_labels, manifest, revision
from rivulet_operator.manifests.secrets import JOIN, OPERATOR_LINK, TURN
from rivulet_operator.model import labels
from rivulet_operator.model.kinds import DEPLOYMENT, GROUP, ROLE, ROLE_BINDING, SERVICE, SERVICE_ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rivulet_operator.model.kinds import Json
    from rivulet_operator.model.region import Region

NAME = "rivulet-director"
INTERNAL = "rivulet-director-internal"
HEADLESS = "rivulet-directors"
PUBLIC_PORT = 8080
INTERNAL_PORT = 7443


@dataclass(frozen=True, kw_only=True)
class Made:
    """The directors' pod template and the revision of the inputs it was made from."""

    revision: str
    template: Json


def director_labels(region: Region) -> Json:
    """Labels of all that belongs to the directors."""
    return common_labels("director", region.name)


def _selector() -> Json:
    return {labels.NAME: "rivulet", labels.COMPONENT: "director"}


def make(region: Region, image: str, cluster: str) -> Made:
    """The template as of now; its revision takes what users see: an upgrade of the operator alone restarts nothing."""
    resources = region.directors.resources or DIRECTOR_RESOURCES
    inputs = {"image": image, "pullSecrets": list(region.defaults.pull_secrets), "resources": resources}
    spec = {
        "serviceAccountName": NAME,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 30,
        "securityContext": parts.pod_security(),
        **parts.pull_secrets(region.defaults.pull_secrets),
        "tolerations": parts.lost_host_tolerations(),
        "containers": [_container(region, image, resources, cluster)],
        "volumes": [
            *(parts.secret_volume(name, secret) for name, secret in _secrets().items()),
            {"name": "state", "emptyDir": {"sizeLimit": "64Mi"}},
            parts.TMP,
        ],
    }
    return Made(revision=revision(inputs), template={"metadata": {"labels": director_labels(region)}, "spec": spec})


def _secrets() -> dict[str, str]:
    return {"join": JOIN, "operator": OPERATOR_LINK, "turn": TURN}


def _container(region: Region, image: str, resources: Json, cluster: str) -> Json:
    return {
        "name": "director",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["rivulet-media", "director"],
        "env": _environment(region, cluster),
        "ports": [
            {"name": "public", "containerPort": PUBLIC_PORT, "protocol": "TCP"},
            {"name": "internal", "containerPort": INTERNAL_PORT, "protocol": "TCP"},
        ],
        "resources": resources,
        "securityContext": parts.container_security(),
        **parts.probes("public"),
        "volumeMounts": [
            *(parts.secret_mount(name) for name in _secrets()),
            {"name": "state", "mountPath": "/var/lib/rivulet"},
            parts.TMP_MOUNT,
        ],
    }


def _environment(region: Region, cluster: str) -> list[Json]:
    plain = {
        "RIVULET_REGION": region.name,
        "RIVULET_NAMESPACE": region.identity.namespace,
        "RIVULET_CLUSTER_ID": cluster,
        "RIVULET_PUBLIC_PORT": str(PUBLIC_PORT),
        "RIVULET_INTERNAL_PORT": str(INTERNAL_PORT),
        "RIVULET_SIBLINGS": f"dns://{HEADLESS}:{INTERNAL_PORT}",
        "RIVULET_JOIN_TOKEN_FILE": "/var/run/rivulet/join/token",
        "RIVULET_OPERATOR_TOKEN_FILE": "/var/run/rivulet/operator/token",
        "RIVULET_TURN_SECRET_FILE": "/var/run/rivulet/turn/secret",
        "RIVULET_STATE_DIR": "/var/lib/rivulet",
    }
    return [*parts.values(plain), *parts.own_fields({"RIVULET_POD_IP": "status.podIP"})]


def deployment(region: Region, made: Made) -> Json:
    """Rolls one at a time, a new one before an old one: what directors know is soft and told again by the nodes."""
    spec = {
        "replicas": region.directors.replicas,
        "revisionHistoryLimit": 1,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "selector": {"matchLabels": _selector()},
        "template": made.template,
    }
    body = manifest(DEPLOYMENT, NAME, region.identity, director_labels(region), spec=spec)
    body["metadata"]["annotations"] = {labels.REVISION: made.revision, labels.TEMPLATE: canonical(made.template)}
    return body


def services(region: Region) -> list[Json]:
    """The front door, the internal listener, and each director by itself: by one address, to be dialled once."""
    wishes = region.directors
    public = _service(region, NAME, [_port("public", PUBLIC_PORT, wishes.public_node_port)], wishes.service_type)
    internal_port = _port("internal", INTERNAL_PORT, wishes.internal_node_port)
    internal = _service(region, INTERNAL, [internal_port], wishes.service_type)
    internal["spec"]["publishNotReadyAddresses"] = True
    for service in (public, internal):
        service["spec"]["ipFamilyPolicy"] = "PreferDualStack"
    headless = _service(region, HEADLESS, [_port("internal", INTERNAL_PORT, None)], "ClusterIP")
    headless["spec"].update({"clusterIP": "None", "publishNotReadyAddresses": True})
    return [public, internal, headless]


def _service(region: Region, name: str, ports: list[Json], service_type: str) -> Json:
    spec = {"type": service_type, "selector": _selector(), "ports": ports}
    return manifest(SERVICE, name, region.identity, director_labels(region), spec=spec)


def _port(name: str, number: int, node_port: int | None) -> Json:
    port: Json = {"name": name, "port": number, "targetPort": name, "protocol": "TCP"}
    return port if node_port is None else {**port, "nodePort": node_port}


def access(region: Region, secrets: Sequence[str]) -> list[Json]:
    """The directors' ServiceAccount and what it may read: our resources, and these Secrets by name."""
    tags, owner = director_labels(region), region.identity
    reading = ["get", "list", "watch"]
    rules: list[Json] = [{"apiGroups": [GROUP], "resources": ["cdnregions", "cdnnodes", "streams"], "verbs": reading}]
    if secrets:  # a rule without names would open all Secrets
        names = sorted(set(secrets))
        rules.append({"apiGroups": [""], "resources": ["secrets"], "resourceNames": names, "verbs": reading})
    subject = {"kind": "ServiceAccount", "name": NAME, "namespace": owner.namespace}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": NAME}
    return [
        manifest(SERVICE_ACCOUNT, NAME, owner, tags),
        manifest(ROLE, NAME, owner, tags, rules=rules),
        manifest(ROLE_BINDING, NAME, owner, tags, roleRef=reference, subjects=[subject]),
    ]
