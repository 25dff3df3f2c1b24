"""How many CPUs this process may use: what it is bound to, and what its control group leaves it."""

import os
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")  # the process's own, as a container sees it


def usable_cpus(root: Path = _CGROUPS) -> int:
    """Whole CPUs, at least 1: the affinity's, or the quota's rounded down where that is less."""
    bound = len(os.sched_getaffinity(0))
    quota = _quota_v2(root / "cpu.max") or _quota_v1(root / "cpu")
    return max(1, min(bound, int(quota)) if quota else bound)


def _quota_v2(path: Path) -> float | None:
    """`cpu.max` of cgroup v2: "QUOTA PERIOD" in microseconds, or "max PERIOD"."""
    quota, _, period = _read(path).partition(" ")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else None


def _quota_v1(folder: Path) -> float | None:
    """`cpu.cfs_quota_us` and `cpu.cfs_period_us` of cgroup v1; a quota of -1 is none."""
    quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else None


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
