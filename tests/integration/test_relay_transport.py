"""N8: relays by UDP or TCP as the Stream says, between real nodes: what passes between them, changes and refusals."""

import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from conftest import keep_logs
from packets import TCP, UDP, Trace
from rivulet_scene.bare import BareCdn, metric
from rivulet_scene.clients import probe
from rivulet_scene.waiting import holds, until
from steps import edge_relays, pictures, publish

pytestmark = pytest.mark.timeout(120)

OVER_TCP = {"transport": "tcp", "idleSeconds": 1}


@pytest.fixture
def cdn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BareCdn]:
    """eu: a director, an edge, and whatever origin the test starts. us: a director, an edge."""
    directory = tmp_path_factory.mktemp("transport")
    with BareCdn(directory, {"eu": 1, "us": 1}, streams()) as running:
        for region in ("eu", "us"):
            running.director(region, ready=False)
        for slot in ("edge-eu-0", "edge-us-0"):
            # A link that carries nothing any more is checked by UDP until it is closed.
            running.node(slot, "edge", slot.split("-")[1], "--link-seconds", "2")
        for region in ("eu", "us"):
            running.settled(region)
        yield running
        keep_logs(directory)


def streams(**distribution: Any) -> dict[str, dict[str, Any]]:
    return {"test_eu": {"region": "eu", "distribution": {**OVER_TCP, **distribution}}}


def set_transport(cdn: BareCdn, transport: str) -> None:
    cdn.write_file(cdn.regions["eu"], streams(transport=transport))


def media_port(cdn: BareCdn, slot: str) -> int:
    return int(next(node["mediaPort"] for node in cdn.table(slot)["nodes"] if node["node"] == slot))


def udp_ports(cdn: BareCdn, slot: str) -> set[int]:
    """Ports of the node's UDP sockets."""
    listed = subprocess.run(["ss", "-Huanp"], check=True, stdout=subprocess.PIPE, text=True, timeout=10).stdout
    mine = (line.split() for line in listed.splitlines() if f"pid={cdn.processes[slot].popen.pid}," in line)
    return {int(words[3].rpartition(":")[2]) for words in mine}


def dialled(cdn: BareCdn, slot: str) -> float:
    return metric(cdn.processes[slot].http, "rivulet_tcp_connections_dialled_total")


def test_no_datagram_passes_between_two_nodes_whose_relay_goes_by_tcp(cdn: BareCdn) -> None:
    """N8 in one region and between two: one connection each, 0 UDP packets, the picture runs."""
    cdn.node("origin-eu-0", "origin", "eu")
    origin = media_port(cdn, "origin-eu-0")
    doors = {slot: cdn.regions[slot.split("-")[1]].public() for slot in ("edge-eu-0", "edge-us-0")}
    ports = {slot: media_port(cdn, slot) for slot in doors}
    with publish(cdn, "test_eu"), Trace(origin) as trace:
        watching = [probe(f"{door}/whep/test_eu", seconds=10) for door in doors.values()]
        for viewer in watching:
            with viewer:
                seen = viewer.result()
                assert seen["video"]["frames"] > 3 * 15, seen
        for slot, port in ports.items():
            assert dialled(cdn, slot) == 1
            assert udp_ports(cdn, slot) == {port}, "no socket of the relay's own"
    edges = set(ports.values())
    between = [packet for packet in trace.packets if {packet.source, packet.destination} & edges]
    assert [packet for packet in between if packet.protocol == UDP] == []
    assert sum(packet.protocol == TCP for packet in trace.packets) > 200, "and the relays did pass there"


