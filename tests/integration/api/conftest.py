from collections.abc import Iterator

import pytest

import kube_api
from rivulet_api import Spec, create

BUILD_SECONDS = 1800
# etcd, the API server and its definitions have 45 s each, beside others on two busy cores.
START_SECONDS = 240


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test waits for the API server's start, on a machine that never built it for that too."""
    seconds = START_SECONDS if kube_api.built() else BUILD_SECONDS
    for item in items:
        if {"kube", "empty"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.timeout(seconds))


@pytest.fixture(scope="session")
def kube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kube_api.KubeApi]:
    with kube_api.running(tmp_path_factory.mktemp("kube-api")) as api:
        yield api


@pytest.fixture(scope="session")
def made(kube: kube_api.KubeApi) -> None:
    node: Spec = {"role": "edge", "region": "eu", "replicas": 1}
    resources: list[tuple[str, str, Spec]] = [
        ("CDNNode", "kept", node),
        ("Stream", "kept", {"region": "eu"}),
        ("Stream", "named", {"region": "eu", "name": "A_b"}),
        ("Stream", "live", {"region": "eu"}),
    ]
    for kind, name, spec in resources:
        assert create(kube, kind, name, spec, dry=False).ok
