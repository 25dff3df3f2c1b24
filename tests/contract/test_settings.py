"""§10, environment: what manifests set, what docs/contract.md lists and what the processes read is one list."""

from __future__ import annotations

import argparse
import re
import shlex
from collections import UserDict
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from rivulet_media import settings as node_settings
from rivulet_media import turn_guard
from rivulet_media.director import settings as director_settings
from rivulet_media.errors import SettingsError
from rivulet_media.main import COMMANDS
from rivulet_media.main import main as media_main
from rivulet_operator import settings as operator_settings
from rivulet_operator.manifests import director, slot
from rivulet_operator.manifests.choices import Images, choose
from rivulet_operator.manifests.settings_map import settings_map
from rivulet_operator.model import node as nodes
from rivulet_operator.model import region as regions

if TYPE_CHECKING:
    from pathlib import Path

    from tests.contract.conftest import Contract

IMAGES = Images(media="media:1", coturn="coturn:1")


class Recorded(UserDict[str, str]):
    """An environment that remembers which variables were asked for."""

    def __init__(self, values: dict[str, str]) -> None:
        super().__init__(values)
        self.asked: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.add(key)
        return super().get(key, default)


def custom(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "cdn", "uid": f"uid-{name}", "generation": 1}
    return {"apiVersion": "rivulet.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def region() -> regions.Region:
    return regions.parse(custom("CDNRegion", "eu", {"host": "eu.example", "mesh": {"address": "eu.example:7443"}}))


def media_pod(role: str) -> dict[str, Any]:
    node = nodes.parse(custom("CDNNode", f"{role}-eu", {"role": role, "region": "eu"}))
    made = slot.make(node, f"{role}-eu-0", 7003, choose(node, region(), IMAGES))
    return dict(made.template["spec"])


def set_by(pod: dict[str, Any], *names: str) -> set[str]:
    """Variables of the containers named; of all if none is."""
    containers = [*pod.get("initContainers", []), *pod["containers"]]
    chosen = [container for container in containers if not names or container["name"] in names]
    return {variable["name"] for container in chosen for variable in container.get("env", ())}


def listed(contract: Contract, whose: str) -> set[str]:
    return set(re.findall(r"`(RIVULET_[A-Z_]+)`", contract.paragraph("10", f"Environment of {whose}")))


def arguments(module: Any) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    return parser


def read_by_node(tmp_path: Path) -> set[str]:
    (tmp_path / "token").write_text("secret")
    values = {"RIVULET_ENTRY": "http://127.0.0.1:7443", "RIVULET_JOIN_TOKEN_FILE": str(tmp_path / "token")}
    environment = Recorded(values)
    node_settings.read(arguments(node_settings).parse_args([]), environment)
    return environment.asked


def read_by_director(tmp_path: Path) -> set[str]:
    (tmp_path / "token").write_text("secret")
    environment = Recorded({"RIVULET_REGION": "eu", "RIVULET_JOIN_TOKEN_FILE": str(tmp_path / "token")})
    director_settings.from_arguments(arguments(director_settings).parse_args([]), environment)
    return {name for name in environment.asked if name}


def test_media_pods_get_what_nodes_read(contract: Contract, tmp_path: Path) -> None:
    named = listed(contract, "media pods")
    for role in ("origin", "edge"):
        assert set_by(media_pod(role)) == named - {"RIVULET_LOG_LEVEL"}
    bare = set(re.findall(r"`(RIVULET_[A-Z_]+)`", contract.paragraph("10", "Without Kubernetes every one")))
    assert read_by_node(tmp_path) == named | bare


def test_directors_get_what_directors_read(contract: Contract, tmp_path: Path) -> None:
    named = listed(contract, "directors")
    made = director.make(region(), IMAGES.media, "cluster-1")
    assert set_by(made.template["spec"]) == named - {"RIVULET_LOG_LEVEL"}
    everybody = contract.paragraph("10", "Without Kubernetes every one").partition("and a node takes")[0]
    assert read_by_director(tmp_path) == named | set(re.findall(r"`(RIVULET_[A-Z_]+)`", everybody))


def test_turn_pods_get_what_the_guard_reads(contract: Contract, root: Path) -> None:
    named = listed(contract, "TURN pods")
    assert set_by(media_pod("turn")) <= named
    source = (root / "mediaserver" / "rivulet_media" / "turn_guard.py").read_text("utf-8")
    assert set(re.findall(r'"(RIVULET_[A-Z_]+)"', source)) == named


def test_the_chart_sets_what_the_operator_reads(contract: Contract, root: Path) -> None:
    named = listed(contract, "the operator")
    documents = [each for each in yaml.safe_load_all((root / "deploy" / "rivulet.yaml").read_text()) if each]
    (operator,) = (each for each in documents if each["kind"] == "Deployment")
    assert set_by(operator["spec"]["template"]["spec"]) == named - {"RIVULET_PROBE_PORT"}
    values = dict.fromkeys(("RIVULET_REGION", "RIVULET_NAMESPACE", "RIVULET_MEDIA_IMAGE", "RIVULET_COTURN_IMAGE"), "x")
    environment = Recorded(values)
    operator_settings.from_environment(environment, None)
    assert {name for name in environment.asked if name.startswith("RIVULET_")} == named


def test_the_pools_settings_are_the_keys_that_pods_refer_to(contract: Contract) -> None:
    node = nodes.parse(custom("CDNNode", "edge-eu", {"role": "edge", "region": "eu"}))
    made = settings_map(node)
    sources = [
        variable.get("valueFrom", {}).get("configMapKeyRef") for variable in media_pod("edge")["containers"][0]["env"]
    ]
    used = {(source["name"], source["key"]) for source in sources if source}
    assert used == {(made["metadata"]["name"], key) for key in made["data"]}
    row = contract.paragraph("10", "| a pool's settings")
    assert set(made["data"]) <= set(contract.code(row))
    assert made["metadata"]["name"] == "<CDNNode>-settings".replace("<CDNNode>", "edge-eu")


@pytest.mark.parametrize(("whose", "module"), [("media pods", node_settings), ("directors", director_settings)])
def test_every_variable_is_also_a_flag(contract: Contract, whose: str, module: Any) -> None:
    flags = {option for action in arguments(module)._actions for option in action.option_strings}
    singular = {"--siblings": "--sibling"}
    for variable in listed(contract, whose):
        flag = "--" + variable.removeprefix("RIVULET_").lower().replace("_", "-")
        assert singular.get(flag, flag) in flags, variable
    assert {"--join-token", "--join-token-file"} <= flags


def test_every_command_line_of_the_guides_is_understood(root: Path) -> None:
    """Each `rivulet-media …` in the documents, parsed by the real parser; none is run."""
    texts = [path.read_text("utf-8") for path in [root / "README.md", *sorted((root / "docs" / "guide").glob("*.md"))]]
    lines = [line for text in texts for line in re.findall(r"^\s*(rivulet-media .*)$", text, re.MULTILINE)]
    assert len(lines) >= 5
    for line in lines:
        inner = re.findall(r"\$\((.*?)\)", line)
        for words in (shlex.split(each, comments=True) for each in (re.sub(r"\$\(.*?\)", "X", line), *inner)):
            assert words[1] in COMMANDS, line
            arguments(module_of(words[1])).parse_args(words[2:])


def module_of(command: str) -> Any:
    return __import__(COMMANDS[command][0], fromlist=["add_arguments"])


def test_a_missing_setting_is_named_with_its_flag_and_its_variable() -> None:
    with pytest.raises(SettingsError, match=r"--entry \(RIVULET_ENTRY\)"):
        node_settings.read(arguments(node_settings).parse_args([]), {})
    with pytest.raises(SystemExit):
        media_main(["no-such-command"])
    assert callable(turn_guard.add_arguments)
