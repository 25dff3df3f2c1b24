"""Draining a slot: until when it may take, whether it is through, and which slots leave when a pool shrinks."""

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


def deadline(slot: Slot, drain_seconds: int, now: float) -> float | None:
    """When its drain ends, Unix seconds; None: it is not drained. Anything but a time (`now`, `true`) starts one."""
    if slot.drain is None:
        return None
    said = from_text(slot.drain)
    return now + drain_seconds if said is None else said


def empty(slot: Slot, facts: Facts) -> bool:
    """Nobody is cut if its pod goes.

    A process that does not run holds nobody. One that runs, is not ready and is unknown to directors that answer has
    been sent nobody. Else only what the directors say counts, and of a TURN server they say nothing.
    """
    if not slot.running:
        return True
    if slot.role != TURN and facts.empty(slot.name):
        return True
    return facts.fresh and slot.role != TURN and not slot.ready and not facts.incarnations(slot.name)


def through(slot: Slot, facts: Facts, now: float) -> bool:
    """Its drain has come to its end: it is empty, or the deadline has passed."""
    if slot.drain is None:
        return False
    said = from_text(slot.drain)
    return empty(slot, facts) or (said is not None and now >= said)


def leaving(slots: Sequence[Slot], surplus: int, facts: Facts) -> tuple[str, ...]:
    """Names of the slots that go: those already draining, then the emptiest, then the highest ordinal."""
    order = sorted(slots, key=lambda slot: (slot.drain is None, _load(slot, facts), -slot.ordinal))
    return tuple(slot.name for slot in order[: max(surplus, 0)])


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
    """The operator began this drain, to shrink the pool."""
    return slot.drain_for == labels.SCALE_DOWN
