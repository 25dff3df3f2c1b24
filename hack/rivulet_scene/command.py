"""Programs of the project run to their end, always with a time limit."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MEDIA = ROOT / ".venv" / "bin" / "rivulet-media"
TESTBED = ROOT / "hack" / "testbed"


class CommandError(Exception):
    """A program ended with a failure; the message holds what it said."""


def output(
    argv: Sequence[str | Path], *, stdin: str | None = None, seconds: float = 60, env: Mapping[str, str] | None = None
) -> str:
    """What the program printed. CommandError when it fails or takes longer than `seconds`."""
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words, input=stdin, capture_output=True, text=True, timeout=seconds, check=False, env=env, cwd=ROOT
        )
    except subprocess.TimeoutExpired as late:
        raise CommandError(f"{' '.join(words)}: no end after {seconds} s") from late
    if done.returncode != 0:
        raise CommandError(f"{' '.join(words)}: exit status {done.returncode}\n{done.stderr or done.stdout}")
    return done.stdout
