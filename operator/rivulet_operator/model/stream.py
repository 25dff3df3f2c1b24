"""Stream: a published name."""

from __future__ import annotations

from dataclasses import dataclass, field

from rivulet_operator.model import labels
from rivulet_operator.model.kinds import STREAM, Json
from rivulet_operator.model.owner import Identity, identity


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A Stream as the operator needs it. `name` is the published one; `regions` are where it may be published."""

    identity: Identity
    name: str
    regions: tuple[str, ...]
    auto: bool = False
    status: Json = field(default_factory=dict)


def parse(body: Json) -> Stream:
    """A Stream from the API server, which has checked it against the schema."""
    spec = body["spec"]
    who = identity(STREAM, body)
    return Stream(
        identity=who,
        name=spec.get("name") or who.name,
        regions=tuple(spec["regions"]) if spec.get("regions") else (spec["region"],),
        auto=body["metadata"].get("labels", {}).get(labels.AUTO) == "true",
        status=body.get("status", {}),
    )
