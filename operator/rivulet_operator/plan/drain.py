"""Draining a slot: until when it may take, whether it is through, and which slots leave when a pool shrinks.

Counts are up to 2 s old: whoever came since is not in them. So nothing goes because of counts alone: the slot drains
first, and a node that says that it drains has counted after it let the last one in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rivulet_operator.model import labels
from rivulet_operator.model.instant import from_text
from rivulet_operator.model.node import TURN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rivulet_operator.model.facts import Facts
    from rivulet_operator.model.slot import Slot

NOBODY_ASKED = -1  # of a slot that does not run: fewer than none
ROLLOUT_SECONDS = 3600.0  # far off, as a node cuts at its deadline: should nobody take it back, whoever was in stays


def deadline(slot: Slot, drain_seconds: int, now: float) -> float | None:
    """When its drain ends, Unix seconds; None: it is not drained. Anything but a time (`now`, `true`) starts one."""
    if slot.drain is None:
        return None
    said = from_text(slot.drain)
    return now + drain_seconds if said is None else said


def vacant(slot: Slot, facts: Facts) -> bool:
    """Nobody can be on it, drained or not.

    A process that does not run holds nobody. One that runs, is not ready and is unknown to directors that answer has
    been sent nobody. Of a TURN server directors say nothing.
    """
    if not slot.running:
        return True
    return facts.fresh and slot.role != TURN and not slot.ready and not facts.incarnations(slot.name)


def emptied(slot: Slot, facts: Facts) -> bool:
    """Nobody is cut if its pod goes: it is vacant, or it drains, each process of it says so, and nobody is left."""
    if vacant(slot, facts):
        return True
    if slot.drain is None or slot.role == TURN:
        return False
    said = facts.draining(slot.name)
    return all(said) and len(said) >= slot.processes and facts.empty(slot.name)


def overdue(slot: Slot, now: float) -> bool:
    """The deadline of its drain has passed."""
    said = None if slot.drain is None else from_text(slot.drain)
    return said is not None and now >= said


def may_begin(slot: Slot, facts: Facts) -> bool:
    """It seems empty, so it may drain for a change."""
    return slot.role != TURN and slot.drain is None and facts.empty(slot.name) and not unasked(slot, facts)


def unasked(slot: Slot, facts: Facts) -> bool:
    """It drains though nobody asks it to: an order that was taken back, or its end. Ask anew when that is over."""
    return slot.drain is None and any(facts.draining(slot.name))


def leaving(slots: Sequence[Slot], surplus: int, facts: Facts) -> tuple[str, ...]:
    """Names of the slots that go: those already draining, then the emptiest, then the highest ordinal.

    When a drain of the operator's finds somebody who got in before it, an empty slot goes instead.
    """
    order = sorted(slots, key=lambda slot: (_turn(slot, facts), _load(slot, facts), -slot.ordinal))
    return tuple(slot.name for slot in order[: max(surplus, 0)])


def _turn(slot: Slot, facts: Facts) -> int:
    if slot.drain is not None:
        return 2 if by_operator(slot) and facts.busy(slot.name) else 0
    return 1 if not slot.running or facts.empty(slot.name) else 3


def _load(slot: Slot, facts: Facts) -> float:
    if not slot.running:
        return NOBODY_ASKED
    if slot.role == TURN:
        return 0
    sessions = facts.sessions(slot.name)
    return float("inf") if sessions is None else sessions


def may_shrink(slot: Slot, facts: Facts) -> bool:
    """Missing facts take nothing away: without directors only a slot that does not run, or a TURN server, may go."""
    return facts.fresh or slot.role == TURN or not slot.running


def by_operator(slot: Slot) -> bool:
    """The operator began this drain, to shrink the pool or for a change."""
    return slot.drain_for == labels.SCALE_DOWN or for_rollout(slot)


def for_rollout(slot: Slot) -> bool:
    """The operator began this drain, or goes on with it, for a change. Over it a user may still say `now`."""
    return slot.drain_for == labels.ROLLOUT and slot.drain is not None and from_text(slot.drain) is not None
