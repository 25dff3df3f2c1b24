"""The pinned versions (hack/versions.env)."""

from pathlib import Path

from rivulet_testbed.errors import UsageError

PATH = Path(__file__).resolve().parent.parent / "versions.env"


def parse(text: str) -> dict[str, str]:
    """Parse KEY=VALUE lines; blank lines and comments are skipped."""
    versions: dict[str, str] = {}
    for line in text.splitlines():
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        key, separator, value = stripped.partition("=")
        if not separator or not value:
            raise UsageError(f"versions.env: {line!r} is not KEY=VALUE")
        versions[key] = value
    return versions


def load() -> dict[str, str]:
    """Read the file of this checkout."""
    return parse(PATH.read_text())
