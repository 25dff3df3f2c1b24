"""Conditions: what a status says, with a reason and a sentence; kind to kstatus (Ready, Reconciling, Stalled)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rivulet_operator.model.instant import to_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rivulet_operator.model.kinds import Json


@dataclass(frozen=True)
class Condition:
    """One condition; `status` None is Unknown."""

    type: str
    status: bool | None
    reason: str
    message: str = ""


def holds(name: str, reason: str, message: str = "") -> Condition:
    """The condition `name` is True."""
    return Condition(type=name, status=True, reason=reason, message=message)


def fails(name: str, reason: str, message: str = "") -> Condition:
    """The condition `name` is False."""
    return Condition(type=name, status=False, reason=reason, message=message)


def ready(reason: str, message: str = "") -> Condition:
    """It does what it is for."""
    return holds("Ready", reason, message)


def not_ready(reason: str, message: str) -> Condition:
    """It does not (yet) do what it is for, and why."""
    return fails("Ready", reason, message)


def reconciling(reason: str | None = None, message: str = "") -> Condition:
    """The operator is at work on it, and on what; without a reason: it is done."""
    return Condition("Reconciling", reason is not None, reason or "Done", message)


def stalled(reason: str | None = None, message: str = "") -> Condition:
    """It cannot go on by itself, and who must do what; without a reason: it can."""
    return Condition("Stalled", reason is not None, reason or "Running", message)


def rendered(wanted: Sequence[Condition], previous: Sequence[Json], generation: int, now: float) -> list[Json]:
    """As they stand in a status; a condition whose status stays keeps the time of its last transition.

    Of Live the reason counts too: a publisher lost and a stream ended are both not live, since different times.
    """
    before = {condition["type"]: condition for condition in previous}
    return [_rendered(condition, before.get(condition.type), generation, now) for condition in wanted]


def _rendered(condition: Condition, before: Json | None, generation: int, now: float) -> Json:
    status = "Unknown" if condition.status is None else str(condition.status)
    same = before is not None and before.get("status") == status
    if before is not None and condition.type == "Live":
        same = same and before.get("reason") == condition.reason
    return {
        "type": condition.type,
        "status": status,
        "reason": condition.reason,
        "message": condition.message,
        "observedGeneration": generation,
        "lastTransitionTime": before["lastTransitionTime"] if before and same else to_text(now),
    }


def find(conditions: Sequence[Json], name: str) -> Json | None:
    """The condition of that type in a status."""
    return next((condition for condition in conditions if condition["type"] == name), None)
