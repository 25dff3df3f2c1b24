"""Stream: a published name."""

from __future__ import annotations

from dataclasses import dataclass, field

from rivulet_operator.model import labels
from rivulet_operator.model.kinds import STREAM, Json
from rivulet_operator.model.owner import Identity, identity

PULL_PREFIX = "pull-"


@dataclass(frozen=True, kw_only=True)
class Pull:
    """A foreign server that a stream comes from; `secret`: the Secret with the token for it, "" without."""

    host: str
    secret: str = ""


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A Stream as the operator needs it. `name` is the published one; `regions` are where it may be published.

    `pull`: None where a publisher sends it.
    """

    identity: Identity
    name: str
    regions: tuple[str, ...]
    pull: Pull | None = None
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
        pull=_pull(spec.get("source", {}).get("pull")),
        auto=body["metadata"].get("labels", {}).get(labels.AUTO) == "true",
        status=body.get("status", {}),
    )


def _pull(spec: Json | None) -> Pull | None:
    """Of the URL what people know it by, which has no secret."""
    if spec is None:
        return None
    secret = spec.get("secretRef", {}).get("name", "")
    host = spec["url"].partition("://")[2].partition("/")[0].partition("?")[0]
    return Pull(host=host, secret=secret if secret.startswith(PULL_PREFIX) else "")
