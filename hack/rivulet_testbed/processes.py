"""The testbed's own processes: started detached, found again by pid and start time, stopped by pid.

A process writes its own record before it becomes the program, so that there is no moment in which it runs unrecorded:
a start that is killed half-way leaves nothing that ``down`` cannot find.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rivulet_testbed.command import wait_until

RECORD_SECONDS = 10.0
TERM_SECONDS = 10.0
KILL_SECONDS = 5.0
# $1: the cgroup.procs file to join (or nothing), $2: the record to write, the rest: the program.
LAUNCH = """
cgroup=$1; record=$2; shift 2
if [ -n "$cgroup" ]; then echo $$ > "$cgroup" || exit 1; fi
start_time() { set -- $(cat /proc/$$/stat); echo "${22}"; }
echo "$$ $(start_time)" > "$record.tmp" && mv "$record.tmp" "$record" || exit 1
exec "$@"
"""


@dataclass(frozen=True)
class Program:
    """A program to keep running: what, where and under which record."""

    name: str
    argv: tuple[str, ...]
    record: Path
    log: Path
    netns: str | None = None
    cgroup_procs: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """A process's identity: a pid alone may be somebody else's by now."""

    pid: int
    start_ticks: int


def parse_record(text: str) -> Record | None:
    """Parse ``PID START_TICKS``; None if it is not that."""
    words = text.split()
    if len(words) != 2 or not all(word.isdigit() for word in words):  # noqa: PLR2004 - pid and start time
        return None
    return Record(int(words[0]), int(words[1]))


def parse_stat(text: str) -> tuple[str, int]:
    """Return (state, start ticks) of /proc/PID/stat; the command name in it may hold spaces and brackets."""
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[19])


def read_record(path: Path) -> Record | None:
    """Return the record in a file, None without one."""
    try:
        return parse_record(path.read_text())
    except FileNotFoundError:
        return None


def is_alive(record: Record | None) -> bool:
    """Tell whether that very process runs (a zombie does not)."""
    if record is None:
        return False
    try:
        state, start = parse_stat(Path(f"/proc/{record.pid}/stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX" and start == record.start_ticks


def launch_argv(program: Program) -> list[str]:
    """Return the command that joins the namespace and the cgroup, leaves the record and becomes the program. Pure."""
    enter = ["nsenter", f"--net=/run/netns/{program.netns}"] if program.netns else []
    cgroup = str(program.cgroup_procs) if program.cgroup_procs else ""
    return [*enter, "sh", "-c", LAUNCH, "launch", cgroup, str(program.record), *program.argv]


def start(program: Program) -> bool:
    """Start the program unless it runs; return whether it was started now."""
    if is_alive(read_record(program.record)):
        return False
    program.record.parent.mkdir(parents=True, exist_ok=True)
    program.log.parent.mkdir(parents=True, exist_ok=True)
    program.record.unlink(missing_ok=True)
    with program.log.open("ab") as log:
        child = subprocess.Popen(
            launch_argv(program),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=program.log.parent,
            env={**os.environ, **program.env},
        )
    wait_until(
        lambda: program.record.exists() or child.poll() is not None,
        f"start of {program.name}",
        seconds=RECORD_SECONDS,
        log=program.log,
        pause=0.02,
    )
    return True


def stop(record_path: Path, *, kill: bool = False) -> bool:
    """Stop the recorded process (SIGTERM, then SIGKILL; at once with ``kill``); return whether it ran."""
    record = read_record(record_path)
    if record is None or not is_alive(record):
        record_path.unlink(missing_ok=True)
        return False
    if not kill:
        _signal(record, signal.SIGTERM)
        _wait_gone(record, TERM_SECONDS)
    if is_alive(record):
        _signal(record, signal.SIGKILL)
        wait_until(lambda: not is_alive(record), f"end of pid {record.pid}", seconds=KILL_SECONDS, pause=0.02)
    record_path.unlink(missing_ok=True)
    return True


def _wait_gone(record: Record, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while is_alive(record) and time.monotonic() < deadline:
        time.sleep(0.05)


def _signal(record: Record, number: signal.Signals) -> None:
    """Signal the process through a pidfd: checked after opening, it cannot hit a successor of the pid."""
    try:
        descriptor = os.pidfd_open(record.pid)
    except ProcessLookupError:
        return
    try:
        if is_alive(record):
            signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return
    finally:
        os.close(descriptor)
