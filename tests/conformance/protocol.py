"""How a test says which sentence of the protocols it proves, and what comes of them all: the conformance table.

Levels: M must, S should, O may. `whip` is the section of RFC 9725, `whep` that of draft-ietf-wish-whep-03.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

PROTOCOLS = ("whip", "whep")
DOORS = ("director", "other region", "node")


@dataclass(frozen=True)
class Line:
    """One sentence. `doors`: the ways into our own CDN on which it is tried; `silent`: before anything is published."""

    level: str
    sentence: str
    whip: str = ""
    whep: str = ""
    doors: tuple[str, ...] = field(default=DOORS, compare=False)
    silent: bool = field(default=False, compare=False)

    @property
    def protocols(self) -> tuple[str, ...]:
        """Those that say it."""
        return tuple(name for name in PROTOCOLS if getattr(self, name))

    def as_list(self) -> list[str]:
        """What identifies it, as it passes between processes."""
        return [self.level, self.sentence, self.whip, self.whep]


def line(level: str, sentence: str, **sections: Any) -> pytest.MarkDecorator:
    """Mark a test; `sections`: the other fields of Line."""
    return pytest.mark.line(Line(level, sentence, **sections))


def of(item: pytest.Item) -> Line | None:
    """The line that a test proves."""
    mark = item.get_closest_marker("line")
    return mark.args[0] if mark else None


def spoken(item: pytest.Item) -> str:
    """The protocol with which a test of a line runs."""
    return str(item.callspec.params["spoken"])  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Result:
    """What came of one test. `outcome`: passed, failed or skipped; `reason`: why it was skipped."""

    protocol: str
    outcome: str
    reason: str = ""


def cell(results: Iterable[Result], section: str) -> str:
    """All results of a line in one protocol: the worst counts."""
    found = list(results)
    if not section:
        return ""
    if any(result.outcome == "failed" for result in found):
        return f"§{section} **FAIL**"
    if any(result.outcome == "passed" for result in found):
        return f"§{section} ok"
    reasons = sorted({result.reason for result in found})
    return f"§{section} - {'; '.join(reasons) or 'not tried'}"


def table(results: Mapping[Line, Iterable[Result]]) -> list[str]:
    """The table in Markdown."""
    rows = ["| | sentence | WHIP, RFC 9725 | WHEP, draft-03 |", "|---|---|---|---|"]
    for each, all_of_it in results.items():
        found = list(all_of_it)
        cells = [cell([r for r in found if r.protocol == name], getattr(each, name)) for name in PROTOCOLS]
        rows.append(f"| {each.level} | {each.sentence} | {' | '.join(cells)} |")
    return rows


def summary(results: Mapping[Line, Iterable[Result]]) -> str:
    """How many cells of each level are as they should be."""
    parts = []
    for level in "MSO":
        outcomes = [
            "FAIL" if "FAIL" in text else "ok" if text.endswith(" ok") else "-"
            for each, found in results.items()
            if each.level == level
            for text in (cell([r for r in found if r.protocol == n], getattr(each, n)) for n in each.protocols)
        ]
        parts.append(f"{level}: {outcomes.count('ok')} ok, {outcomes.count('FAIL')} failed, {outcomes.count('-')} -")
    return "; ".join(parts)


class Report:
    """Gathers the results of a run, on the controller where there are workers, and prints the table."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._found: list[tuple[tuple[str, int], Line, Result]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test's own part, or a part beside it that failed."""
        for name, value in report.user_properties:
            if name == "line" and (report.when == "call" or not report.passed):
                level, sentence, whip, whep, *outcome = (str(word) for word in cast("list[str]", value))
                place = (report.location[0], report.location[1] or 0)
                self._found.append((place, Line(level, sentence, whip, whep), Result(*outcome)))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The table, in the order of the files."""
        results: dict[Line, list[Result]] = {}
        for _, each, result in sorted(self._found, key=lambda found: found[0]):
            results.setdefault(each, []).append(result)
        if not results:
            return
        rows = table(results)
        terminalreporter.section("conformance")
        for row in [*rows, summary(results)]:
            terminalreporter.write_line(row)
        if self._file is not None:
            self._file.write_text("\n".join([*HEAD, summary(results) + ".", "", *rows, ""]), encoding="utf-8")


HEAD = (
    "# Conformance: WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep-03)",
    "",
    "Written by `pytest tests/conformance --table docs/conformance.md`, which runs on a CDN of bare processes: most",
    "sentences through a director, through another region's director and at the node itself. The same suite asks any",
    "server: `pytest tests/conformance --whip URL --whep URL [--token T]`. M must, S should, O may; - says why",
    "there is nothing to see.",
    "",
)
