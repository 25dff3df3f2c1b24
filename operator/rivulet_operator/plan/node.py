"""The plan for a CDNNode: its slots, and what its status says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rivulet_operator.manifests.settings_map import settings_map
from rivulet_operator.model import labels
from rivulet_operator.model.conditions import Condition, fails, holds, not_ready, ready, reconciling, stalled
from rivulet_operator.model.node import TURN
from rivulet_operator.plan.outcome import Plan, Status
from rivulet_operator.plan.slots import Step, steps

if TYPE_CHECKING:
    from rivulet_operator.model.kinds import Json
    from rivulet_operator.model.node import Node
    from rivulet_operator.model.slot import Slot
    from rivulet_operator.plan.pool import Pool

JOINED = frozenset({"up", "full", "draining"})


def plan_foreign(node: Node, region: str) -> Plan:
    """For a CDNNode of another region: nothing is made."""
    message = f"This operator makes nodes of region {region}; those of {node.region} are made where it is installed."
    return Plan(status=Status(conditions=(not_ready("NotThisRegion", message), stalled(), reconciling())))


def plan_without_region(node: Node) -> Plan:
    """For a CDNNode whose CDNRegion is not there: what stands stays, nothing is added."""
    message = f"There is no CDNRegion {node.region} in this namespace: create it; the slots follow by themselves."
    waiting = (not_ready("RegionMissing", message), stalled("RegionMissing", message), reconciling())
    return Plan(status=Status(conditions=waiting))


def plan(pool: Pool, now: float) -> Plan:
    """For a CDNNode of this region."""
    todo = steps(pool, now)
    deadlines = [step.deadline for step in todo if step.deadline is not None and step.deadline > now]
    return Plan(
        apply=(*_settings(pool), *(step.apply for step in todo if step.apply is not None)),
        release=tuple(step.release for step in todo if step.release is not None),
        remove=tuple(step.remove for step in todo if step.remove is not None),
        replicas=1 if pool.node.replicas is None else None,
        status=Status(conditions=_conditions(pool, todo), fields=_fields(pool)),
        again=min(deadlines) - now if deadlines else None,
    )


def _settings(pool: Pool) -> tuple[Json, ...]:
    return () if pool.node.role == TURN else (settings_map(pool.node),)


def _conditions(pool: Pool, todo: tuple[Step, ...]) -> tuple[Condition, ...]:
    return (_ready(pool), _stalled(pool, todo), _reconciling(pool, todo), _rollout(pool, todo), _joined(pool))


def _waiting(pool: Pool) -> list[str]:
    """Slots whose pod is Ready and that no director has ever named."""
    if pool.node.role == TURN:
        return []
    return [slot.name for slot in pool.living if slot.ready and not pool.seen(slot)]


def _ready(pool: Pool) -> Condition:
    here = sum(slot.ready for slot in pool.living)
    if here < pool.wanted:
        return not_ready("NodesStarting", f"{here} of {pool.wanted} nodes are ready." + _troubles(pool))
    waiting = _waiting(pool)
    if waiting:
        return not_ready("WaitingForDirector", _waiting_message(waiting))
    return ready("NodesReady", f"{here} of {pool.wanted} nodes are ready.")


def _waiting_message(waiting: list[str]) -> str:
    return f"{', '.join(waiting)}: ready, but no director has named it yet; it joins as soon as one answers."


def _troubles(pool: Pool) -> str:
    return "".join(f" {slot.name}: {slot.trouble}" for slot in pool.living if slot.trouble)


def _stalled(pool: Pool, todo: tuple[Step, ...]) -> Condition:
    if len(todo) < pool.wanted:
        defaults = pool.region.defaults
        return stalled(
            "PortsExhausted",
            f"{pool.wanted - len(todo)} nodes have no media port: {defaults.first_port}-{defaults.last_port} are taken."
            " Widen nodeDefaults.portRange of the CDNRegion.",
        )
    troubles = _troubles(pool).strip()
    return stalled("PodCannotRun", troubles) if troubles else stalled()


def _reconciling(pool: Pool, todo: tuple[Step, ...]) -> Condition:
    waits = [step.slot for step in todo if step.waits]
    leaving = [slot.name for slot in pool.slots if slot.deleting or slot.name in pool.leaving]
    starting = [step.slot for step in todo if step.changes]
    starting += [slot.name for slot in pool.living if not (slot.ready and slot.rolled) and slot.name not in leaving]
    if waits:
        return reconciling("RolloutPending", _rollout_message(waits, len(pool.living)))
    if leaving:
        return reconciling(
            "Draining", f"Leaving when empty, at the latest when their drain ends: {', '.join(leaving)}."
        )
    if starting:
        return reconciling("NodesStarting", f"Starting: {', '.join(dict.fromkeys(starting))}.")
    if len(todo) < pool.wanted:
        return reconciling("PortsExhausted", f"{len(todo)} of {pool.wanted} nodes have a port.")
    return reconciling()


def _rollout(pool: Pool, todo: tuple[Step, ...]) -> Condition:
    waits = [step.slot for step in todo if step.waits]
    if not waits:
        return fails("RolloutPending", "UpToDate", "All nodes have the last change.")
    return holds("RolloutPending", "RolloutPending", _rollout_message(waits, len(pool.living)))


def _rollout_message(waits: list[str], total: int) -> str:
    return (
        f"{len(waits)} of {total} nodes wait to be empty before they take the last change: {', '.join(waits)}."
        f" Draining one empties it: kubectl annotate deployment {waits[0]} rivulet.dev/drain=now"
    )


def _joined(pool: Pool) -> Condition:
    if pool.node.role == TURN:
        return holds("NodesJoined", "NothingToJoin", "A TURN server stands in no table.")
    waiting = _waiting(pool)
    if waiting:
        return fails("NodesJoined", "WaitingForDirector", _waiting_message(waiting))
    missing = [slot.name for slot in pool.living if not _is_joined(pool, slot)]
    if missing:
        return fails("NodesJoined", "NodesMissing", f"Not in the directors' table: {', '.join(missing)}.")
    return holds("NodesJoined", "AllJoined", "The directors know every node.")


def _is_joined(pool: Pool, slot: Slot) -> bool:
    return pool.seen(slot).get("state") in JOINED


def _fields(pool: Pool) -> Json:
    return {
        "replicas": len(pool.living),
        "readyReplicas": sum(slot.ready for slot in pool.living),
        "joinedReplicas": sum(_is_joined(pool, slot) for slot in pool.living),
        "sessions": sum(pool.seen(slot).get("sessions", 0) for slot in pool.living),
        "selector": f"{labels.NAME}=rivulet,{labels.NODE}={pool.node.name}",
        "slots": [_slot_status(pool, slot) for slot in pool.living],
    }


def _address(pool: Pool, slot: Slot) -> str | None:
    """The best of its host's; a TURN server listens on its pod's first address only: one of that family."""
    addresses = pool.addresses.get(slot.host, ())
    heard = [address for address in addresses if (":" in address) == (":" in slot.ip)]
    chosen = heard if pool.node.role == TURN and slot.ip and heard else addresses
    return next(iter(chosen), None)


def _slot_status(pool: Pool, slot: Slot) -> Json:
    turn = pool.node.role == TURN
    told: Json = {
        "name": slot.name,
        "port": slot.port,
        "address": _address(pool, slot),
        "ready": slot.ready and not (turn and slot.drain is not None),
        "revision": slot.revision,
        "draining": slot.drain is not None,
        **pool.seen(slot),
    }
    return {key: value for key, value in told.items() if value is not None}
