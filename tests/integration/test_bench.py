"""The benchmarks can be pointed at any WHIP and WHEP server: here at a node of ours, by URL and process id."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rivulet_scene.bare import BareCdn
from rivulet_scene.command import ROOT
from rivulet_scene.load import build

pytestmark = pytest.mark.timeout(120)

STREAM = "bench_eu"
FANOUT = ROOT / "tests" / "bench" / "fanout.py"


@pytest.fixture(scope="module")
def cdn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BareCdn]:
    build()
    streams = {STREAM: {"region": "eu", "access": {"publish": "open"}}}
    with BareCdn(tmp_path_factory.mktemp("bench"), {"eu": 1}, streams) as cdn:
        cdn.director("eu", ready=False)
        cdn.node("origin-eu-0", "origin", "eu")
        cdn.settled("eu")
        yield cdn


def fanout(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FANOUT), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "hack")}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=100)


@pytest.mark.timeout(900)  # the first in a tree builds the load generator
def test_a_server_is_measured_by_its_urls_and_its_process_and_left_as_it_was(cdn: BareCdn, tmp_path: Path) -> None:
    node = cdn.processes["origin-eu-0"]
    urls = ("--whip", f"{cdn.regions['eu'].public()}/whip/{STREAM}", "--whep", f"{node.http}/whep/{STREAM}")
    few = ("--viewers", "2,4", "--seconds", "0.5", "--patterns", "burst", "--write", str(tmp_path))
    done = fanout(*urls, "--pid", str(node.popen.pid), *few)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout.splitlines()[-1])["rows"]
    assert [(row["where"], row["viewers"], row["threads"]) for row in rows] == [("url", 2, None), ("url", 4, None)]
    for row in rows:
        assert row["us_per_packet"] > row["floor_us"] / 2 > 0, row
        assert row["packets_per_second"] > 100, row
    assert (tmp_path / "fanout-url.svg").read_text().startswith("<svg")
    assert not [entry for entry in cdn.table("origin-eu-0")["streams"] if entry["state"] != "ended"]


@pytest.mark.parametrize("given", [("--whip", "http://127.0.0.1:9/whip/s"), ("--pid", "1", "--via", "pod")])
def test_half_an_address_is_refused(given: tuple[str, ...]) -> None:
    done = fanout(*given)
    assert done.returncode != 0
    assert "go together" in done.stderr