def test_the_transport_changes_while_somebody_watches(cdn: BareCdn) -> None:
    """N8: a live setting: the relay is opened anew, the viewer's session goes on."""
    set_transport(cdn, "udp")
    cdn.node("origin-eu-0", "origin", "eu")
    port, door = media_port(cdn, "edge-eu-0"), cdn.regions["eu"].public()
    with publish(cdn, "test_eu"), probe(f"{door}/whep/test_eu", seconds=45) as viewer:
        viewer.line(0)
        until(lambda: len(udp_ports(cdn, "edge-eu-0")) == 2, "a relay by UDP", seconds=10)
        assert dialled(cdn, "edge-eu-0") == 0
        set_transport(cdn, "tcp")
        until(lambda: udp_ports(cdn, "edge-eu-0") == {port} and dialled(cdn, "edge-eu-0") == 1, "by TCP", seconds=10)
        set_transport(cdn, "udp")
        until(lambda: len(udp_ports(cdn, "edge-eu-0")) == 2, "by UDP again", seconds=10)
        assert edge_relays(cdn, "edge-eu-0") == 1
        frames = pictures(viewer)
        until(lambda: pictures(viewer) > frames + 45, "it plays on", seconds=20)
        seen = viewer.result()
    assert seen["ended"] in (None, "duration"), seen


def test_a_parent_without_tcp_is_refused_aloud_and_never_reached_by_udp(cdn: BareCdn) -> None:
    """N8: the edge tries again with pauses, and its viewer stays for the setting to change."""
    cdn.node("origin-eu-0", "origin", "eu", "--media-tcp", "off")
    edge, origin = cdn.processes["edge-eu-0"], cdn.processes["origin-eu-0"]
    port, door = media_port(cdn, "edge-eu-0"), cdn.regions["eu"].public()
    with publish(cdn, "test_eu"), probe(f"{door}/whep/test_eu", seconds=30) as viewer:
        viewer.line(0)
        until(lambda: metric(edge.http, "rivulet_relays_without_tcp_total") >= 2, "refused twice", seconds=10)
        holds(lambda: udp_ports(cdn, "edge-eu-0") == {port}, "no UDP instead", seconds=2)
        for process in (edge, origin):
            assert re.search(r"takes no media over TCP", process.log.read_text()), process.name
        set_transport(cdn, "udp")
        until(lambda: len(udp_ports(cdn, "edge-eu-0")) == 2, "a relay by UDP", seconds=10)
        seen = viewer.result()
    assert seen["video"]["frames"] > 5 * 15, seen


def test_a_killed_parent_is_found_again_and_the_viewer_stays(cdn: BareCdn) -> None:
    """N8: the broken connection ends the relay at once; another process, another connection."""
    cdn.node("origin-eu-0", "origin", "eu")
    edge, door = cdn.processes["edge-eu-0"], cdn.regions["eu"].public()
    with publish(cdn, "test_eu") as first, probe(f"{door}/whep/test_eu", seconds=90) as viewer:
        viewer.line(0)
        until(lambda: dialled(cdn, "edge-eu-0") == 1, "a relay by TCP", seconds=10)
        until(lambda: pictures(viewer) > 0, "a picture", seconds=20)
        first.kill()
        cdn.processes["origin-eu-0"].kill()
        until(lambda: "connection-lost" in edge.log.read_text(), "noticed", seconds=10)
        cdn.node("origin-eu-0", "origin", "eu")
        with publish(cdn, "test_eu"):
            until(lambda: dialled(cdn, "edge-eu-0") >= 2, "another relay", seconds=15)
            until(lambda: edge_relays(cdn, "edge-eu-0") == 1, "one relay", seconds=5)
            frames = pictures(viewer)
            until(lambda: pictures(viewer) > frames + 45, "it plays on", seconds=20)
            viewer.stop()
            seen = viewer.result()
    assert seen["ended"] == "signal", seen


def test_an_edge_that_is_killed_leaves_no_connection_at_the_parent(cdn: BareCdn) -> None:
    origin = cdn.node("origin-eu-0", "origin", "eu")
    door = cdn.regions["eu"].public()
    with publish(cdn, "test_eu"), probe(f"{door}/whep/test_eu", seconds=20) as viewer:
        viewer.line(0)
        until(lambda: metric(origin.http, "rivulet_tcp_connections") == 1, "a relay by TCP", seconds=10)
        cdn.processes["edge-eu-0"].kill()
        until(lambda: metric(origin.http, "rivulet_tcp_connections") == 0, "closed", seconds=10)
        until(lambda: metric(origin.http, "rivulet_relays", direction="out") == 0, "and its session", seconds=10)
