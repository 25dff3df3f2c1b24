from rivulet_media.links_out import LinksOut


def test_a_link_is_its_pullers_until_it_has_ended() -> None:
    links = LinksOut(taken=True)
    links.add("a", "edge-eu-0/77aa00000001")
    assert links.is_of("a", "edge-eu-0/77aa00000001")
    assert not links.is_of("a", "edge-eu-0/77aa00000002")
    assert not links.is_of("b", "edge-eu-0/77aa00000001")
    assert (links.count, links.closed("a"), links.closed("a"), links.count) == (1, True, False, 0)
    assert not links.is_of("a", "edge-eu-0/77aa00000001")
