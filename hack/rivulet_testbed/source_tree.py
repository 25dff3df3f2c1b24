"""Which files of the checkout a build takes in, and their content hash."""

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path

NOT_SOURCE = frozenset({"__pycache__", "target", "build", "dist", ".venv", ".git"})
NOT_SOURCE_SUFFIXES = frozenset({".so", ".pyc", ".tmp"})
KEY_LENGTH = 12


def source_files(checkout: Path, parts: Iterable[str]) -> list[Path]:
    """Return the files of some parts of the checkout, relative to it, in order, without what builds leave behind."""
    found: list[Path] = []
    for part in parts:
        path = checkout / part
        found += [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sorted(path.relative_to(checkout) for path in found if is_source(path.relative_to(checkout)))


def is_source(path: Path) -> bool:
    """Tell sources from what tools made of them."""
    made = any(part in NOT_SOURCE or part.endswith(".egg-info") for part in path.parts)
    return not made and path.suffix not in NOT_SOURCE_SUFFIXES


def content_key(checkout: Path, files: Iterable[Path], *more: str) -> str:
    """Return the hash of files (names and bytes) and of further inputs."""
    digest = hashlib.sha256(repr(more).encode())
    for file in files:
        content = (checkout / file).read_bytes()
        digest.update(f"{file}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:KEY_LENGTH]


def mirror(checkout: Path, files: list[Path], target: Path) -> None:
    """Make the target hold exactly these files, with their times, so that incremental builds see what has changed."""
    wanted = set(files)
    for old in [path for path in target.rglob("*") if path.is_file()]:
        if old.relative_to(target) not in wanted:
            old.unlink()
    for file in files:
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(checkout / file, target / file)
