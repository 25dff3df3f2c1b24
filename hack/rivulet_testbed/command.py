"""Running programs, always with a time limit, and waiting, always with an end."""

import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rivulet_testbed.errors import CommandError, StepTimeoutError

DEFAULT_SECONDS = 60.0
# A program that we wait for ends with us, also when we are killed: nothing goes on behind the back of the next command.
TIED = ("setpriv", "--pdeathsig", "KILL", "--")


def run(
    argv: list[str], *, stdin: str | None = None, seconds: float = DEFAULT_SECONDS, env: Mapping[str, str] | None = None
) -> str:
    """Run a program and return what it printed; raise CommandError or StepTimeoutError."""
    done = attempt(argv, stdin=stdin, seconds=seconds, env=env)
    if done.returncode != 0:
        raise CommandError(argv, done.returncode, done.stderr or done.stdout)
    return done.stdout


def attempt(
    argv: list[str], *, stdin: str | None = None, seconds: float = DEFAULT_SECONDS, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program whose failure is an answer, not an error."""
    source: dict[str, Any] = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    try:
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [*TIED, *argv], capture_output=True, text=True, timeout=seconds, check=False, env=env, **source
        )
    except subprocess.TimeoutExpired as late:
        raise StepTimeoutError(" ".join(argv), seconds) from late
    return done


def run_logged(
    argv: list[str], log: Path, *, seconds: float, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> None:
    """Run a long program with its output in a log file; a failure shows the log's tail."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        try:
            done = subprocess.run(
                [*TIED, *argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=seconds,
                check=False,
                cwd=cwd,
                env=env,
            )
        except subprocess.TimeoutExpired as late:
            raise StepTimeoutError(" ".join(argv), seconds, log) from late
    if done.returncode != 0:
        raise CommandError(argv, done.returncode, log.read_text(errors="replace"))


def wait_until(
    check: Callable[[], bool], what: str, *, seconds: float, log: Path | None = None, pause: float = 0.2
) -> None:
    """Poll until the check holds; raise StepTimeoutError with the log's tail when the time is over."""
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            raise StepTimeoutError(what, seconds, log)
        time.sleep(pause)
