"""What is known about a CDNNode's slots when it is planned."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rivulet_operator.manifests.choices import Choices, Images, choose
from rivulet_operator.plan import drain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rivulet_operator.model.facts import Facts
    from rivulet_operator.model.kinds import Json
    from rivulet_operator.model.node import Node
    from rivulet_operator.model.region import Region
    from rivulet_operator.model.slot import Slot


@dataclass(frozen=True, kw_only=True)
class Pool:
    """A CDNNode of this region with its slots.

    `taken`: media ports of the whole region; `addresses`: of hosts, the best first.
    """

    node: Node
    region: Region
    images: Images
    facts: Facts
    slots: tuple[Slot, ...] = ()
    taken: frozenset[int] = frozenset()
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def choices(self) -> Choices:
        """What its pods are made of as of now."""
        return choose(self.node, self.region, self.images)

    @property
    def wanted(self) -> int:
        """How many slots; one until somebody has said."""
        return 1 if self.node.replicas is None else self.node.replicas

    @property
    def living(self) -> tuple[Slot, ...]:
        """Slots that are not being deleted, by ordinal."""
        return tuple(sorted((slot for slot in self.slots if not slot.deleting), key=lambda slot: slot.ordinal))

    def seen(self, slot: Slot) -> Json:
        """State, incarnation and sessions as the directors said last; before their first word, as the status says."""
        runs = self.facts.incarnations(slot.name)
        if runs:
            told = {"state": runs[0].state, "incarnation": runs[0].incarnation}
            sessions = self.facts.last_sessions(slot.name)
            return told if sessions is None else {**told, "sessions": sessions}
        if self.facts.told:
            return {}
        before: Json = next((entry for entry in self.node.status.get("slots", []) if entry["name"] == slot.name), {})
        return {key: before[key] for key in ("state", "incarnation", "sessions") if key in before}

    @property
    def leaving(self) -> tuple[str, ...]:
        """Names of those that go because the pool is too large."""
        return drain.leaving(self.living, len(self.living) - self.wanted, self.facts)
