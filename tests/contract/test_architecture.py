"""docs/architecture.md leads to files that exist."""

import re
from pathlib import Path

BASES = {
    "media/": "mediaserver/rivulet_media/",
    "core/": "mediaserver/engine/core/src/",
    "operator/": "operator/rivulet_operator/",
    "engine/": "mediaserver/engine/",
    "": "",
}
# Where a table or a list goes on with a file beside the one just named.
BESIDE = (
    "mediaserver/rivulet_media",
    "mediaserver/rivulet_media/director",
    "mediaserver/engine/core/src",
    "mediaserver/engine/py/src",
    "operator/rivulet_operator",
    "operator/rivulet_operator/model",
    "operator/rivulet_operator/plan",
    "tests/integration",
)


def exists(root: Path, name: str) -> bool:
    written_out = [root / base / name.removeprefix(short) for short, base in BASES.items() if name.startswith(short)]
    return any(path.exists() for path in (*written_out, *(root / folder / name for folder in BESIDE)))


def test_every_file_and_folder_that_is_named_exists(root: Path) -> None:
    text = (root / "docs" / "architecture.md").read_text("utf-8")
    named = {
        name for name in re.findall(r"`([A-Za-z_][\w./-]*)`", text) if "/" in name or name.endswith((".py", ".rs"))
    }
    assert len(named) > 60
    assert [name for name in sorted(named) if not exists(root, name)] == []
    linked = re.findall(r"\]\(([^)]+)\)", text)
    assert [link for link in linked if not (root / "docs" / link).exists()] == []
    assert len(text.splitlines()) <= 150
