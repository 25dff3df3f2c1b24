from pathlib import Path

import pytest

from rivulet_testbed.allocation import AllocationFile, Testbed, file_lock, find_or_new, from_json, to_json, with_wishes
from rivulet_testbed.errors import StepTimeoutError, UsageError
from rivulet_testbed.places import MAX_PREFIXES, PLACES_PER_PREFIX, Place, Wish


def test_places_get_the_lowest_free_slots_of_their_prefix() -> None:
    testbed = Testbed("t", 2, (Place("t", "eu", 32, 1), Place("t", "sg", 34, 1)))
    grown = with_wishes(testbed, [Wish("us", 1), Wish("nsk", 0)], {"nsk": 1280})
    assert {place.name: (place.slot, place.mtu) for place in grown.places} == {
        "eu": (32, 1450),
        "us": (33, 1450),
        "sg": (34, 1450),
        "nsk": (35, 1280),
    }


def test_wishing_again_changes_nothing() -> None:
    testbed = Testbed("t", 0, (Place("t", "eu", 0, 2),))
    assert with_wishes(testbed, [Wish("eu", 2)], {}) == testbed


def test_another_number_of_kubelets_needs_a_down_first() -> None:
    with pytest.raises(UsageError, match="down eu first"):
        with_wishes(Testbed("t", 0, (Place("t", "eu", 0, 2),)), [Wish("eu", 1)], {})


def test_a_prefix_has_room_for_a_fixed_number_of_places() -> None:
    wishes = [Wish(f"p{number}", 0) for number in range(PLACES_PER_PREFIX + 1)]
    with pytest.raises(UsageError, match="taken"):
        with_wishes(Testbed("t", 0, ()), wishes, {})


def test_two_prefixes_never_share_a_number() -> None:
    testbeds = {f"p{number}": Testbed(f"p{number}", number, ()) for number in range(MAX_PREFIXES)}
    del testbeds["p3"]
    assert find_or_new(testbeds, "new").index == 3
    with pytest.raises(UsageError):
        find_or_new({**testbeds, "p3": Testbed("p3", 3, ())}, "new")


def test_what_is_written_is_read_back() -> None:
    testbeds = {"t": Testbed("t", 1, (Place("t", "eu", 16, 2), Place("t", "nsk", 17, 0, 1280)))}
    assert from_json(to_json(testbeds)) == testbeds


def test_the_file_forgets_a_prefix_with_its_last_place(tmp_path: Path) -> None:
    file = AllocationFile(tmp_path)
    first = file.grow("a", [Wish("eu", 1), Wish("us", 1)], {})
    second = file.grow("b", [Wish("eu", 1)], {})
    assert {place.subnet for place in first.places}.isdisjoint({place.subnet for place in second.places})
    file.shrink("a", {"eu"})
    assert [place.name for place in (file.read("a") or first).places] == ["us"]
    file.shrink("a", {"us"})
    assert file.read("a") is None
    file.remove_if_empty()
    assert file.read("b") == second


def test_the_last_prefix_takes_the_file_and_its_folder_along(tmp_path: Path) -> None:
    file = AllocationFile(tmp_path / "state")
    file.grow("a", [Wish("eu", 1)], {})
    file.shrink("a", {"eu"})
    (tmp_path / "state/other").touch()
    file.remove_if_empty()
    assert (tmp_path / "state").exists()
    (tmp_path / "state/other").unlink()
    file.remove_if_empty()
    assert not (tmp_path / "state").exists()


def test_a_lock_file_that_its_holder_removes_can_be_taken_anew(tmp_path: Path) -> None:
    with file_lock(tmp_path / "lock", 0):
        (tmp_path / "lock").unlink()
        with file_lock(tmp_path / "lock", 0):
            assert (tmp_path / "lock").exists()


def test_an_unknown_region_is_named_with_the_known_ones() -> None:
    testbed = Testbed("t", 0, (Place("t", "eu", 0, 1), Place("t", "nsk", 1, 0)))
    with pytest.raises(UsageError, match="there are: eu, nsk"):
        testbed.place("mars")
    with pytest.raises(UsageError, match="without a cluster"):
        testbed.region("nsk")


def test_a_lock_that_is_held_is_waited_for_only_so_long(tmp_path: Path) -> None:
    with file_lock(tmp_path / "lock", 1), pytest.raises(StepTimeoutError), file_lock(tmp_path / "lock", 0):
        pass
    with file_lock(tmp_path / "lock", 0):
        pass
