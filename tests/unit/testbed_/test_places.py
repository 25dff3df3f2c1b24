import pytest

from rivulet_testbed.errors import UsageError
from rivulet_testbed.places import INTERFACE_NAME_LIMIT, Node, Place, Wish, check_place, check_prefix, parse_wish


@pytest.mark.parametrize(
    ("text", "wish"),
    [("eu", Wish("eu", 1)), ("eu:2", Wish("eu", 2)), ("place:nsk", Wish("nsk", 0))],
    ids=["one kubelet", "two kubelets", "a place without a cluster"],
)
def test_a_wish_says_how_many_kubelets(text: str, wish: Wish) -> None:
    assert parse_wish(text) == wish


@pytest.mark.parametrize("text", ["eu:x", "eu:0", "eu:10"])
def test_a_wish_for_an_odd_number_of_kubelets_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_wish(text)


def test_every_node_of_a_region_has_its_own_namespace_address_and_pod_range() -> None:
    assert Place("rv", "eu", 17, 2).nodes == (
        Node("eu-1", "rv-eu", "172.30.17.2", "rv-eu.1", "10.244.1.0/24"),
        Node("eu-2", "rv-eu-2", "172.30.17.3", "rv-eu.2", "10.244.2.0/24"),
    )


def test_a_bare_place_is_one_machine_without_a_cluster() -> None:
    place = Place("rv", "nsk", 3, 0)
    assert (place.is_region, len(place.nodes), place.gateway) == (False, 1, "172.30.3.1")


@pytest.mark.parametrize("name", ["", "EU", "1a", "e-u", "e.u", "wan", "run"])
def test_names_that_cannot_be_places_are_refused(name: str) -> None:
    with pytest.raises(UsageError):
        check_place("rv", name)


@pytest.mark.parametrize("prefix", ["", "r-v", "9", "../x"])
def test_prefixes_that_cannot_be_interface_names_or_folders_are_refused(prefix: str) -> None:
    with pytest.raises(UsageError):
        check_prefix(prefix)


def test_the_longest_name_that_is_let_through_fits_an_interface_name() -> None:
    check_place("abcdefg", "hijkl")
    assert len(Place("abcdefg", "hijkl", 0, 9).nodes[8].veth) == INTERFACE_NAME_LIMIT
    with pytest.raises(UsageError, match="1 characters too long"):
        check_place("abcdefg", "hijklm")
