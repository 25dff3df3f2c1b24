from collections.abc import Iterator

import pytest

import kube_api
from rivulet_api import Spec, create

BUILD_SECONDS = 1800


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On a machine that never built the API server, a test waits for that."""
    if not kube_api.built():
        for item in items:
            if {"kube", "empty"} & set(getattr(item, "fixturenames", ())):
                item.add_marker(pytest.mark.timeout(BUILD_SECONDS))


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
