"""What can go wrong in the testbed.

TestbedError
├── UsageError       the caller asked for something that makes no sense; the sentence says what to do instead
├── CommandError     a program that we ran said no
└── StepTimeoutError a step did not end in its time; carries the tail of the log that knows why
"""

from pathlib import Path


class TestbedError(Exception):
    """Anything that ends a command of the testbed with a sentence instead of a trace."""

    __test__ = False


class UsageError(TestbedError):
    """The command line, a name or the state on disk does not allow what was asked."""


class CommandError(TestbedError):
    """A program ended with a code other than 0."""

    def __init__(self, argv: list[str], code: int, output: str) -> None:
        """Keep the code, and say what ran and the last lines of what it printed."""
        self.code = code
        tail = "\n".join(output.strip().splitlines()[-30:])
        super().__init__(f"{' '.join(argv)}: exit code {code}\n{tail}")


class StepTimeoutError(TestbedError):
    """A step took longer than it may."""

    def __init__(self, what: str, seconds: float, log: Path | None = None) -> None:
        """Name the step and show the end of the log that knows why."""
        message = f"{what}: not done after {seconds:.0f} s"
        if log is not None and log.exists():
            message += f"\nlast lines of {log}:\n{tail_of(log)}"
        super().__init__(message)


def tail_of(log: Path, lines: int = 25) -> str:
    """Return the last lines of a log file."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
