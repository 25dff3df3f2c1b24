"""The gate that keeps crds/ growing only: this checkout against an earlier commit of it."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from rivulet_chart.schema_changes import definition_changes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parents[2]
ACCEPTED = Path(__file__).with_name("accepted_changes.txt")
GIT_SECONDS = 30.0
Definitions = dict[str, dict[str, Any]]


def parse(texts: Mapping[str, str]) -> Definitions:
    """Parse the definitions in files: the definition's name → its document."""
    documents = (document for text in texts.values() for document in yaml.safe_load_all(text))
    return {document["metadata"]["name"]: document for document in documents if document}


def changes(old: Definitions, new: Definitions) -> Iterator[str]:
    """Yield all that the new definitions take away from the old ones."""
    for name, definition in old.items():
        if name in new:
            yield from definition_changes(definition, new[name])
        else:
            yield f"{name}: definition removed"


def accepted(text: str) -> frozenset[str]:
    """Parse the list of changes that were decided on: one per line as this gate prints them; # begins a reason."""
    return frozenset(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))


def baseline(root: Path) -> str | None:
    """Choose the commit to compare with: the last release, else where the branch left its upstream, else HEAD~1.

    None when there is no history.
    """
    release = _git(root, "describe", "--tags", "--abbrev=0", "--match=v[0-9]*")
    if release:
        return release
    head = _git(root, "rev-parse", "HEAD")
    for upstream in ("origin/HEAD", "origin/main"):
        left = _git(root, "merge-base", "HEAD", upstream)
        if left and left != head:
            return left
    return _git(root, "rev-parse", "--verify", "--quiet", "HEAD~1")


def definitions_at(root: Path, commit: str) -> Definitions:
    """Return the definitions as they were in a commit; none if it had none."""
    names = (_git(root, "ls-tree", "--name-only", commit, "crds/") or "").splitlines()
    return parse({name: _git(root, "show", f"{commit}:{name}") or "" for name in names if name.endswith(".yaml")})


def definitions_here(root: Path) -> Definitions:
    """Return the definitions of the work tree."""
    return parse({path.name: path.read_text() for path in (root / "crds").glob("*.yaml")})


def main(arguments: list[str], root: Path = ROOT, accepted_path: Path = ACCEPTED) -> int:
    """Compare and print; return the exit code."""
    parser = argparse.ArgumentParser(prog="hack/crd-diff", description="Tells what crds/ takes away from its users.")
    parser.add_argument("--base", help="commit to compare with (default: last release, else where the branch began)")
    asked = parser.parse_args(arguments).base
    if asked and _git(root, "rev-parse", "--verify", "--quiet", f"{asked}^{{commit}}") is None:
        parser.error(f"no commit {asked!r} here")
    base = asked or baseline(root)
    if base is None:
        print("crd-diff: no earlier commit to compare with")
        return 0
    known = accepted(accepted_path.read_text())
    found = [change for change in changes(definitions_at(root, base), definitions_here(root)) if change not in known]
    for change in found:
        print(f"crd-diff: {change}")
    if found:
        print(f"crd-diff: what was valid in {base} may be refused or mean something else now.")
        print("Keep the field and add a new one; or, when that was decided, put the line with its reason into")
        print(f"{accepted_path.name} beside this program.")
    return 1 if found else 0


def _git(root: Path, *arguments: str) -> str | None:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=GIT_SECONDS, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
