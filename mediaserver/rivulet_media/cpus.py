"""How many CPUs this process may use: what it may run on, and what its cgroups (v1 and v2) let it have of that."""

import math
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

Quota = tuple[int, int]
"""Microseconds of CPU time in each period of so many microseconds."""


def usable(allowed: int, quotas: Iterable[Quota]) -> int:
    """Of `allowed` CPUs as many as the tightest quota pays for, a part of one counted whole; at least 1."""
    paid = (math.ceil(time / period) for time, period in quotas if time > 0 and period > 0)
    return max(1, min([allowed, *paid]))


def quotas(cgroups: str, root: Path) -> Iterator[Quota]:
    """The quotas that apply, of the process's own cgroup and of those above it.

    `cgroups`: as in /proc/self/cgroup; `root`: where the file systems of cgroups are mounted.
    """
    for line in cgroups.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            yield from _found(root, path, _quota_of_v2)
        elif "cpu" in controllers.split(","):
            yield from _found(root / controllers, path, _quota_of_v1)
            yield from _found(root / "cpu", path, _quota_of_v1)


def count() -> int:
    """CPUs that this process may use now."""
    try:
        cgroups = Path("/proc/self/cgroup").read_text(encoding="ascii", errors="replace")
    except OSError:
        cgroups = ""
    return usable(len(os.sched_getaffinity(0)), quotas(cgroups, Path("/sys/fs/cgroup")))


def _found(mount: Path, path: str, read: Callable[[Path], Quota | None]) -> Iterator[Quota]:
    # In a container the path may be the host's, of which only the last part, the mount itself, can be seen.
    own = mount / path.lstrip("/")
    for directory in (own, *own.parents):
        quota = read(directory)
        if quota is not None:
            yield quota
        if directory == mount:
            return


def _quota_of_v2(directory: Path) -> Quota | None:
    return _numbers(_text(directory / "cpu.max"))


def _quota_of_v1(directory: Path) -> Quota | None:
    return _numbers(f"{_text(directory / 'cpu.cfs_quota_us')} {_text(directory / 'cpu.cfs_period_us')}")


def _numbers(text: str) -> Quota | None:
    """None: no quota ("max", or -1), or nothing that can be read."""
    match text.split():
        case [time, period] if f"{time}{period}".isascii() and time.isdigit() and period.isdigit():
            return int(time), int(period)
    return None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
