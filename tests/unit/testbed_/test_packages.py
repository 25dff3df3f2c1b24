from rivulet_testbed.packages import CLUSTER, missing_packages


def test_only_packages_of_missing_programs_are_installed_each_once() -> None:
    assert missing_packages(CLUSTER, lambda program: program not in {"containerd", "ctr", "cc"}) == [
        *("containerd", "gcc", "libc6-dev"),
    ]
    assert missing_packages(CLUSTER, lambda _: True) == []
