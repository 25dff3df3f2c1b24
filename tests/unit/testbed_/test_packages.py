import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rivulet_testbed import packages
from rivulet_testbed.packages import CLUSTER, first_mirror, missing_packages
from rivulet_testbed.progress import Progress


def test_only_packages_of_missing_programs_are_installed_each_once() -> None:
    assert missing_packages(CLUSTER, lambda program: program not in {"containerd", "ctr", "cc"}) == [
        *("containerd", "gcc", "libc6-dev"),
    ]
    assert missing_packages(CLUSTER, lambda _: True) == []


def test_the_mirror_is_the_first_that_debootstrap_can_fetch_from() -> None:
    assert first_mirror("cdrom:[Debian 12]/\nhttps://mirror.example/debian/\nfile:/srv/debian/\n") == (
        "https://mirror.example/debian/"
    )
    assert first_mirror("") is None


def test_two_at_once_install_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As do clusters and images on a machine that has neither's packages."""
    apt = tmp_path / "apt-get"
    apt.write_text('#!/bin/sh\nmkdir "${0%/*}/busy" || exit 100\nsleep 0.2\nrmdir "${0%/*}/busy"\n')
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(packages, "APT_LOCK", tmp_path / "lock")

    def install(name: str) -> None:
        packages.ensure({"rivulet-no-such-program": name}, tmp_path / f"{name}.log", Progress())

    with ThreadPoolExecutor() as pool:
        list(pool.map(install, ["one", "two"]))
