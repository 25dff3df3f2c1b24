"""The two images that a cluster itself needs, each one static program: pause and CoreDNS."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rivulet_testbed import oci_archive
from rivulet_testbed.allocation import file_lock
from rivulet_testbed.command import run

LOCK_SECONDS = 120.0
PAUSE_SOURCE = Path(__file__).resolve().parent / "pause.c"


@dataclass(frozen=True)
class SystemImages:
    """Names and archives."""

    pause: str
    coredns: str
    archives: tuple[Path, ...]


def names(versions: Mapping[str, str]) -> tuple[str, str]:
    """Return the images' names (pause, CoreDNS)."""
    return (
        f"localhost/rivulet-testbed/pause:{versions['PAUSE_VERSION']}",
        f"localhost/rivulet-testbed/coredns:{versions['COREDNS_VERSION']}",
    )


def ensure(cache: Path, versions: Mapping[str, str], binaries: Path) -> SystemImages:
    """Write the archives that are missing."""
    pause, coredns = names(versions)
    folder = cache / "images"
    folder.mkdir(parents=True, exist_ok=True)
    pause_key = hashlib.sha256(PAUSE_SOURCE.read_bytes() + pause.encode()).hexdigest()[:12]
    coredns_key = (binaries / "coredns").resolve().parent.name
    archives = (folder / f"pause-{pause_key}.tar", folder / f"{coredns_key}-{versions['COREDNS_VERSION']}.tar")
    with file_lock(folder / "lock", LOCK_SECONDS):
        if not archives[0].exists():
            oci_archive.write_program(archives[0], pause, _compile_pause(folder))
        if not archives[1].exists():
            oci_archive.write_program(archives[1], coredns, binaries / "coredns")
    return SystemImages(pause, coredns, archives)


def _compile_pause(folder: Path) -> Path:
    program = folder / "pause"
    run(["cc", "-O2", "-static", "-s", "-o", str(program), str(PAUSE_SOURCE)])
    return program
