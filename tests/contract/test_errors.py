"""§3: the problems that the code knows are those of docs/contract.md, each with its status and its extra members."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from rivulet_media.errors import PROBLEM_BASE, PROBLEM_TYPE, PROBLEMS, NotYetError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.contract.conftest import Contract


def slugs(contract: Contract) -> dict[str, tuple[int, str]]:
    """Slug → (status, what stands in the parenthesis behind it)."""
    (line,) = re.findall(r"Slugs: (.*?)\.\n", contract.section("3"), re.DOTALL)
    found = re.findall(r"`([a-z-]+)` (\d{3})(?: \(([^)]*)\))?", line)
    return {slug: (int(status), extra) for slug, status, extra in found}


def refusals(module: ast.Module) -> Iterator[tuple[str, object, int]]:
    """Every `RefusedError("slug", …)` and `NotYetError("slug", …)` of a module, with its line."""
    for call in ast.walk(module):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.args:
            slug = call.args[0]
            if call.func.id in ("RefusedError", "NotYetError") and isinstance(slug, ast.Constant):
                yield call.func.id, slug.value, call.lineno


def endings(module: ast.Module) -> Iterator[str]:
    """Reasons that a module ends sessions and streams with."""
    for call in ast.walk(module):
        if not isinstance(call, ast.Call):
            continue
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if name in ("end", "close", "close_stream", "EndViewers"):
            yield from (
                each.value for each in call.args if isinstance(each, ast.Constant) and isinstance(each.value, str)
            )


def test_slugs_and_statuses_are_the_contracts(contract: Contract) -> None:
    assert {slug: status for slug, (status, _) in PROBLEMS.items()} == {
        slug: status for slug, (status, _) in slugs(contract).items()
    }
    assert f"`{PROBLEM_TYPE}`" in contract.section("3")
    assert f"`{PROBLEM_BASE}<slug>`" in contract.section("3")


def test_what_may_succeed_later_always_says_when(contract: Contract, root: Path) -> None:
    """Every place in the code that refuses with one of these slugs makes a NotYetError, which carries Retry-After."""
    later = {slug for slug, (_, extra) in slugs(contract).items() if "Retry-After" in extra}
    assert later == {"not-live", "too-many-requests", "full", "settling", "region-unreachable", "no-node"}
    wrong = []
    for path in sorted((root / "mediaserver" / "rivulet_media").rglob("*.py")):
        for name, slug, line in refusals(ast.parse(path.read_text("utf-8"))):
            if (name == "NotYetError") is not (slug in later):
                wrong.append(f"{path.name}:{line} {name}({slug!r})")
    assert not wrong


def test_a_problem_looks_as_the_contract_says() -> None:
    refused = RefusedError("ended", "the session has ended: deleted", reason="deleted")
    assert refused.headers == {"Content-Type": "application/problem+json"}
    assert ast.literal_eval(refused.body().decode()) == {
        "type": "https://rivulet.dev/problems/ended",
        "title": "Ended",
        "status": 410,
        "detail": "the session has ended: deleted",
        "reason": "deleted",
    }
    assert NotYetError("full", "no room", retry_after=5).headers["Retry-After"] == "5"


def test_reasons_of_ended_sessions_are_the_contracts(contract: Contract, root: Path) -> None:
    """Those that the engine gives and those that Python gives."""
    named = set(contract.code(contract.paragraph("3", "Reasons of ended sessions")))
    stub = (root / "mediaserver" / "rivulet_media" / "_engine.pyi").read_text("utf-8")
    (engine,) = re.findall(r"closed +\{session, reason\} +reason: (.*?); never", stub, re.DOTALL)
    assert set(re.findall(r'"([a-z-]+)"', engine)) <= named
    package = root / "mediaserver" / "rivulet_media"
    modules = set(package.glob("*.py")) - {package / "frame_link.py"}  # that one closes links, not sessions
    given = {reason for path in modules for reason in endings(ast.parse(path.read_text("utf-8")))}
    assert {"deleted", "stream-ended", "publisher-lost", "superseded"} <= given <= named
