"""The cgroups of a testbed, on hybrid (v1) and unified (v2) hosts.

Everything that the testbed starts lives below ``rivulet-testbed/<prefix>``: what is found there is ours, and nothing
else is.
"""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
# The hierarchy whose membership says "ours" on v1: it limits nothing that we do not want limited.
MEMBERSHIP_V1 = "pids"
# On v1, daemons join only MEMBERSHIP_V1; pods get all of these from kubelet and runc.
V1_HIERARCHIES = ("cpu", "cpuacct", "cpuset", "memory", "pids", "devices", "blkio", "freezer", "hugetlb", "systemd")
SWEEP_SECONDS = 15.0


def is_unified(mount: Path = MOUNT) -> bool:
    """Tell whether the host has cgroup v2 only."""
    return (mount / "cgroup.controllers").exists()


def roots(mount: Path = MOUNT) -> list[Path]:
    """Return the roots of the hierarchies in which kubelet wants its cgroup root."""
    if is_unified(mount):
        return [mount]
    return [mount / name for name in V1_HIERARCHIES if (mount / name).is_dir() and not (mount / name).is_symlink()]


def all_roots(mount: Path = MOUNT) -> list[Path]:
    """Return every hierarchy in which something of ours may be: on hybrid hosts runc uses the unified one too."""
    unified = mount / "unified"
    return [*roots(mount), unified] if unified.is_dir() else roots(mount)


def membership_root(mount: Path = MOUNT) -> Path:
    """Return the hierarchy that holds the daemons."""
    return mount if is_unified(mount) else mount / MEMBERSHIP_V1


def daemon_procs(cgroup: str) -> Path:
    """Return the file into which a daemon of that cgroup writes its pid."""
    return membership_root() / cgroup / "cgroup.procs"


def make(cgroup: str, mount: Path = MOUNT) -> None:
    """Create a cgroup path in every hierarchy, each level fit to hold processes or children."""
    for root in roots(mount):
        path = root
        for part in cgroup.split("/"):
            if is_unified(mount):
                _delegate(path)
            path /= part
            path.mkdir(exist_ok=True)
            if root.name == "cpuset":
                _inherit_cpuset(path)


def _delegate(path: Path) -> None:
    """Let the children of a v2 cgroup use every controller that it has."""
    controllers = (path / "cgroup.controllers").read_text().split()
    (path / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in controllers))


def _inherit_cpuset(path: Path) -> None:
    """Copy cpus and mems from the parent: a v1 cpuset starts empty and then takes no process."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if not (path / name).read_text().strip():
            (path / name).write_text((path.parent / name).read_text())


def subtree(cgroup: str, mount: Path = MOUNT) -> Iterator[Path]:
    """Yield the cgroup's directories in all hierarchies, children before parents."""
    for root in all_roots(mount):
        for directory, _, _ in os.walk(root / cgroup, topdown=False):
            yield Path(directory)


def members(cgroup: str, mount: Path = MOUNT) -> set[int]:
    """Return the pids of all processes below the cgroup, in any hierarchy."""
    pids: set[int] = set()
    for directory in subtree(cgroup, mount):
        try:
            pids.update(int(line) for line in (directory / "cgroup.procs").read_text().split())
        except (FileNotFoundError, OSError):
            continue
    return pids


def kill_members(cgroup: str) -> int:
    """Kill every process below the cgroup, until none is left; return how many there were."""
    killed: set[int] = set()
    deadline = time.monotonic() + SWEEP_SECONDS
    while pids := members(cgroup):
        for pid in pids:
            killed.add(pid)
            _kill(pid)
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    return len(killed)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def remove(cgroup: str, mount: Path = MOUNT) -> list[Path]:
    """Remove the cgroup in all hierarchies; return what could not be removed."""
    stuck: list[Path] = []
    for directory in subtree(cgroup, mount):
        try:
            directory.rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            stuck.append(directory)
    return stuck
