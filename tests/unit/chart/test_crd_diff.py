import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from rivulet_chart import crd_diff

WHO = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
Commit = Callable[..., None]


def thing(*names: str) -> str:
    properties = {name: {"type": "string"} for name in names}
    version = {
        "name": "v1",
        "served": True,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": properties}},
    }
    spec = {"group": "g", "scope": "Namespaced", "names": {"kind": "Thing", "plural": "things"}, "versions": [version]}
    return yaml.safe_dump({"metadata": {"name": "things.g"}, "spec": spec})


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "crds").mkdir()
    (tmp_path / "accepted").write_text("# nothing yet\n")
    return tmp_path


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(folder), *WHO, *arguments], check=True, capture_output=True, timeout=20)


def commit(checkout: Path, text: str) -> None:
    (checkout / "crds" / "things.yaml").write_text(text)
    git(checkout, "add", ".")
    git(checkout, "commit", "-q", "--allow-empty", "-m", "x")


def gate(checkout: Path, *arguments: str) -> int:
    return crd_diff.main(list(arguments), checkout, checkout / "accepted")


def test_a_field_that_is_gone_turns_the_gate_red_and_is_named(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commit(checkout, thing("a", "b"))
    commit(checkout, thing("a"))
    assert gate(checkout) == 1
    assert "Thing v1.b: field removed" in capsys.readouterr().out


def test_a_field_that_is_new_leaves_it_green(checkout: Path) -> None:
    commit(checkout, thing("a"))
    commit(checkout, thing("a", "b"))
    assert gate(checkout) == 0


def test_a_change_that_is_not_committed_yet_counts(checkout: Path) -> None:
    commit(checkout, thing("a", "b"))
    commit(checkout, thing("a", "b"))
    (checkout / "crds" / "things.yaml").write_text(thing("a"))
    assert gate(checkout) == 1


def test_a_definition_that_is_gone_turns_it_red(checkout: Path) -> None:
    commit(checkout, thing("a"))
    (checkout / "crds" / "things.yaml").unlink()
    git(checkout, "add", ".")
    git(checkout, "commit", "-q", "-m", "x")
    assert gate(checkout) == 1


def test_what_was_decided_on_passes(checkout: Path) -> None:
    commit(checkout, thing("a", "b"))
    commit(checkout, thing("a"))
    (checkout / "accepted").write_text("# b was never read\nThing v1.b: field removed\n")
    assert gate(checkout) == 0


def test_the_last_release_is_the_measure_not_the_last_commit(checkout: Path) -> None:
    commit(checkout, thing("a", "b"))
    git(checkout, "tag", "v1.0.0")
    commit(checkout, thing("a"))
    commit(checkout, thing("a"))
    assert gate(checkout) == 1


def test_without_a_release_the_commit_where_the_branch_began_is_the_measure(checkout: Path) -> None:
    commit(checkout, thing("a", "b"))
    git(checkout, "update-ref", "refs/remotes/origin/main", "HEAD")
    commit(checkout, thing("a"))
    commit(checkout, thing("a"))
    assert crd_diff.main(["--base", "HEAD~1"], checkout, checkout / "accepted") == 0
    assert gate(checkout) == 1


def test_the_first_commit_has_nothing_to_be_measured_by(checkout: Path) -> None:
    commit(checkout, thing("a"))
    assert gate(checkout) == 0


def test_a_commit_that_is_not_there_is_an_error_not_a_pass(checkout: Path) -> None:
    commit(checkout, thing("a"))
    with pytest.raises(SystemExit):
        gate(checkout, "--base", "nonsense")
