"""docs/contract.md, read by its sections: the tests hold both sides to what stands there."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
ELLIPSIS_HEX = re.compile(r'"((?:[a-z0-9-]+/)?)([0-9a-f]{1,11})…"')


@dataclass(frozen=True)
class Contract:
    """The document. Sections are named by their number, such as "7.1"; "7" holds "7.1" to "7.5" too."""

    text: str

    def section(self, number: str) -> str:
        """The text under a heading, without the heading."""
        heading = re.compile(rf"^(#+) {re.escape(number)}\.? .*$", re.MULTILINE)
        found = heading.search(self.text)
        assert found, f"no section {number}"
        depth = len(found.group(1))
        rest = self.text[found.end() :]
        following = re.search(rf"^#{{1,{depth}}} ", rest, re.MULTILINE)
        return rest[: following.start()] if following else rest

    def paragraph(self, number: str, beginning: str) -> str:
        """The one line of a section that begins so."""
        return next(line for line in self.section(number).splitlines() if line.startswith(beginning))

    def example(self, number: str) -> Any:
        """The section's JSON block."""
        (block,) = re.findall(r"```json\n(.*?)```", self.section(number), re.DOTALL)
        return as_json(block)

    def frames(self, number: str) -> dict[str, list[frozenset[str]]]:
        """Messages of a section by name: their keys, once for each way they are written (`name {"key", …}`)."""
        found: dict[str, list[frozenset[str]]] = {}
        for name, body in _messages(self.section(number)):
            found.setdefault(name, []).append(frozenset(top_keys(body)))
        return found

    def object_in(self, number: str) -> frozenset[str]:
        """Keys of the first object that a section writes in back-quotes."""
        found = re.search(r"`(\{.*\})`", self.section(number))
        assert found, f"no object in section {number}"
        return frozenset(top_keys(found.group(1)))

    def as_json(self, block: str) -> Any:
        """A block of the document as data: hex digits left out are filled in, a `§8.4` is an empty table."""
        return as_json(block)

    def code(self, text: str) -> list[str]:
        """All that stands in back-quotes."""
        return re.findall(r"`([^`]+)`", text)


def as_json(block: str) -> Any:
    filled = ELLIPSIS_HEX.sub(lambda m: f'"{m.group(1)}{m.group(2).ljust(12, "0")}"', block)
    return json.loads(re.sub(r"\{ §[0-9.]+ \}", "{}", filled))


def _messages(text: str) -> Iterator[tuple[str, str]]:
    for found in re.finditer(r"`([a-zA-Z]+) (\{)", text):
        depth, start = 0, found.start(2)
        for end in range(start, len(text)):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            if depth == 0:
                yield found.group(1), text[start : end + 1]
                break


def top_keys(body: str) -> Iterator[str]:
    """Keys of the outermost object, with or without values."""
    depth, key_may_come = 0, False
    for token in re.finditer(r'"[^"]*"|[{}\[\],:]', body):
        text = token.group()
        if text in "{[":
            depth += 1
            key_may_come = depth == 1
        elif text in "}]":
            depth -= 1
        elif text == ",":
            key_may_come = depth == 1
        elif text == ":":
            key_may_come = False
        elif key_may_come and depth == 1:
            key_may_come = False
            yield text.strip('"')


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def contract() -> Contract:
    return Contract((ROOT / "docs" / "contract.md").read_text("utf-8"))
