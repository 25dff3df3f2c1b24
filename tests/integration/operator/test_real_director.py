"""The operator and a real director process hold the same link."""

import base64
import itertools
import os
import subprocess
import sys

import pytest

from operator_bench import STOP_SECONDS, Bench

pytestmark = pytest.mark.timeout(180)  # starts an API server
ADDRESSES = (f"127.0.78.{number}" for number in itertools.count(1))


def test_the_operator_and_a_director_understand_each_other(bench: Bench) -> None:
    bench.region()
    bench.node("edge-eu", replicas=1)
    bench.start()
    bench.until(lambda: bench.slots("edge-eu") and bench.read("deployments", "rivulet-director"), "what is made")
    token = bench.until(lambda: bench.read("secrets", "rivulet-operator-link").get("data"), "the token")["token"]
    address = next(ADDRESSES)
    argv = [sys.executable, "-m", "rivulet_media.main", "director", "--region=eu", f"--namespace={bench.namespace}"]
    argv += [f"--bind={address}", f"--pod-ip={address}", "--join-token=join", "--public-port=8080"]
    argv += [f"--operator-token={base64.b64decode(token).decode()}", f"--state-dir={bench.folder}"]
    variables = {**os.environ, "KUBECONFIG": str(bench.kube.kubeconfig)}
    with (bench.folder / "director.log").open("wb") as log:
        director = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *argv], env=variables, stdout=log, stderr=log)
    try:
        bench.run_pod("rivulet-director", address=address)
        bench.until_condition("cdnregions", "eu", ("DirectorReachable", "True", "Linked"))
        bench.run_pod("edge-eu-0")
        bench.until_condition("cdnnodes", "edge-eu", ("Ready", "False", "WaitingForDirector"))
    finally:
        director.terminate()
        director.wait(STOP_SECONDS)
        print((bench.folder / "director.log").read_text()[-3000:])
    bench.until_condition("cdnregions", "eu", ("DirectorReachable", "False", "NoAnswer"))
