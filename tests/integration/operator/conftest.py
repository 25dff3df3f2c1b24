"""A real kube-apiserver with the CRDs, and the real operator as a process beside it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import kube_api
from operator_bench import Bench


@pytest.fixture(scope="module")
def kube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kube_api.KubeApi]:
    with kube_api.running(tmp_path_factory.mktemp("kube-api")) as api:
        yield api


@pytest.fixture
def bench(kube: kube_api.KubeApi, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    made = Bench(kube, tmp_path, request.node.name)
    try:
        yield made
    finally:
        made.close()
