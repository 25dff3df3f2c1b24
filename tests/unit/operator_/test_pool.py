"""Plans of CDNNodes as tables: what is, and the whole of what is to be done about it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rivulet_operator.manifests import slot as slots
from rivulet_operator.manifests.choices import Images
from rivulet_operator.manifests.settings_map import settings_map
from rivulet_operator.manifests.slot import Made, Marks
from rivulet_operator.model import labels
from rivulet_operator.model.facts import Counts, Facts, NodeFact, StreamFact
from rivulet_operator.model.instant import to_text
from rivulet_operator.model.kinds import CDN_NODE, CDN_REGION, DEPLOYMENT
from rivulet_operator.model.node import Node, PodSpec
from rivulet_operator.model.owner import Identity
from rivulet_operator.model.region import NodeDefaults, Region
from rivulet_operator.model.slot import Pod, Slot
from rivulet_operator.plan import node as node_plan
from rivulet_operator.plan.outcome import Plan, Release, Removal
from rivulet_operator.plan.pool import Pool

NOW = 1_795_000_000.0
IMAGES = Images(media="media:1", coturn="coturn:1")


def _who(kind: Any, name: str) -> Identity:
    return Identity(
        kind=kind, namespace="cdn", name=name, uid=f"uid-{name}", generation=1, created="2026-11-21T09:00:00Z"
    )


REGION = Region(
    identity=_who(CDN_REGION, "eu"), host="eu.example", defaults=NodeDefaults(first_port=7000, last_port=7002)
)
NODE = Node(identity=_who(CDN_NODE, "edge-eu"), role="edge", region="eu", replicas=1)
BLANK = Pool(node=NODE, region=REGION, images=IMAGES, facts=Facts(told=True, fresh=True))
NEW_IMAGE = replace(NODE, pod=PodSpec(image="media:2"))


def _pod(name: str, *, running: bool = True, ready: bool = True) -> Pod:
    return Pod(name=f"{name}-pod", host="h1", ip="10.0.0.1", running=running, ready=ready, ports=(7000,))


def _slot(ordinal: int, *, node: Node = NODE, **changes: Any) -> Slot:
    name, port = f"{node.name}-{ordinal}", 3478 if node.role == "turn" else 7000 + ordinal
    made = slots.make(node, name, port, replace(BLANK, node=node).choices)
    slot = Slot(
        name=name,
        pool=node.name,
        role=node.role,
        uid=f"uid-{name}",
        resource_version="5",
        revision=made.revision,
        template=made.template,
        port=port,
        pods=(_pod(name),),
    )
    return replace(slot, **changes)


def _fact(ordinal: int, viewers: int = 0, **changes: Any) -> NodeFact:
    fact = NodeFact(
        slot=f"edge-eu-{ordinal}",
        incarnation="3f9c0a11be42",
        version=1,
        role="edge",
        region="eu",
        state="up",
        counts=Counts(viewers=viewers),
    )
    return replace(fact, **changes)


def _facts(*nodes: NodeFact, **changes: Any) -> Facts:
    return replace(Facts(told=True, fresh=True, nodes=nodes), **changes)


def _stands(slot: Slot, node: Node = NODE, **marks: Any) -> Any:
    """The slot applied with the template it has."""
    made = Made(revision=slot.revision, template=slot.template)
    return slots.deployment(node, slot.name, made, Marks(port=slot.port, resource_version="5", **marks))


def _changed(slot: Slot, node: Node, **marks: Any) -> Any:
    """The slot applied with the template of now."""
    made = slots.make(node, slot.name, slot.port, replace(BLANK, node=node).choices)
    return slots.deployment(node, slot.name, made, Marks(port=slot.port, resource_version="5", **marks))


def _first(ordinal: int, port: int) -> Any:
    name = f"edge-eu-{ordinal}"
    return slots.deployment(NODE, name, slots.make(NODE, name, port, BLANK.choices), Marks(port=port))


def _removal(ordinal: int) -> Removal:
    return Removal(kind=DEPLOYMENT, name=f"edge-eu-{ordinal}", uid=f"uid-edge-eu-{ordinal}")


def _release(ordinal: int, *names: str) -> Release:
    return Release(kind=DEPLOYMENT, name=f"edge-eu-{ordinal}", resource_version="5", annotations=names)


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


SOON = to_text(NOW + 100)
PAST = to_text(NOW - 1)
ENDS: dict[str, Any] = {"drain": to_text(NOW + 600), "drain_for": "scale-down"}
ASKED: dict[str, Any] = {"drain": to_text(NOW + 3600), "drain_for": "rollout"}
ROLLS: dict[str, Any] = {"drain": SOON, "drain_for": "rollout"}
SHRINKS: dict[str, Any] = {"drain": SOON, "drain_for": "scale-down"}
BOTH = (labels.DRAIN, labels.DRAIN_FOR)
NEW = _slot(0, node=NEW_IMAGE)
LOST = StreamFact(
    stream="s", incarnation="a", version=1, origin="edge-eu-0/3f9c0a11be42", region="eu", state="lost", since=1.0
)

CASES = {
    "absent replicas are written once and one slot is made": Case(
        node=replace(NODE, replicas=None), apply=(_first(0, 7000),), replicas=1
    ),
    "new slots take the lowest names and ports that are free": Case(
        node=replace(NODE, replicas=3),
        slots=(_slot(1),),
        taken=frozenset({7001}),
        facts=_facts(_fact(1)),
        apply=(_stands(_slot(1)), _first(0, 7000), _first(2, 7002)),
    ),
    "a slot being deleted keeps its name and its port": Case(
        slots=(_slot(0, deleting=True),), taken=frozenset({7000}), apply=(_first(1, 7001),)
    ),
    "exhausted ports make fewer slots": Case(
        node=replace(NODE, replicas=2), taken=frozenset({7000, 7002}), apply=(_first(0, 7001),)
    ),
    "a slot with viewers keeps its template": Case(
        node=NEW_IMAGE, slots=(_slot(0),), facts=_facts(_fact(0, 1)), apply=(_stands(_slot(0)),)
    ),
    "a slot that seems empty drains for the change": Case(
        node=NEW_IMAGE,
        slots=(_slot(0),),
        facts=_facts(_fact(0)),
        apply=(_stands(_slot(0), **ASKED),),
        again=3600.0,
    ),
    "asked to drain, it keeps its template until it says that it drains": Case(
        node=NEW_IMAGE,
        slots=(_slot(0, **ROLLS),),
        facts=_facts(_fact(0)),
        apply=(_stands(_slot(0), **ROLLS),),
        again=100.0,
    ),
    "draining without counts from since then, it keeps its template": Case(
        node=NEW_IMAGE,
        slots=(_slot(0, **ROLLS),),
        facts=_facts(_fact(0, state="draining", counts=None)),
        apply=(_stands(_slot(0), **ROLLS),),
        again=100.0,
    ),
    "draining and empty, it takes the change and lets nobody in before its process has ended": Case(
        node=NEW_IMAGE,
        slots=(_slot(0, **ROLLS),),
        facts=_facts(_fact(0, state="draining")),
        apply=(_changed(_slot(0), NEW_IMAGE, **ROLLS),),
        again=100.0,
    ),
    "a process that has not joined yet may run beside the one that drains": Case(
        node=NEW_IMAGE,
        slots=(_slot(0, **ROLLS, pods=(_pod("edge-eu-0"), _pod("edge-eu-0-next", ready=False))),),
        facts=_facts(_fact(0, state="draining")),
        apply=(_stands(_slot(0), **ROLLS),),
        again=100.0,
    ),
    "somebody got in before: the drain for the change is taken back": Case(
        node=NEW_IMAGE,
        slots=(_slot(0, **ROLLS),),
        facts=_facts(_fact(0, 1, state="draining")),
        apply=(_stands(_slot(0)),),
        release=(_release(0, *BOTH),),
    ),
    "taken back is heard before it is asked again": Case(
        node=NEW_IMAGE, slots=(_slot(0),), facts=_facts(_fact(0, state="draining")), apply=(_stands(_slot(0)),)
    ),
    "without directors the drain for the change goes on": Case(
        node=NEW_IMAGE,
        slots=(_slot(0, **ROLLS),),
        facts=_facts(_fact(0, state="draining"), fresh=False),
        apply=(_stands(_slot(0), **ROLLS),),
        again=100.0,
    ),
    "the deadline of a drain for a change changes nothing": Case(
        node=NEW_IMAGE,
        slots=(_slot(0, drain=PAST, drain_for="rollout"),),
        facts=_facts(_fact(0)),
        apply=(_stands(_slot(0)),),
        release=(_release(0, *BOTH),),
    ),
    "a change that was undone takes its drain back": Case(
        slots=(_slot(0, **ROLLS),),
        facts=_facts(_fact(0, state="draining")),
        apply=(_stands(_slot(0)),),
        release=(_release(0, *BOTH),),
    ),
    "the old process still ends": Case(
        node=NEW_IMAGE,
        slots=(replace(NEW, **ROLLS, rolled=False),),
        facts=_facts(_fact(0, state="draining")),
        apply=(_stands(NEW, NEW_IMAGE, **ROLLS),),
        again=100.0,
    ),
    "the old process has ended: the next one is not drained": Case(
        node=NEW_IMAGE,
        slots=(replace(NEW, **ROLLS, rolled=False, pods=()),),
        apply=(_stands(NEW, NEW_IMAGE),),
        release=(_release(0, *BOTH),),
    ),
    "the new process runs: it is not drained": Case(
        node=NEW_IMAGE,
        slots=(replace(NEW, **ROLLS),),
        facts=_facts(_fact(0)),
        apply=(_stands(NEW, NEW_IMAGE),),
        release=(_release(0, *BOTH),),
    ),
    "a user who says now while it drains for a change drains it": Case(
        node=NEW_IMAGE,
        slots=(_slot(0, drain="now", drain_for="rollout"),),
        facts=_facts(_fact(0, 1)),
        apply=(_stands(_slot(0), drain=to_text(NOW + 600)),),
        again=600.0,
    ),
    "a slot that drains for a change and is not wanted any more drains to leave": Case(
        node=replace(NEW_IMAGE, replicas=0),
        slots=(_slot(0, **ROLLS),),
        facts=_facts(_fact(0)),
        apply=(_stands(_slot(0), **ENDS),),
        again=600.0,
    ),
    "a slot that holds a silent publisher's stream keeps its template": Case(
        node=NEW_IMAGE, slots=(_slot(0),), facts=_facts(_fact(0), streams=(LOST,)), apply=(_stands(_slot(0)),)
    ),
    "an older incarnation with viewers keeps the template": Case(
        node=NEW_IMAGE,
        slots=(_slot(0),),
        facts=_facts(_fact(0, since=2.0), _fact(0, 1, incarnation="000000000000", state="draining")),
        apply=(_stands(_slot(0)),),
    ),
    "a node that its directors lost may have viewers": Case(
        node=NEW_IMAGE, slots=(_slot(0),), facts=_facts(_fact(0, state="down")), apply=(_stands(_slot(0)),)
    ),
    "a node that has told no counts may have viewers": Case(
        node=NEW_IMAGE, slots=(_slot(0),), facts=_facts(_fact(0, counts=None)), apply=(_stands(_slot(0)),)
    ),
    "without directors a running slot keeps its template": Case(
        node=NEW_IMAGE, slots=(_slot(0),), facts=_facts(_fact(0), fresh=False), apply=(_stands(_slot(0)),)
    ),
    "without directors a slot that cannot run takes the change": Case(
        node=NEW_IMAGE,
        slots=(_slot(0, pods=(_pod("edge-eu-0", running=False, ready=False),)),),
        facts=Facts(),
        apply=(_changed(_slot(0), NEW_IMAGE),),
    ),
    "a slot that runs, was never ready and is unknown to directors takes the change": Case(
        node=NEW_IMAGE,
        slots=(_slot(0, pods=(_pod("edge-eu-0", ready=False),)),),
        apply=(_changed(_slot(0), NEW_IMAGE),),
    ),
    "shrinking drains the slot that seems empty": Case(
        slots=(_slot(0), _slot(1)),
        facts=_facts(_fact(0), _fact(1, 3)),
        apply=(_stands(_slot(0), **ENDS), _stands(_slot(1))),
        again=600.0,
    ),
    "it stays until it says that it drains": Case(
        slots=(_slot(0, **SHRINKS), _slot(1)),
        facts=_facts(_fact(0), _fact(1, 3)),
        apply=(_stands(_slot(0), **SHRINKS), _stands(_slot(1))),
        again=100.0,
    ),
    "draining and empty, it goes": Case(
        slots=(_slot(0, **SHRINKS), _slot(1)),
        facts=_facts(_fact(0, state="draining"), _fact(1, 3)),
        apply=(_stands(_slot(1)),),
        remove=(_removal(0),),
    ),
    "a slot that drains though nobody asks is not asked to leave before that is over": Case(
        slots=(_slot(0), _slot(1)),
        facts=_facts(_fact(0, state="draining"), _fact(1, 3)),
        apply=(_stands(_slot(0)), _stands(_slot(1))),
    ),
    "somebody got in before: he is seen off": Case(
        slots=(_slot(0, **SHRINKS), _slot(1)),
        facts=_facts(_fact(0, 1, state="draining"), _fact(1, 3)),
        apply=(_stands(_slot(0), **SHRINKS), _stands(_slot(1))),
        again=100.0,
    ),
    "of equal slots the highest goes": Case(
        slots=(_slot(0), _slot(1)),
        facts=_facts(_fact(0), _fact(1)),
        apply=(_stands(_slot(0)), _stands(_slot(1), **ENDS)),
        again=600.0,
    ),
    "a slot that does not run goes at once": Case(
        slots=(_slot(0), _slot(1, pods=())),
        facts=_facts(_fact(0)),
        apply=(_stands(_slot(0)),),
        remove=(_removal(1),),
    ),
    "shrinking drains the emptiest first": Case(
        slots=(_slot(0), _slot(1)),
        facts=_facts(_fact(0, 2), _fact(1, 1)),
        apply=(_stands(_slot(0)), _stands(_slot(1), **ENDS)),
        again=600.0,
    ),
    "somebody got in before the drain: an empty slot goes instead": Case(
        slots=(_slot(0), _slot(1, **SHRINKS)),
        facts=_facts(_fact(0), _fact(1, 1, state="draining")),
        apply=(_stands(_slot(0), **ENDS), _stands(_slot(1))),
        release=(_release(1, *BOTH),),
        again=600.0,
    ),
    "with no empty slot to go instead its drain goes on": Case(
        slots=(_slot(0), _slot(1, **SHRINKS)),
        facts=_facts(_fact(0, 1), _fact(1, 1, state="draining")),
        apply=(_stands(_slot(0)), _stands(_slot(1), **SHRINKS)),
        again=100.0,
    ),
    "a drain that a user began goes on whoever is there": Case(
        slots=(_slot(0), _slot(1, drain=SOON)),
        facts=_facts(_fact(0), _fact(1, 1, state="draining")),
        apply=(_stands(_slot(0)), _stands(_slot(1), drain=SOON)),
        again=100.0,
    ),
    "a slot that leaves goes at its deadline": Case(
        slots=(_slot(0), _slot(1, drain=PAST, drain_for="scale-down")),
        facts=_facts(_fact(0, 2), _fact(1, 9)),
        apply=(_stands(_slot(0)),),
        remove=(_removal(1),),
    ),
    "without directors nothing is scaled down": Case(
        slots=(_slot(0), _slot(1)),
        facts=_facts(_fact(0), _fact(1), fresh=False),
        apply=(_stands(_slot(0)), _stands(_slot(1))),
    ),
    "a pool that grows again takes its own drain back": Case(
        node=replace(NODE, replicas=2),
        slots=(_slot(0), _slot(1, drain=SOON, drain_for="scale-down")),
        facts=_facts(_fact(0, 2), _fact(1, 1)),
        apply=(_stands(_slot(0)), _stands(_slot(1))),
        release=(_release(1, labels.DRAIN, labels.DRAIN_FOR),),
    ),
    "drain=now becomes a deadline": Case(
        slots=(_slot(0, drain="now"),),
        facts=_facts(_fact(0, 1)),
        apply=(_stands(_slot(0), drain=to_text(NOW + 600)),),
        again=600.0,
    ),
    "a slot that a user drains does not take the change before it says that it drains": Case(
        node=NEW_IMAGE,
        slots=(_slot(0, drain=SOON),),
        facts=_facts(_fact(0)),
        apply=(_stands(_slot(0), drain=SOON),),
        again=100.0,
    ),
    "a drained slot that is empty takes the change": Case(
        node=NEW_IMAGE,
        slots=(_slot(0, drain=SOON),),
        facts=_facts(_fact(0, state="draining")),
        apply=(_changed(_slot(0), NEW_IMAGE, **ROLLS),),
        again=100.0,
    ),
    "a drained slot that is empty and has nothing to take serves again": Case(
        slots=(_slot(0, drain=SOON),),
        facts=_facts(_fact(0, state="draining")),
        apply=(_stands(_slot(0)),),
        release=(_release(0, labels.DRAIN),),
    ),
    "a drained slot takes the change at its deadline": Case(
        node=NEW_IMAGE,
        slots=(_slot(0, drain=PAST),),
        facts=_facts(_fact(0, 5, state="draining")),
        apply=(_changed(_slot(0), NEW_IMAGE, drain=PAST, drain_for="rollout"),),
    ),
    "another capacity is no new template": Case(
        node=replace(NODE, viewers=9), slots=(_slot(0),), facts=_facts(_fact(0)), apply=(_stands(_slot(0)),)
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
    older = _slot(0)
    older = replace(older, template={**older.template, "metadata": {"labels": {"of": "an older operator"}}})
    plan = node_plan.plan(replace(BLANK, slots=(older,), facts=_facts(_fact(0))), NOW)
    assert plan.apply[1]["spec"]["template"] == older.template


def test_a_turn_server_takes_a_change_only_after_its_drain() -> None:
    turn = replace(NODE, identity=_who(CDN_NODE, "turn-eu"), role="turn")
    newer = replace(turn, pod=PodSpec(image="coturn:2"))
    running, drained = _slot(0, node=turn), _slot(0, node=turn, drain=PAST)
    kept = node_plan.plan(replace(BLANK, node=newer, slots=(running,)), NOW)
    assert kept.apply[0]["spec"]["template"] == running.template
    changed = node_plan.plan(replace(BLANK, node=newer, slots=(drained,)), NOW)
    assert changed.apply[0]["spec"]["template"]["spec"]["containers"][0]["image"] == "coturn:2"


def _says(plan: Plan, name: str) -> tuple[bool | None, str]:
    return next((found.status, found.reason) for found in plan.status.conditions if found.type == name)


@pytest.mark.parametrize("marks", [{}, ROLLS], ids=["to be asked", "asked"])
def test_a_rollout_is_pending_from_its_first_moment_until_the_slot_has_it(marks: dict[str, Any]) -> None:
    pool = replace(BLANK, node=NEW_IMAGE, slots=(_slot(0, **marks),), facts=_facts(_fact(0)))
    assert _says(node_plan.plan(pool, NOW), "RolloutPending") == (True, "RolloutPending")
    rolling = replace(pool, slots=(replace(NEW, **ROLLS, rolled=False),))
    assert _says(node_plan.plan(rolling, NOW), "RolloutPending") == (False, "UpToDate")
    assert _says(node_plan.plan(rolling, NOW), "Reconciling") == (True, "NodesStarting")


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
        _slot(number, drain=drains[number], drain_for=reason if drains[number] else None)
        for number in range(len(counts))
    )
    facts = _facts(*(_fact(number, counts=count, state=state) for number, count in enumerate(counts)), fresh=fresh)
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
        self.slot = _slot(0)
        self.facts = _facts(_fact(0))
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
        self._under_way = _facts(_fact(0, self._counted, state=state))


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
