"""Names and ports of new slots: the lowest that nobody has, nor somebody who is still leaving."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from rivulet_operator.model.region import NodeDefaults
    from rivulet_operator.model.slot import Slot

TURN_PORT = 3478


def taken_ports(slots: Iterable[Slot]) -> frozenset[int]:
    """Ports of all slots of the region, also of those being deleted, and of pods that outlive their slot."""
    every = list(slots)
    return frozenset({slot.port for slot in every} | {port for s in every for pod in s.pods for port in pod.ports})


def free_port(defaults: NodeDefaults, taken: Collection[int]) -> int | None:
    """The lowest port of the range that is not taken; None: they are exhausted."""
    return next((port for port in range(defaults.first_port, defaults.last_port + 1) if port not in taken), None)


def free_ordinal(borne: Collection[int]) -> int:
    """The lowest number that is not borne."""
    return next(number for number in range(len(borne) + 1) if number not in borne)
