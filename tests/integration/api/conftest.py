from collections.abc import Iterator

import kube_api
import pytest


@pytest.fixture(scope="session")
def kube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kube_api.KubeApi]:
    with kube_api.running(tmp_path_factory.mktemp("kube-api")) as api:
        yield api
