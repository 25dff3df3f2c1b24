"""Kubeconfigs, certificates, CoreDNS and the answers of DNS and API."""

import base64
import json
from pathlib import Path

from rivulet_testbed import coredns, dns_probe, kubeconfig, kubectl, pki, status
from rivulet_testbed.allocation import Testbed
from rivulet_testbed.layout import TestbedPaths
from rivulet_testbed.places import Place

EU = Place("rv", "eu", 0, 1)


def test_a_kubeconfig_has_the_regions_name_as_context_and_everything_inside() -> None:
    config = json.loads(
        kubeconfig.render("eu", "https://1.2.3.4:6443", "admin", {"ca": b"A", "crt": b"B", "key": b"C"})
    )
    assert config["current-context"] == config["contexts"][0]["name"] == "eu"
    assert base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]) == b"A"
    assert base64.b64decode(config["users"][0]["user"]["client-key-data"]) == b"C"


def test_the_api_server_answers_to_its_address_and_the_services() -> None:
    [server] = [c for c in pki.certificates(EU) if c.name == "apiserver"]
    assert {"IP:172.30.0.2", "IP:10.96.0.1", "DNS:kubernetes.default.svc"} <= set(server.alternatives)


def test_every_node_is_a_user_of_its_own() -> None:
    subjects = {c.name: c.subject for c in pki.certificates(Place("rv", "eu", 0, 2))}
    assert subjects["node-eu-2"] == "/O=system:nodes/CN=system:node:eu-2"


def test_coredns_is_replaced_when_its_configuration_changes() -> None:
    items = coredns.manifests("img")["items"]
    assert isinstance(items, list)
    [deployment] = [item for item in items if item["kind"] == "Deployment"]
    assert deployment["spec"]["template"]["metadata"]["annotations"]


def test_only_an_answer_to_our_question_counts() -> None:
    question = dns_probe.query("a.b")
    assert question.endswith(b"\x01a\x01b\x00\x00\x01\x00\x01")
    header = question[:2]
    assert dns_probe.has_answer(header + bytes([0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]))
    assert not dns_probe.has_answer(header + bytes([0x81, 0x83, 0, 1, 0, 0, 0, 0, 0, 0]))
    assert not dns_probe.has_answer(b"\0\0" + bytes([0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]))
    assert not dns_probe.has_answer(b"")


def test_a_node_is_ready_by_its_condition() -> None:
    def node(name: str, state: str) -> dict[str, object]:
        return {"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": state}]}}

    nodes: list[dict[str, object]] = [node("a", "True"), node("b", "Unknown"), {"metadata": {"name": "c"}}]
    assert kubectl.ready_nodes(nodes) == {"a"}


def test_the_environment_tells_programs_where_everything_is() -> None:
    testbed = Testbed("rv", 0, (EU, Place("rv", "nsk", 1, 0)))
    described = status.environment(testbed, TestbedPaths(Path("/state"), "rv"), "/bin-cache")
    assert described["regions"]["eu"]["kubeconfig"] == "/state/rv/eu/kubeconfigs/admin.kubeconfig"
    assert described["regions"]["eu"]["nodeIP"] == "172.30.0.2"
    assert set(described["places"]) == {"eu", "nsk"}
    assert set(described["regions"]) == {"eu"}
