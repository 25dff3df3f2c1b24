from rivulet_testbed.packages import CLUSTER, first_mirror, missing_packages


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
