"""Plans of CDNNodes as tables: what is, and the whole of what is to be done about it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from pool_scene import (
    BLANK,
    NEW_IMAGE,
    NODE,
    NOW,
    SOON,
    a_fact,
    a_pod,
    a_slot,
    becomes,
    begins,
    facts_of,
    release_of,
    removal_of,
    stays,
    who,
)
from rivulet_operator.manifests.settings_map import settings_map
from rivulet_operator.model import labels
from rivulet_operator.model.facts import Facts, StreamFact
from rivulet_operator.model.instant import to_text
from rivulet_operator.model.kinds import CDN_NODE
from rivulet_operator.model.node import Node, PodSpec
from rivulet_operator.plan import node as node_plan
from rivulet_operator.plan.outcome import Plan, Release, Removal

if TYPE_CHECKING:
    from rivulet_operator.model.slot import Slot

KNOWN = Facts(told=True, fresh=True)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A situation and everything but the status of the plan for it."""

    node: Node = NODE
    slots: tuple[Slot, ...] = ()
    taken: frozenset[int] = frozenset()
    facts: Facts = KNOWN
    apply: tuple[Any, ...] = ()
    release: tuple[Release, ...] = ()
    remove: tuple[Removal, ...] = ()
    replicas: int | None = None
    again: float | None = None


PAST = to_text(NOW - 1)
ENDS: dict[str, Any] = {"drain": to_text(NOW + 600), "drain_for": "scale-down"}
ASKED: dict[str, Any] = {"drain": to_text(NOW + 3600), "drain_for": "rollout"}
ROLLS: dict[str, Any] = {"drain": SOON, "drain_for": "rollout"}
SHRINKS: dict[str, Any] = {"drain": SOON, "drain_for": "scale-down"}
BOTH = (labels.DRAIN, labels.DRAIN_FOR)
NEW = a_slot(0, node=NEW_IMAGE)
LOST = StreamFact(
    stream="s", incarnation="a", version=1, origin="edge-eu-0/3f9c0a11be42", region="eu", state="lost", since=1.0
)

