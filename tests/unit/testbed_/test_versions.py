"""The pins of versions.env, the Go modules and the tools agree."""

import re
from pathlib import Path

import pytest

from rivulet_testbed import binaries, versions
from rivulet_testbed.errors import UsageError
from rivulet_testbed.progress import Progress

PINS = versions.load()
TOOLS = {tool.name: tool for tool in binaries.tools(PINS)}


@pytest.mark.parametrize(
    ("tool", "module", "pin"),
    [
        ("kube", "k8s.io/kubernetes", "KUBERNETES_VERSION"),
        ("etcd", "go.etcd.io/etcd/server/v3", "ETCD_VERSION"),
        ("coredns", "github.com/coredns/coredns", "COREDNS_VERSION"),
        ("helm", "helm.sh/helm/v3", "HELM_VERSION"),
    ],
)
def test_a_tools_module_requires_the_pinned_version(tool: str, module: str, pin: str) -> None:
    text = (binaries.HERE / f"tools-{tool}" / "go.mod").read_text()
    assert re.findall(rf"{re.escape(module)} v(\S+)", text)[0] == PINS[pin]


def test_every_staging_module_is_replaced_by_the_same_release() -> None:
    text = (binaries.HERE / "tools-kube" / "go.mod").read_text()
    replaced = dict(re.findall(r"^\s*(k8s\.io/\S+) => \S+ v(\S+)$", text, re.MULTILINE))
    assert len(replaced) > 25
    assert set(replaced.values()) == {PINS["KUBERNETES_VERSION"].replace("1.", "0.", 1)}


@pytest.mark.parametrize("tool", sorted(TOOLS))
def test_what_is_built_is_what_the_module_imports(tool: str) -> None:
    imports = re.findall(r'_ "(\S+)"', (binaries.HERE / f"tools-{tool}" / "tools.go").read_text())
    assert sorted(imports) == sorted(TOOLS[tool].packages)


def test_the_cache_key_follows_every_input() -> None:
    tool = TOOLS["etcd"]
    key = binaries.build_key(tool, {"go.mod": b"a", "go.sum": b"b"})
    assert key == binaries.build_key(tool, {"go.sum": b"b", "go.mod": b"a"})
    assert key != binaries.build_key(tool, {"go.mod": b"a", "go.sum": b"c"})
    assert key != binaries.build_key(TOOLS["helm"], {"go.mod": b"a", "go.sum": b"b"})


def test_one_tool_is_had_without_the_others(tmp_path: Path) -> None:
    built = binaries._tool_folder(tmp_path, TOOLS["helm"])
    built.mkdir(parents=True)
    assert binaries.ensure_tool(tmp_path, PINS, "helm", Progress()) == built
    assert [path.name for path in tmp_path.rglob("*")] == ["go", built.name]


def test_programs_have_the_names_that_people_know() -> None:
    assert TOOLS["etcd"].programs == ("etcd",)
    assert "kubectl" in TOOLS["kube"].programs


def test_a_line_that_is_no_pin_is_refused() -> None:
    assert versions.parse("# c\n\nA=1\n") == {"A": "1"}
    with pytest.raises(UsageError):
        versions.parse("A\n")


def test_the_pins_name_no_host() -> None:
    assert not [name for name, value in PINS.items() if "/" in value]


def test_the_file_can_be_sourced_by_a_shell() -> None:
    assert all(re.fullmatch(r"[A-Z_]+=\S+|#.*|", line) for line in Path(versions.PATH).read_text().splitlines())
