"""What becomes of each slot: kept as it was made, given the new template, drained, deleted, or made.

The invariant: the template of a slot changes only when its going cuts nobody (`drain.emptied`), or at the deadline of
a drain that a user began. A slot that seems empty drains first (`rivulet.dev/drain-for: rollout`), and goes on draining
until its old process has ended; somebody who was in before takes that drain back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rivulet_operator.manifests import slot as slots
from rivulet_operator.manifests.slot import Made, Marks
from rivulet_operator.model import labels
from rivulet_operator.model.instant import to_text
from rivulet_operator.model.kinds import DEPLOYMENT
from rivulet_operator.model.node import TURN
from rivulet_operator.plan import drain, placement
from rivulet_operator.plan.outcome import Release, Removal

if TYPE_CHECKING:
    from rivulet_operator.model.kinds import Json
    from rivulet_operator.model.slot import Slot
    from rivulet_operator.plan.pool import Pool


@dataclass(frozen=True, kw_only=True)
class Drain:
    """What a slot's Deployment is to say of its drain. `reason`: of one that is the operator's."""

    deadline: float
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Step:
    """What to do with one slot. `waits`: for a change, until it is empty; `deadline`: of its drain, Unix seconds."""

    slot: str
    apply: Json | None = None
    release: Release | None = None
    remove: Removal | None = None
    waits: bool = False
    changes: bool = False
    deadline: float | None = None


def steps(pool: Pool, now: float) -> tuple[Step, ...]:
    """One step for each slot that exists, then one for each to be made (fewer, if the ports are exhausted)."""
    leaving = pool.leaving
    kept = [_leave(pool, slot, now) if slot.name in leaving else _keep(pool, slot, now) for slot in pool.living]
    return (*kept, *_new(pool))


def _keep(pool: Pool, slot: Slot, now: float) -> Step:
    wanted = slots.make(pool.node, slot.name, slot.port, pool.choices)
    stale = wanted.revision != slot.revision
    asked = slot.drain is not None and not drain.by_operator(slot)
    through = drain.emptied(slot, pool.facts) or (asked and drain.overdue(slot, now))
    changes = stale and through
    mark = _changing(pool, slot, now) if changes else _staying(pool, slot, now, stale=stale, through=through)
    made = wanted if changes else Made(revision=slot.revision, template=slot.template)
    return Step(
        slot=slot.name,
        apply=_deployment(pool, slot, made, mark),
        release=_release(slot) if slot.drain is not None and mark is None else None,
        waits=stale and not changes,
        changes=changes,
        deadline=None if mark is None else mark.deadline,
    )


def _changing(pool: Pool, slot: Slot, now: float) -> Drain | None:
    """Of a slot that takes the change: until the old process has heard that it ends, it must let nobody in."""
    deadline = drain.deadline(slot, pool.node.drain_seconds, now)
    if deadline is None or slot.role == TURN or not slot.running:
        return None
    return Drain(deadline=deadline, reason=labels.ROLLOUT)


def _staying(pool: Pool, slot: Slot, now: float, *, stale: bool, through: bool) -> Drain | None:
    """Of a slot that keeps its template, for now or for good."""
    if drain.for_rollout(slot):
        kept = not pool.facts.busy(slot.name) and not drain.overdue(slot, now) if stale else _ends(slot)
        deadline = drain.deadline(slot, pool.node.drain_seconds, now)
        return Drain(deadline=deadline, reason=labels.ROLLOUT) if kept and deadline is not None else None
    if stale and drain.may_begin(slot, pool.facts):
        return Drain(deadline=now + drain.ROLLOUT_SECONDS, reason=labels.ROLLOUT)
    deadline = drain.deadline(slot, pool.node.drain_seconds, now)
    if deadline is None or through or drain.by_operator(slot):
        return None
    return Drain(deadline=deadline)


def _ends(slot: Slot) -> bool:
    """It has taken the change, and a process from before it still runs."""
    return slot.running and not slot.rolled


def _leave(pool: Pool, slot: Slot, now: float) -> Step:
    made = Made(revision=slot.revision, template=slot.template)
    shrinks = drain.may_shrink(slot, pool.facts)
    overdue = drain.overdue(slot, now) and not drain.for_rollout(slot)
    if shrinks and (drain.emptied(slot, pool.facts) or overdue):
        return Step(slot=slot.name, remove=Removal(kind=DEPLOYMENT, name=slot.name, uid=slot.uid))
    mark = _leaving(pool, slot, now) if shrinks else _standing(pool, slot, now)
    deadline = None if mark is None else mark.deadline
    return Step(slot=slot.name, apply=_deployment(pool, slot, made, mark), deadline=deadline)


def _leaving(pool: Pool, slot: Slot, now: float) -> Drain | None:
    """Of a slot that goes: a user's drain goes on as it is, one for a change becomes one of the pool's."""
    if drain.unasked(slot, pool.facts):
        return None
    deadline = None if drain.for_rollout(slot) else drain.deadline(slot, pool.node.drain_seconds, now)
    began = slot.drain is None or drain.by_operator(slot)
    return Drain(
        deadline=now + pool.node.drain_seconds if deadline is None else deadline,
        reason=labels.SCALE_DOWN if began else None,
    )


def _standing(pool: Pool, slot: Slot, now: float) -> Drain | None:
    """Its drain as it is, while nobody can say who is on it."""
    deadline = drain.deadline(slot, pool.node.drain_seconds, now)
    if deadline is None:
        return None
    return Drain(deadline=deadline, reason=slot.drain_for if drain.by_operator(slot) else None)


def _deployment(pool: Pool, slot: Slot, made: Made, mark: Drain | None) -> Json | None:
    """The slot's manifest; None if its template is lost: then only a change can be applied, when it is empty."""
    if not made.template:
        return None
    marks = Marks(
        port=slot.port,
        drain=None if mark is None else to_text(mark.deadline),
        drain_for=None if mark is None else mark.reason,
        resource_version=slot.resource_version,
    )
    return slots.deployment(pool.node, slot.name, made, marks)


def _release(slot: Slot) -> Release:
    names = (labels.DRAIN, labels.DRAIN_FOR) if slot.drain_for is not None else (labels.DRAIN,)
    return Release(kind=DEPLOYMENT, name=slot.name, resource_version=slot.resource_version, annotations=names)


def _new(pool: Pool) -> list[Step]:
    borne = {slot.ordinal for slot in pool.slots}
    taken = set(pool.taken)
    made: list[Step] = []
    for _ in range(pool.wanted - len(pool.living)):
        port = _port(pool, taken)
        if port is None:
            break
        ordinal = placement.free_ordinal(borne)
        borne.add(ordinal)
        taken.add(port)
        made.append(_first(pool, f"{pool.node.name}-{ordinal}", port))
    return made


def _port(pool: Pool, taken: set[int]) -> int | None:
    if pool.node.role == TURN:
        return placement.TURN_PORT
    return placement.free_port(pool.region.defaults, taken)


def _first(pool: Pool, name: str, port: int) -> Step:
    made = slots.make(pool.node, name, port, pool.choices)
    return Step(slot=name, apply=slots.deployment(pool.node, name, made, Marks(port=port)), changes=True)
