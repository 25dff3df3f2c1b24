from rivulet_media.director.membership import Membership

NODE = "edge-eu-0/3f9c0a11be42"


def test_a_node_is_lost_after_six_silent_seconds() -> None:
    membership = Membership()
    membership.heard(NODE, 10.0)
    assert membership.lost([NODE], 15.9) == []
    assert membership.lost([NODE], 16.0) == [NODE]


def test_not_while_a_sibling_that_answers_hears_it() -> None:
    membership = Membership()
    membership.heard(NODE, 0.0)
    membership.reported("b", {NODE: 1.0}, 9.0)
    assert membership.lost([NODE], 10.0) == []
    assert membership.lost([NODE], 14.0) == [NODE]


def test_a_sibling_that_does_not_answer_has_no_voice() -> None:
    membership = Membership()
    membership.heard(NODE, 0.0)
    membership.reported("b", {NODE: 0.0}, 9.0)
    membership.silent("b")
    assert membership.lost([NODE], 10.0) == [NODE]


def test_one_that_was_only_mentioned_counts_from_then_and_is_not_reported_as_heard() -> None:
    membership = Membership()
    assert membership.lost([NODE], 100.0) == []
    assert membership.ages(101.0) == {}
    assert membership.lost([NODE], 106.0) == [NODE]


def test_while_this_director_stood_still_nobody_was_silent() -> None:
    membership = Membership()
    membership.heard(NODE, 0.0)
    membership.reported("b", {"edge-eu-1/1": 1.0}, 0.0)
    refs = [NODE, "edge-eu-1/1", "edge-eu-2/2"]
    assert membership.lost(refs, 0.5) == []
    membership.stood_still(9.0, 10.0)
    assert membership.lost(refs, 14.9) == []
    assert membership.lost(refs, 15.6) == refs
    membership.stood_still(99.0, 16.0)
    assert membership.ages(16.0) == {NODE: 0.0}


def test_one_that_has_left_is_forgotten() -> None:
    membership = Membership()
    membership.heard(NODE, 0.0)
    assert membership.ages(2.0) == {NODE: 2.0}
    membership.forget([NODE])
    assert membership.ages(2.0) == {}
