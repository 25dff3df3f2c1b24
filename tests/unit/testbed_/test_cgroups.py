from pathlib import Path

from rivulet_testbed import cgroups


def test_a_v1_cpuset_inherits_cpus_and_mems_at_every_level(tmp_path: Path) -> None:
    for hierarchy in ("cpuset", "pids"):
        (tmp_path / hierarchy).mkdir()
    for part in ("", "a", "a/b"):
        (tmp_path / "cpuset" / part).mkdir(exist_ok=True)
        (tmp_path / "cpuset" / part / "cpuset.cpus").write_text("" if part else "0-1")
        (tmp_path / "cpuset" / part / "cpuset.mems").write_text("" if part else "0")
    cgroups.make("a/b", tmp_path)
    assert (tmp_path / "cpuset/a/b/cpuset.cpus").read_text() == "0-1"
    assert (tmp_path / "pids/a/b").is_dir()


def test_on_v2_every_level_hands_its_controllers_on(tmp_path: Path) -> None:
    for part in ("", "a"):
        (tmp_path / part).mkdir(exist_ok=True)
        (tmp_path / part / "cgroup.controllers").write_text("cpu memory\n")
    cgroups.make("a/b", tmp_path)
    assert (tmp_path / "a/cgroup.subtree_control").read_text() == "+cpu +memory"
    assert not (tmp_path / "a/b/cgroup.subtree_control").exists()
    assert cgroups.roots(tmp_path) == [tmp_path]


def test_members_are_counted_over_all_hierarchies_and_levels(tmp_path: Path) -> None:
    for path, pids in (("pids/a/daemons", "1 2"), ("memory/a/pods/x", "3"), ("unified/a", "4"), ("pids/other", "9")):
        (tmp_path / path).mkdir(parents=True)
        (tmp_path / path / "cgroup.procs").write_text("\n".join(pids.split()))
    assert cgroups.members("a", tmp_path) == {1, 2, 3, 4}


def test_removal_goes_from_the_leaves_and_tells_what_resists(tmp_path: Path) -> None:
    (tmp_path / "pids/a/b/c").mkdir(parents=True)
    (tmp_path / "memory/a/stuck").mkdir(parents=True)
    (tmp_path / "memory/a/stuck/file").write_text("")
    assert cgroups.remove("a", tmp_path) == [tmp_path / "memory/a/stuck", tmp_path / "memory/a"]
    assert not (tmp_path / "pids/a").exists()
