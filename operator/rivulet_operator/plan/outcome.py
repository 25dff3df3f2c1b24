"""What a plan is: the whole of what to write, in order, and what to say about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rivulet_operator.manifests.secrets import WantedSecret
    from rivulet_operator.model.conditions import Condition
    from rivulet_operator.model.kinds import Json, Kind


@dataclass(frozen=True, kw_only=True)
class Removal:
    """An object to delete; only that one, whatever bears its name by then."""

    kind: Kind
    name: str
    uid: str


@dataclass(frozen=True, kw_only=True)
class Release:
    """Annotations to take off an object. They may be another's: to leave them out of what we apply is not enough."""

    kind: Kind
    name: str
    resource_version: str
    annotations: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Status:
    """What a status is to say: conditions, and the fields beside them."""

    conditions: tuple[Condition, ...]
    fields: Json = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything to do for one object. `again`: seconds until the time itself changes the plan."""

    secrets: tuple[WantedSecret, ...] = ()
    apply: tuple[Json, ...] = ()
    release: tuple[Release, ...] = ()
    remove: tuple[Removal, ...] = ()
    replicas: int | None = None
    status: Status
    again: float | None = None
