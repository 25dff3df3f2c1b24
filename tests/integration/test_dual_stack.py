"""Nodes with several addresses: clients and relays of either family, on machines with both and with one."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import keep_logs
from dual_stack import AP, EU4, EU6, US
from rivulet_scene.bare import BareCdn
from rivulet_scene.clients import probe
from steps import publish

SEEN_PLAYING = 2 * 15
NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="makes network namespaces")


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What dual_stack.py has seen."""
    directory = tmp_path_factory.mktemp("dual-stack")
    script = Path(__file__).with_name("dual_stack.py")
    ended = subprocess.run(
        ["unshare", "--net", sys.executable, script, directory],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    keep_logs(directory)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return dict(json.loads(ended.stdout.splitlines()[-1]))


@NEEDS_ROOT
@pytest.mark.timeout(260)
def test_a_node_is_told_and_tells_all_its_addresses(facts: dict[str, Any]) -> None:
    assert (facts["joined"]["address"], facts["joined"]["also"]) == (EU6, [EU4])


@NEEDS_ROOT
@pytest.mark.timeout(260)
@pytest.mark.parametrize(("where", "own", "node"), [("us", f"[{US}]", EU6), ("ap", AP, EU4)])
def test_a_viewer_of_one_family_plays_and_is_seen_under_its_own_address(
    facts: dict[str, Any], where: str, own: str, node: str
) -> None:
    """By IPv6 without any IPv4, and by IPv4 of a node that is advertised under IPv6 first; never as ::ffff:…."""
    seen = facts[f"eu from {where}"]
    assert seen["video"]["frames"] > SEEN_PLAYING, seen
    assert seen["pair"]["remote"].startswith(f"{node}:"), seen["pair"]
    assert seen["peers"] == [own]


@NEEDS_ROOT
@pytest.mark.timeout(260)
@pytest.mark.parametrize("stream", ["by_udp", "by_tcp"])
@pytest.mark.parametrize("region", ["us", "ap"])
def test_a_relay_goes_by_the_family_that_its_puller_has(facts: dict[str, Any], region: str, stream: str) -> None:
    """us has no IPv4 at all; in ap the parent's first address, of IPv6, cannot even be sent to."""
    seen = facts[f"{region} {stream}"]
    assert seen["video"]["frames"] > SEEN_PLAYING, seen
    assert seen["audio"]["frames"] > 0, seen


@NEEDS_ROOT
@pytest.mark.timeout(260)
def test_an_address_that_is_taken_from_the_map_goes_and_cuts_nobody(facts: dict[str, Any]) -> None:
    changed = facts["readdressed"]
    assert changed["entry"]["address"] == EU4
    assert "also" not in changed["entry"]
    assert changed["entry"]["version"] > facts["joined"]["version"]
    assert changed["viewer"]["ended"] == "duration"
    assert changed["viewer"]["video"]["frames"] > changed["frames before"] + SEEN_PLAYING, changed


@pytest.mark.timeout(120)
def test_a_kernel_without_ipv6_runs_a_cdn_and_says_which_address_nobody_hears(tmp_path: Path) -> None:
    """IPv6 sockets are refused as by a kernel booted with ipv6.disable=1; nobody is told what to bind."""
    streams = {"test_eu": {"region": "eu"}}
    with BareCdn(tmp_path, {"eu": 1}, streams, bind="") as cdn:
        eu = cdn.regions["eu"]
        eu.inside = (sys.executable, str(Path(__file__).with_name("without_ipv6.py")))
        cdn.write_file(eu, streams, nodeDefaults={"addressMap": {"here": "127.0.0.1,2001:db8::7"}})
        cdn.director("eu", ready=False)
        cdn.node("origin-eu-0", "origin", "eu", "--kube-node", "here")
        edge = cdn.node("edge-eu-0", "edge", "eu", "--kube-node", "here")
        cdn.settled("eu")
        with publish(cdn, "test_eu"), probe(f"{eu.public()}/whep/test_eu", seconds=8) as viewer:
            assert viewer.result()["video"]["frames"] > 30
        said = edge.log.read_text()
        assert "clients are told 2001:db8::7, but nothing listens on IPv6 here: this node is bound to 0.0.0.0" in said
