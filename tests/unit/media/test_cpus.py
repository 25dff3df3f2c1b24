"""Which CPUs count: what the process may run on, and quotas of its cgroups."""

import os
from pathlib import Path

import pytest

from rivulet_media import cpus

PERIOD = 100_000


@pytest.mark.parametrize(
    ("allowed", "quotas", "count"),
    [
        pytest.param(8, [], 8, id="no quota"),
        pytest.param(8, [(2 * PERIOD, PERIOD)], 2, id="a limit of two"),
        pytest.param(8, [(150_000, PERIOD)], 2, id="a part of one is whole"),
        pytest.param(8, [(10_000, PERIOD)], 1, id="never none"),
        pytest.param(2, [(4 * PERIOD, PERIOD)], 2, id="a limit above what there is"),
        pytest.param(8, [(4 * PERIOD, PERIOD), (PERIOD, PERIOD)], 1, id="the tightest of the levels"),
        pytest.param(8, [(-1, PERIOD), (0, PERIOD), (PERIOD, 0)], 8, id="what is no quota"),
    ],
)
def test_as_many_as_may_be_used(allowed: int, quotas: list[cpus.Quota], count: int) -> None:
    assert cpus.usable(allowed, quotas) == count


@pytest.mark.parametrize(
    ("cgroups", "files", "found"),
    [
        pytest.param("0::/\n", {"cpu.max": "150000 100000\n"}, [(150_000, PERIOD)], id="v2 in a container"),
        pytest.param("0::/\n", {"cpu.max": "max 100000\n"}, [], id="v2 without a quota"),
        pytest.param(
            "0::/pods/one\n",
            {"pods/one/cpu.max": "max 100000\n", "pods/cpu.max": "200000 100000\n"},
            [(200_000, PERIOD)],
            id="v2, the level above",
        ),
        pytest.param("0::/pods/one\n", {"cpu.max": "300000 100000\n"}, [(300_000, PERIOD)], id="v2, only itself seen"),
        pytest.param(
            "5:memory:/x\n4:cpu,cpuacct:/x\n",
            {"cpu,cpuacct/x/cpu.cfs_quota_us": "250000\n", "cpu,cpuacct/x/cpu.cfs_period_us": "100000\n"},
            [(250_000, PERIOD)],
            id="v1",
        ),
        pytest.param(
            "4:cpu,cpuacct:/x\n",
            {"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"},
            [(PERIOD, PERIOD)],
            id="v1 in a container, by its short name",
        ),
        pytest.param(
            "3:cpu:/\n",
            {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
            [],
            id="v1 without a quota",
        ),
        pytest.param("0::/\n", {"cpu.max": "garbage"}, [], id="garbage"),
        pytest.param("", {}, [], id="nothing there"),
    ],
)
def test_quotas_are_read_of_all_levels(
    tmp_path: Path, cgroups: str, files: dict[str, str], found: list[cpus.Quota]
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert set(cpus.quotas(cgroups, tmp_path)) == set(found)


def test_here_there_are_some_but_no_more_than_the_process_may_run_on() -> None:
    assert 1 <= cpus.count() <= len(os.sched_getaffinity(0))
