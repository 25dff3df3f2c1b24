"""The API server is killed and comes back while the operator is at work."""

import http.client
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import kube_api
import kube_processes
from operator_bench import Bench

pytestmark = pytest.mark.timeout(300)  # starts an API server twice


def test_an_api_server_that_restarts_changes_nothing_and_work_goes_on_o6(bench: Bench) -> None:
    bench.region()
    bench.node("edge-eu", replicas=2)
    operator = bench.start()
    bench.until(lambda: len(bench.slots("edge-eu")) == 2, "slots")
    bench.until_condition("cdnnodes", "edge-eu", ("Ready", "False", "NodesStarting"))
    before = _specs(bench)
    with _restarted(bench.kube):
        bench.until(lambda: _answers(bench.kube), "the API server back")
        bench.stream("s")
        bench.until_condition("streams", "s", ("Ready", "True", "Publishable"))
        assert operator.poll() is None
        assert _specs(bench) == before


def _answers(kube: kube_api.KubeApi) -> bool:
    try:
        return kube.request("GET", "/readyz").ok
    except (OSError, http.client.HTTPException):
        return False


def _specs(bench: Bench) -> dict[str, int]:
    return {body["metadata"]["name"]: body["metadata"]["generation"] for body in bench.read("deployments")["items"]}


@contextmanager
def _restarted(kube: kube_api.KubeApi) -> Iterator[None]:
    """Kill the API server that the fixture started and start it anew on the same port."""
    port = urlsplit(kube.url).port
    pid, argv = next(
        (int(entry.name), argv)
        for entry in Path("/proc").iterdir()
        if entry.name.isdecimal() and f"--secure-port={port}" in (argv := _argv(entry))
    )
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + kube_processes.STOP_SECONDS
    while _listens(port) and time.monotonic() < deadline:
        time.sleep(0.05)
    again = kube_processes.start(kube.folder, argv)
    try:
        yield
    finally:
        kube_processes.stop(again)


def _listens(port: int | None) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port or 0)) == 0


def _argv(process: Path) -> list[str]:
    try:
        return (process / "cmdline").read_bytes().decode().split("\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return []  # it has ended meanwhile
