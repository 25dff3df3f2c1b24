"""What becomes of each slot: kept as it was made, given the new template, drained, deleted, or made.

The invariant: the template of a slot changes only when its going cuts nobody (`drain.empty`), or its drain is through.
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
    through = drain.through(slot, pool.facts, now)
    taken_back = drain.by_operator(slot)
    free = through or drain.empty(slot, pool.facts)
    wanted = slots.make(pool.node, slot.name, slot.port, pool.choices)
    stale = wanted.revision != slot.revision
    changes = stale and free
    deadline = None if through or taken_back else drain.deadline(slot, pool.node.drain_seconds, now)
    made = wanted if changes else Made(revision=slot.revision, template=slot.template)
    return Step(
        slot=slot.name,
        apply=_deployment(pool, slot, made, deadline),
        release=_release(slot) if slot.drain is not None and (through or taken_back) else None,
        waits=stale and not free,
        changes=changes,
        deadline=deadline,
    )


def _leave(pool: Pool, slot: Slot, now: float) -> Step:
    made = Made(revision=slot.revision, template=slot.template)
    if not drain.may_shrink(slot, pool.facts):
        deadline = drain.deadline(slot, pool.node.drain_seconds, now)
        return Step(slot=slot.name, apply=_deployment(pool, slot, made, deadline), deadline=deadline)
    if drain.empty(slot, pool.facts) or drain.through(slot, pool.facts, now):
        return Step(slot=slot.name, remove=Removal(kind=DEPLOYMENT, name=slot.name, uid=slot.uid))
    began = slot.drain is None or drain.by_operator(slot)
    deadline = drain.deadline(slot, pool.node.drain_seconds, now)
    deadline = now + pool.node.drain_seconds if deadline is None else deadline
    marks = labels.SCALE_DOWN if began else None
    return Step(slot=slot.name, apply=_deployment(pool, slot, made, deadline, marks), deadline=deadline)


def _deployment(
    pool: Pool, slot: Slot, made: Made, deadline: float | None, drain_for: str | None = None
) -> Json | None:
    """The slot's manifest; None if its template is lost: then only a change can be applied, when it is empty."""
    if not made.template:
        return None
    marks = Marks(
        port=slot.port,
        drain=None if deadline is None else to_text(deadline),
        drain_for=drain_for,
        resource_version=slot.resource_version,
    )
    return slots.deployment(pool.node, slot.name, made, marks)


def _release(slot: Slot) -> Release:
    names = (labels.DRAIN, labels.DRAIN_FOR) if drain.by_operator(slot) else (labels.DRAIN,)
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