CASES = {
    "absent replicas are written once and one slot is made": Case(
        node=replace(NODE, replicas=None), apply=(begins(0, 7000),), replicas=1
    ),
    "new slots take the lowest names and ports that are free": Case(
        node=replace(NODE, replicas=3),
        slots=(a_slot(1),),
        taken=frozenset({7001}),
        facts=facts_of(a_fact(1)),
        apply=(stays(a_slot(1)), begins(0, 7000), begins(2, 7002)),
    ),
    "a slot being deleted keeps its name and its port": Case(
        slots=(a_slot(0, deleting=True),), taken=frozenset({7000}), apply=(begins(1, 7001),)
    ),
    "exhausted ports make fewer slots": Case(
        node=replace(NODE, replicas=2), taken=frozenset({7000, 7002}), apply=(begins(0, 7001),)
    ),
    "a slot with viewers keeps its template": Case(
        node=NEW_IMAGE, slots=(a_slot(0),), facts=facts_of(a_fact(0, 1)), apply=(stays(a_slot(0)),)
    ),
    "a slot that seems empty drains for the change": Case(
        node=NEW_IMAGE,
        slots=(a_slot(0),),
        facts=facts_of(a_fact(0)),
        apply=(stays(a_slot(0), **ASKED),),
        again=3600.0,
    ),
    "asked to drain, it keeps its template until it says that it drains": Case(
        node=NEW_IMAGE,
        slots=(a_slot(0, **ROLLS),),
        facts=facts_of(a_fact(0)),
        apply=(stays(a_slot(0), **ROLLS),),
        again=100.0,
    ),
    "draining without counts from since then, it keeps its template": Case(
        node=NEW_IMAGE,
        slots=(a_slot(0, **ROLLS),),
        facts=facts_of(a_fact(0, state="draining", counts=None)),
        apply=(stays(a_slot(0), **ROLLS),),
        again=100.0,
    ),
    "draining and empty, it takes the change and lets nobody in before its process has ended": Case(
        node=NEW_IMAGE,
        slots=(a_slot(0, **ROLLS),),
        facts=facts_of(a_fact(0, state="draining")),
        apply=(becomes(a_slot(0), NEW_IMAGE, **ROLLS),),
        again=100.0,
    ),
    "a process that has not joined yet may run beside the one that drains": Case(
        node=NEW_IMAGE,
        slots=(a_slot(0, **ROLLS, pods=(a_pod("edge-eu-0"), a_pod("edge-eu-0-next", ready=False))),),
        facts=facts_of(a_fact(0, state="draining")),
        apply=(stays(a_slot(0), **ROLLS),),
        again=100.0,
    ),
    "somebody got in before: the drain for the change is taken back": Case(
        node=NEW_IMAGE,
        slots=(a_slot(0, **ROLLS),),
        facts=facts_of(a_fact(0, 1, state="draining")),
        apply=(stays(a_slot(0)),),
        release=(release_of(0, *BOTH),),
    ),
    "taken back is heard before it is asked again": Case(
        node=NEW_IMAGE, slots=(a_slot(0),), facts=facts_of(a_fact(0, state="draining")), apply=(stays(a_slot(0)),)
    ),
    "without directors the drain for the change goes on": Case(
        node=NEW_IMAGE,
        slots=(a_slot(0, **ROLLS),),
        facts=facts_of(a_fact(0, state="draining"), fresh=False),
        apply=(stays(a_slot(0), **ROLLS),),
        again=100.0,
    ),
    "the deadline of a drain for a change changes nothing": Case(
        node=NEW_IMAGE,
        slots=(a_slot(0, drain=PAST, drain_for="rollout"),),
        facts=facts_of(a_fact(0)),
        apply=(stays(a_slot(0)),),
        release=(release_of(0, *BOTH),),
    ),
    "a change that was undone takes its drain back": Case(
        slots=(a_slot(0, **ROLLS),),
        facts=facts_of(a_fact(0, state="draining")),
        apply=(stays(a_slot(0)),),
        release=(release_of(0, *BOTH),),
    ),
    "the old process still ends": Case(
        node=NEW_IMAGE,
        slots=(replace(NEW, **ROLLS, rolled=False),),
        facts=facts_of(a_fact(0, state="draining")),
        apply=(stays(NEW, NEW_IMAGE, **ROLLS),),
        again=100.0,
    ),
    "the old process has ended: the next one is not drained": Case(
        node=NEW_IMAGE,
        slots=(replace(NEW, **ROLLS, rolled=False, pods=()),),
        apply=(stays(NEW, NEW_IMAGE),),
        release=(release_of(0, *BOTH),),
    ),
    "the new process runs: it is not drained": Case(
        node=NEW_IMAGE,
        slots=(replace(NEW, **ROLLS),),
        facts=facts_of(a_fact(0)),
        apply=(stays(NEW, NEW_IMAGE),),
        release=(release_of(0, *BOTH),),
    ),
    "a user who says now while it drains for a change drains it": Case(
        node=NEW_IMAGE,
        slots=(a_slot(0, drain="now", drain_for="rollout"),),
        facts=facts_of(a_fact(0, 1)),
        apply=(stays(a_slot(0), drain=to_text(NOW + 600)),),
        again=600.0,
    ),
    "a slot that drains for a change and is not wanted any more drains to leave": Case(
        node=replace(NEW_IMAGE, replicas=0),
        slots=(a_slot(0, **ROLLS),),
        facts=facts_of(a_fact(0)),
        apply=(stays(a_slot(0), **ENDS),),
        again=600.0,
    ),
    "a slot that holds a silent publisher's stream keeps its template": Case(
        node=NEW_IMAGE, slots=(a_slot(0),), facts=facts_of(a_fact(0), streams=(LOST,)), apply=(stays(a_slot(0)),)
    ),
    "an older incarnation with viewers keeps the template": Case(
        node=NEW_IMAGE,
        slots=(a_slot(0),),
        facts=facts_of(a_fact(0, since=2.0), a_fact(0, 1, incarnation="000000000000", state="draining")),
        apply=(stays(a_slot(0)),),
    ),
    "a node that its directors lost may have viewers": Case(
        node=NEW_IMAGE, slots=(a_slot(0),), facts=facts_of(a_fact(0, state="down")), apply=(stays(a_slot(0)),)
    ),
    "a node that has told no counts may have viewers": Case(
        node=NEW_IMAGE, slots=(a_slot(0),), facts=facts_of(a_fact(0, counts=None)), apply=(stays(a_slot(0)),)
    ),
    "without directors a running slot keeps its template": Case(
        node=NEW_IMAGE, slots=(a_slot(0),), facts=facts_of(a_fact(0), fresh=False), apply=(stays(a_slot(0)),)
    ),
    "without directors a slot that cannot run takes the change": Case(
        node=NEW_IMAGE,
        slots=(a_slot(0, pods=(a_pod("edge-eu-0", running=False, ready=False),)),),
        facts=Facts(),
        apply=(becomes(a_slot(0), NEW_IMAGE),),
    ),
    "a slot that runs, was never ready and is unknown to directors takes the change": Case(
        node=NEW_IMAGE,
        slots=(a_slot(0, pods=(a_pod("edge-eu-0", ready=False),)),),
        apply=(becomes(a_slot(0), NEW_IMAGE),),
    ),
    "shrinking drains the slot that seems empty": Case(
        slots=(a_slot(0), a_slot(1)),
        facts=facts_of(a_fact(0), a_fact(1, 3)),
        apply=(stays(a_slot(0), **ENDS), stays(a_slot(1))),
        again=600.0,
    ),
    "it stays until it says that it drains": Case(
        slots=(a_slot(0, **SHRINKS), a_slot(1)),
        facts=facts_of(a_fact(0), a_fact(1, 3)),
        apply=(stays(a_slot(0), **SHRINKS), stays(a_slot(1))),
        again=100.0,
    ),
    "draining and empty, it goes": Case(
        slots=(a_slot(0, **SHRINKS), a_slot(1)),
        facts=facts_of(a_fact(0, state="draining"), a_fact(1, 3)),
        apply=(stays(a_slot(1)),),
        remove=(removal_of(0),),
    ),
    "a slot that drains though nobody asks is not asked to leave before that is over": Case(
        slots=(a_slot(0), a_slot(1)),
        facts=facts_of(a_fact(0, state="draining"), a_fact(1, 3)),
        apply=(stays(a_slot(0)), stays(a_slot(1))),
    ),
    "somebody got in before: he is seen off": Case(
        slots=(a_slot(0, **SHRINKS), a_slot(1)),
        facts=facts_of(a_fact(0, 1, state="draining"), a_fact(1, 3)),
        apply=(stays(a_slot(0), **SHRINKS), stays(a_slot(1))),
        again=100.0,
    ),
    "of equal slots the highest goes": Case(
        slots=(a_slot(0), a_slot(1)),
        facts=facts_of(a_fact(0), a_fact(1)),
        apply=(stays(a_slot(0)), stays(a_slot(1), **ENDS)),
        again=600.0,
    ),
    "a slot that does not run goes at once": Case(
        slots=(a_slot(0), a_slot(1, pods=())),
        facts=facts_of(a_fact(0)),
        apply=(stays(a_slot(0)),),
        remove=(removal_of(1),),
    ),
    "shrinking drains the emptiest first": Case(
        slots=(a_slot(0), a_slot(1)),
        facts=facts_of(a_fact(0, 2), a_fact(1, 1)),
        apply=(stays(a_slot(0)), stays(a_slot(1), **ENDS)),
        again=600.0,
    ),
    "somebody got in before the drain: an empty slot goes instead": Case(
        slots=(a_slot(0), a_slot(1, **SHRINKS)),
        facts=facts_of(a_fact(0), a_fact(1, 1, state="draining")),
        apply=(stays(a_slot(0), **ENDS), stays(a_slot(1))),
        release=(release_of(1, *BOTH),),
        again=600.0,
    ),
    "with no empty slot to go instead its drain goes on": Case(
        slots=(a_slot(0), a_slot(1, **SHRINKS)),
        facts=facts_of(a_fact(0, 1), a_fact(1, 1, state="draining")),
        apply=(stays(a_slot(0)), stays(a_slot(1), **SHRINKS)),
        again=100.0,
    ),
    "a drain that a user began goes on whoever is there": Case(
        slots=(a_slot(0), a_slot(1, drain=SOON)),
        facts=facts_of(a_fact(0), a_fact(1, 1, state="draining")),
        apply=(stays(a_slot(0)), stays(a_slot(1), drain=SOON)),
        again=100.0,
    ),
    "a slot that leaves goes at its deadline": Case(
        slots=(a_slot(0), a_slot(1, drain=PAST, drain_for="scale-down")),
        facts=facts_of(a_fact(0, 2), a_fact(1, 9)),
        apply=(stays(a_slot(0)),),
        remove=(removal_of(1),),
    ),
    "without directors nothing is scaled down": Case(
        slots=(a_slot(0), a_slot(1)),
        facts=facts_of(a_fact(0), a_fact(1), fresh=False),
        apply=(stays(a_slot(0)), stays(a_slot(1))),
    ),
    "a pool that grows again takes its own drain back": Case(
        node=replace(NODE, replicas=2),
        slots=(a_slot(0), a_slot(1, drain=SOON, drain_for="scale-down")),
        facts=facts_of(a_fact(0, 2), a_fact(1, 1)),
        apply=(stays(a_slot(0)), stays(a_slot(1))),
        release=(release_of(1, labels.DRAIN, labels.DRAIN_FOR),),
    ),
    "drain=now becomes a deadline": Case(
        slots=(a_slot(0, drain="now"),),
        facts=facts_of(a_fact(0, 1)),
        apply=(stays(a_slot(0), drain=to_text(NOW + 600)),),
        again=600.0,
    ),
    "a slot that a user drains does not take the change before it says that it drains": Case(
        node=NEW_IMAGE,
        slots=(a_slot(0, drain=SOON),),
        facts=facts_of(a_fact(0)),
        apply=(stays(a_slot(0), drain=SOON),),
        again=100.0,
    ),
    "a drained slot that is empty takes the change": Case(
        node=NEW_IMAGE,
        slots=(a_slot(0, drain=SOON),),
        facts=facts_of(a_fact(0, state="draining")),
        apply=(becomes(a_slot(0), NEW_IMAGE, **ROLLS),),
        again=100.0,
    ),
    "a drained slot that is empty and has nothing to take serves again": Case(
        slots=(a_slot(0, drain=SOON),),
        facts=facts_of(a_fact(0, state="draining")),
        apply=(stays(a_slot(0)),),
        release=(release_of(0, labels.DRAIN),),
    ),
    "a drained slot takes the change at its deadline": Case(
        node=NEW_IMAGE,
        slots=(a_slot(0, drain=PAST),),
        facts=facts_of(a_fact(0, 5, state="draining")),
        apply=(becomes(a_slot(0), NEW_IMAGE, drain=PAST, drain_for="rollout"),),
    ),
    "another capacity is no new template": Case(
        node=replace(NODE, viewers=9), slots=(a_slot(0),), facts=facts_of(a_fact(0)), apply=(stays(a_slot(0)),)
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_plan_is_all_of_this_and_nothing_else(case: Case) -> None:
    pool = replace(BLANK, node=case.node, slots=case.slots, taken=case.taken, facts=case.facts)
    plan = node_plan.plan(pool, NOW)
    assert plan == Plan(
        apply=(settings_map(case.node), *case.apply),
        release=case.release,
        remove=case.remove,
        replicas=case.replicas,
        status=plan.status,
        again=case.again,
    )


def test_a_manifest_that_renders_differently_changes_no_slot_of_the_same_revision() -> None:
    older = a_slot(0)
    older = replace(older, template={**older.template, "metadata": {"labels": {"of": "an older operator"}}})
    plan = node_plan.plan(replace(BLANK, slots=(older,), facts=facts_of(a_fact(0))), NOW)
    assert plan.apply[1]["spec"]["template"] == older.template


def test_a_turn_server_takes_a_change_only_after_its_drain() -> None:
    turn = replace(NODE, identity=who(CDN_NODE, "turn-eu"), role="turn")
    newer = replace(turn, pod=PodSpec(image="coturn:2"))
    running, drained = a_slot(0, node=turn), a_slot(0, node=turn, drain=PAST)
    kept = node_plan.plan(replace(BLANK, node=newer, slots=(running,)), NOW)
    assert kept.apply[0]["spec"]["template"] == running.template
    changed = node_plan.plan(replace(BLANK, node=newer, slots=(drained,)), NOW)
    assert changed.apply[0]["spec"]["template"]["spec"]["containers"][0]["image"] == "coturn:2"


def _says(plan: Plan, name: str) -> tuple[bool | None, str]:
    return next((found.status, found.reason) for found in plan.status.conditions if found.type == name)


@pytest.mark.parametrize("marks", [{}, ROLLS], ids=["to be asked", "asked"])
def test_a_rollout_is_pending_from_its_first_moment_until_the_slot_has_it(marks: dict[str, Any]) -> None:
    pool = replace(BLANK, node=NEW_IMAGE, slots=(a_slot(0, **marks),), facts=facts_of(a_fact(0)))
    assert _says(node_plan.plan(pool, NOW), "RolloutPending") == (True, "RolloutPending")
    rolling = replace(pool, slots=(replace(NEW, **ROLLS, rolled=False),))
    assert _says(node_plan.plan(rolling, NOW), "RolloutPending") == (False, "UpToDate")
    assert _says(node_plan.plan(rolling, NOW), "Reconciling") == (True, "NodesStarting")
