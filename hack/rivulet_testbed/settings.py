"""Where the testbed keeps things, from the environment, read once by the command line."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

STATE_ROOT = Path("/var/lib/rivulet-testbed")
DEFAULT_PREFIX = "rv"


@dataclass(frozen=True)
class Settings:
    """The prefix that sets this testbed apart from others, and the folders."""

    prefix: str
    cache: Path
    state_root: Path = STATE_ROOT


def from_environment(environ: Mapping[str, str], prefix: str | None) -> Settings:
    """Combine the --prefix option with RIVULET_PREFIX and RIVULET_CACHE."""
    home = Path(environ.get("HOME", "/root"))
    return Settings(
        prefix=prefix or environ.get("RIVULET_PREFIX") or DEFAULT_PREFIX,
        cache=Path(environ.get("RIVULET_CACHE") or home / ".cache" / "rivulet"),
    )
