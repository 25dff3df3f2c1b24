"""Programs that come from Debian: installed when, and only when, they are missing."""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from rivulet_testbed.command import run_logged
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
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "-o", "DPkg::Lock::Timeout=300", "-q"]
    run_logged([*apt, "update"], log, seconds=APT_SECONDS, env=env)
    run_logged([*apt, "install", "-y", "--no-install-recommends", *wanted], log, seconds=APT_SECONDS, env=env)
