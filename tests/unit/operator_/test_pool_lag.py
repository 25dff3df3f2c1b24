"""Plans of CDNNodes while what is known of them is behind: nobody is cut, whatever the order of events."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st

from pool_scene import BLANK, NEW_IMAGE, NOW, SOON, a_fact, a_slot, facts_of
from rivulet_operator.model import labels
from rivulet_operator.model.facts import Counts
from rivulet_operator.plan import node as node_plan

COUNTS = st.builds(
    Counts, viewers=st.integers(0, 2), publishers=st.integers(0, 1), relays_out=st.integers(0, 1), streams=st.just({})
)


@given(
    counts=st.lists(COUNTS, min_size=1, max_size=3),
    wanted=st.integers(0, 3),
    fresh=st.booleans(),
    drains=st.lists(st.sampled_from([None, "now", SOON]), min_size=3, max_size=3),
    reason=st.sampled_from([None, "scale-down", "rollout"]),
    state=st.sampled_from(["up", "full", "draining"]),
)
def test_no_plan_changes_or_deletes_a_slot_that_does_not_drain_or_has_sessions_before_its_deadline(
    counts: list[Counts], wanted: int, *, fresh: bool, drains: list[str | None], reason: str | None, state: str
) -> None:
    standing = tuple(
        a_slot(number, drain=drains[number], drain_for=reason if drains[number] else None)
        for number in range(len(counts))
    )
    facts = facts_of(*(a_fact(number, counts=count, state=state) for number, count in enumerate(counts)), fresh=fresh)
    pool = replace(BLANK, node=replace(NEW_IMAGE, replicas=wanted), slots=standing, facts=facts)
    plan = node_plan.plan(pool, NOW)
    applied = {body["metadata"]["name"]: body for body in plan.apply if body["kind"] == "Deployment"}
    removed = {removal.name for removal in plan.remove}
    for slot, count in zip(standing, counts, strict=True):
        busy = count.viewers or count.publishers or count.relays_out
        if not fresh or busy or state != "draining" or slot.drain is None:
            assert slot.name not in removed
            assert applied[slot.name]["spec"]["template"] == slot.template
    assert len(applied) >= min(wanted, len(standing))


class LaggingWorld:
    """One slot that somebody may enter at any time, and an operator that hears of its last news one step late."""

    def __init__(self, wanted: int) -> None:
        self.node = replace(NEW_IMAGE, replicas=wanted)
        self.slot = a_slot(0)
        self.facts = facts_of(a_fact(0))
        self.viewers = 0
        self.drains = False
        self._counted = 0
        self._under_way = self.facts

    def enters(self) -> None:
        self.viewers += not self.drains

    def leaves(self) -> None:
        self.viewers = max(self.viewers - 1, 0)

    def counts(self) -> None:
        self._counted = self.viewers
        self._says()

    def obeys(self) -> None:
        """The node hears what the annotation says; before it says draining it counts."""
        wanted = self.slot.drain is not None
        if wanted and not self.drains:
            self._counted = self.viewers
        self.drains = wanted
        self._says()

    def hears(self) -> None:
        self.facts = self._under_way

    def undone(self) -> None:
        """A user takes the annotation away."""
        self.slot = replace(self.slot, drain=None, drain_for=None)

    def plans(self) -> bool:
        """Carry a plan out. True: it takes the pod away, which ends this world."""
        pool = replace(BLANK, node=self.node, slots=(self.slot,), facts=self.facts)
        plan = node_plan.plan(pool, NOW)
        bodies = [body for body in plan.apply if body["kind"] == "Deployment"]
        if plan.remove or bodies[0]["spec"]["template"] != self.slot.template:
            return True
        marks = bodies[0]["metadata"]["annotations"]
        self.slot = replace(self.slot, drain=marks.get(labels.DRAIN), drain_for=marks.get(labels.DRAIN_FOR))
        return False

    def _says(self) -> None:
        self.facts = self._under_way
        state = "draining" if self.drains else "up"
        self._under_way = facts_of(a_fact(0, self._counted, state=state))


@given(
    wanted=st.integers(0, 1),
    course=st.lists(st.sampled_from(["enters", "leaves", "counts", "obeys", "hears", "undone", "plans"]), max_size=30),
)
@example(wanted=1, course=["plans", "obeys", "hears", "plans"])
@example(wanted=1, course=["enters", "plans"])
@example(wanted=0, course=["enters", "plans", "plans"])
@example(wanted=0, course=["plans", "obeys", "undone", "obeys", "plans", "plans"])
@example(wanted=1, course=["plans", "enters", "obeys", "hears", "plans"])
def test_whoever_comes_while_the_facts_lag_is_not_cut(wanted: int, course: list[str]) -> None:
    world = LaggingWorld(wanted)
    for event in course:
        if getattr(world, event)():
            assert (world.viewers, world.drains) == (0, True)
            return


def test_the_handshake_ends_with_the_change() -> None:
    world = LaggingWorld(1)
    assert [bool(getattr(world, event)()) for event in ("plans", "obeys", "hears", "plans")] == [False] * 3 + [True]
