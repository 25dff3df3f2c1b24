"""CPUs that may be used, by affinity and control group."""

import os
from pathlib import Path

import pytest

from rivulet_media.cpus import usable_cpus

BOUND = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("name", "files", "expected"),
    [
        ("no control group", {}, BOUND),
        ("v2 without a quota", {"cpu.max": "max 100000"}, BOUND),
        ("v2, a CPU and a half", {"cpu.max": "150000 100000"}, 1),
        ("v2, half a CPU", {"cpu.max": "50000 100000"}, 1),
        ("v2, more than there are", {"cpu.max": "99900000 100000"}, BOUND),
        ("v2, not understood", {"cpu.max": "a lot"}, BOUND),
        ("v1 without a quota", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, BOUND),
        ("v1, a CPU", {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 1),
    ],
)
def test_the_quota_rounded_down_but_never_below_one(
    tmp_path: Path, name: str, files: dict[str, str], expected: int
) -> None:
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text + "\n")
    assert usable_cpus(tmp_path) == expected, name


def test_two_cpus_are_taken_when_the_quota_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    (tmp_path / "cpu.max").write_text("290000 100000\n")
    assert usable_cpus(tmp_path) == 2
