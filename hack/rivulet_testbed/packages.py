"""Programs that come from Debian: installed when, and only when, they are missing."""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from rivulet_testbed.allocation import file_lock
from rivulet_testbed.command import run, run_logged
from rivulet_testbed.errors import UsageError
from rivulet_testbed.progress import Progress

CLUSTER = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "sysctl": "procps",
    "openssl": "openssl",
    "nsenter": "util-linux",
    "mount": "mount",
    "cc": "gcc libc6-dev",
}
IMAGES = {"debootstrap": "debootstrap", "buildah": "buildah", "setpriv": "util-linux", "cc": "gcc libc6-dev"}
CNI_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
CNI_PLUGINS = ("ptp", "portmap", "host-local", "loopback", "tuning")
APT_SECONDS = 900.0
APT_LOCK = Path("/run/lock/rivulet-apt")
MIRROR_SCHEMES = ("http://", "https://", "file:")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def missing_packages(needed: Mapping[str, str], has: Callable[[str], bool]) -> list[str]:
    """Return the packages of those programs that are not there."""
    return sorted({name for program, packages in needed.items() if not has(program) for name in packages.split()})


def find_cni_plugins() -> Path | None:
    """Return the folder with all CNI plugins that we use, if there is one."""
    for folder in CNI_FOLDERS:
        if all((folder / plugin).exists() for plugin in CNI_PLUGINS):
            return folder
    return None


def cni_plugins() -> Path:
    """Return the folder with the CNI plugins."""
    found = find_cni_plugins()
    if found is None:
        raise UsageError(f"no CNI plugins in {' or '.join(str(folder) for folder in CNI_FOLDERS)}")
    return found


def _has(program: str) -> bool:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}") is not None


def ensure(needed: Mapping[str, str], log: Path, progress: Progress, *, with_cni: bool = False) -> None:
    """Install what is missing with apt."""
    wanted = missing_packages(needed, _has)
    if with_cni and find_cni_plugins() is None:
        wanted.append("containernetworking-plugins")
    if not wanted:
        return
    progress(f"installing Debian packages: {' '.join(wanted)}")
    _apt(log, "update")
    _apt(log, "install", "-y", "--no-install-recommends", *wanted)


def debian_mirror(suite: str, log: Path) -> str:
    """Return the mirror of that Debian release which this machine's own apt is configured with."""
    mirror = first_mirror(_repositories(suite))
    if mirror is None:  # apt knows a repository's release only after its index has been fetched
        _apt(log, "update")
        mirror = first_mirror(_repositories(suite))
    if mirror is None:
        raise UsageError(f"apt knows no Debian {suite} main by http, https or file: add one to its sources")
    return mirror


def first_mirror(repositories: str) -> str | None:
    """Return the first line that names what debootstrap can fetch from."""
    return next((line for line in repositories.splitlines() if line.startswith(MIRROR_SCHEMES)), None)


def _repositories(suite: str) -> str:
    wanted = ["Created-By: Packages", "Origin: Debian", f"Codename: {suite}", "Component: main"]
    return run(["apt-get", "indextargets", "--format", "$(REPO_URI)", *wanted])


def _apt(log: Path, *arguments: str) -> None:
    """Run apt-get, one at a time on this machine: its own waiting for a lock does not reach the package lists'."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    argv = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "-q", *arguments]
    with file_lock(APT_LOCK, APT_SECONDS):
        run_logged(argv, log, seconds=APT_SECONDS, env=env)
