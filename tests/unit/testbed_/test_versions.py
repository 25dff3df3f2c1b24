"""The pins of versions.env, the Go modules and the tools agree."""

import re
from pathlib import Path

import pytest

from rivulet_testbed import binaries, coredns, versions
from rivulet_testbed.errors import UsageError
from rivulet_testbed.progress import Progress

PINS = versions.load()
MODULE = (binaries.MODULE / "go.mod").read_text()
TOOLS = {tool.name: tool for tool in binaries.tools(PINS)}


@pytest.mark.parametrize(
    ("module", "pin"),
    [
        ("k8s.io/kubernetes", "KUBERNETES_VERSION"),
        ("go.etcd.io/etcd/server/v3", "ETCD_VERSION"),
        ("github.com/coredns/coredns", "COREDNS_VERSION"),
        ("helm.sh/helm/v3", "HELM_VERSION"),
    ],
)
def test_the_module_requires_the_pinned_version(module: str, pin: str) -> None:
    assert re.findall(rf"{re.escape(module)} v(\S+)", MODULE)[0] == PINS[pin]


def test_every_staging_module_is_replaced_by_the_same_release() -> None:
    replaced = dict(re.findall(r"^\s*(k8s\.io/\S+) => \S+ v(\S+)$", MODULE, re.MULTILINE))
    assert len(replaced) > 25
    assert set(replaced.values()) == {PINS["KUBERNETES_VERSION"].replace("1.", "0.", 1)}


def test_each_package_is_the_modules_own_or_one_that_it_imports() -> None:
    imported = re.findall(r'_ "(\S+)"', (binaries.MODULE / "imported.go").read_text())
    own = [f"./{path.parent.name}" for path in binaries.MODULE.glob("*/main.go")]
    assert sorted(imported + own) == sorted(tool.package for tool in TOOLS.values())


def test_kubernetes_is_each_of_the_programs_that_it_is_called_by() -> None:
    names = re.findall(r'case "(\S+)":', (binaries.MODULE / "kubernetes" / "main.go").read_text())
    assert sorted(names) == sorted(TOOLS["kubernetes"].programs[1:])


def test_coredns_has_the_plugins_that_its_configuration_names() -> None:
    plugins = re.findall(r"coredns/plugin/(\w+)", (binaries.MODULE / "coredns" / "main.go").read_text())
    named = {
        name.replace("prometheus", "metrics") for name in re.findall(r"^    (\w+)", coredns.COREFILE, re.MULTILINE)
    }
    assert set(plugins) == named


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
    assert "kubectl" in TOOLS["kubernetes"].programs


def test_a_line_that_is_no_pin_is_refused() -> None:
    assert versions.parse("# c\n\nA=1\n") == {"A": "1"}
    with pytest.raises(UsageError):
        versions.parse("A\n")


def test_the_pins_name_no_host() -> None:
    assert not [name for name, value in PINS.items() if "/" in value]


def test_the_file_can_be_sourced_by_a_shell() -> None:
    assert all(re.fullmatch(r"[A-Z_]+=\S+|#.*|", line) for line in Path(versions.PATH).read_text().splitlines())
