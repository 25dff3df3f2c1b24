"""Root file systems made by debootstrap, as single-layer images: the base of our images, and coturn."""

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rivulet_testbed import oci_archive, packages
from rivulet_testbed.command import run, run_logged
from rivulet_testbed.progress import Progress

DEBOOTSTRAP_SECONDS = 900.0
TAR_SECONDS = 300.0
# What a container never reads.
DISPENSABLE = (
    *("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/lintian"),
    *("var/cache/apt", "var/lib/apt/lists", "var/log", "var/cache/debconf"),
)
NON_ROOT = "10001:10001"


@dataclass(frozen=True)
class RootFileSystem:
    """What to install and how the image starts."""

    name: str
    packages: tuple[str, ...]
    settings: Mapping[str, object] = field(default_factory=dict)

    def key(self, suite: str) -> str:
        """Return the content hash of the inputs."""
        inputs = (self.name, self.packages, sorted(self.settings.items()), suite, DISPENSABLE)
        return hashlib.sha256(repr(inputs).encode()).hexdigest()[:12]

    def reference(self, suite: str) -> str:
        """Return the image's full name."""
        return f"localhost/rivulet/{self.name}:{self.key(suite)}"


BASE = RootFileSystem("base", ("python3", "ca-certificates"), {"Cmd": ["/usr/bin/python3"]})
COTURN = RootFileSystem(
    "coturn", ("coturn", "ca-certificates"), {"Entrypoint": ["/usr/bin/turnserver"], "User": NON_ROOT}
)


def ensure(cache: Path, versions: Mapping[str, str], wanted: RootFileSystem, progress: Progress) -> Path:
    """Return the image's archive, made now if it is missing."""
    suite = versions["DEBIAN_SUITE"]
    archive = cache / "images" / f"{wanted.name}-{wanted.key(suite)}.tar"
    if archive.exists():
        return archive
    progress(f"{wanted.name}: debootstrap {suite} with {', '.join(wanted.packages)} (once; a minute)")
    archive.parent.mkdir(parents=True, exist_ok=True)
    draft = cache / "draft" / wanted.name
    shutil.rmtree(draft, ignore_errors=True)
    _bootstrap(cache, draft, wanted, suite)
    layer = archive.with_suffix(".layer")
    tar = [
        "tar",
        "--sort=name",
        "--mtime=@0",
        "--numeric-owner",
        "--exclude=./dev/*",
        "-C",
        str(draft),
        "-cf",
        str(layer),
        ".",
    ]
    run(tar, seconds=TAR_SECONDS)
    oci_archive.write(archive, wanted.reference(suite), layer, wanted.settings)
    shutil.rmtree(draft)
    return archive


def _bootstrap(cache: Path, draft: Path, wanted: RootFileSystem, suite: str) -> None:
    debs = cache / "debs"
    debs.mkdir(parents=True, exist_ok=True)
    draft.mkdir(parents=True)
    argv = ["debootstrap", "--variant=minbase", f"--cache-dir={debs}", f"--include={','.join(wanted.packages)}"]
    log = cache / "logs" / f"debootstrap-{wanted.name}.log"
    mirror = packages.debian_mirror(suite, cache / "logs" / "apt.log")
    run_logged(["nice", "-n", "5", *argv, suite, str(draft), mirror], log, seconds=DEBOOTSTRAP_SECONDS)
    for folder in DISPENSABLE:
        shutil.rmtree(draft / folder, ignore_errors=True)
        (draft / folder).mkdir(parents=True)
