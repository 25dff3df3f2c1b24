"""Streams that nobody declared: made when a publisher with a valid token asks, removed a while after they ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rivulet_operator.manifests.auto_stream import auto_stream
from rivulet_operator.model.conditions import find
from rivulet_operator.model.facts import ENDED
from rivulet_operator.model.instant import from_text
from rivulet_operator.model.kinds import STREAM
from rivulet_operator.model.region import OpenPublishing
from rivulet_operator.plan.outcome import Removal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rivulet_operator.model.facts import Facts
    from rivulet_operator.model.kinds import Json
    from rivulet_operator.model.region import Region
    from rivulet_operator.model.stream import Stream


FIRST_SECONDS = 10.0  # who asked for the name has so long to publish


@dataclass(frozen=True, kw_only=True)
class Autos:
    """What to make, what to remove, and in how many seconds to look again."""

    apply: tuple[Json, ...] = ()
    remove: tuple[Removal, ...] = ()
    again: float | None = None


def plan(region: Region, streams: Sequence[Stream], facts: Facts, now: float) -> Autos:
    """What the undeclared names ask for and the quiet ones no longer need."""
    keep = (region.open_publishing or OpenPublishing()).keep_seconds
    quiet = {s.identity.uid: _quiet_since(s, facts) for s in streams if s.auto}
    over = [s for s in streams if s.auto and _passed(quiet[s.identity.uid], keep, now)]
    waits = [since + keep - now for since in quiet.values() if since is not None and since + keep > now]
    return Autos(
        apply=_wanted(region, streams, facts),
        remove=tuple(Removal(kind=STREAM, name=s.identity.name, uid=s.identity.uid) for s in over),
        again=min(waits) if waits else None,
    )


def _wanted(region: Region, streams: Sequence[Stream], facts: Facts) -> tuple[Json, ...]:
    if region.open_publishing is None:
        return ()
    room = region.open_publishing.max_streams - sum(stream.auto for stream in streams)
    declared = {stream.name for stream in streams}
    names = [ask.stream for ask in facts.undeclared if ask.stream not in declared]
    return tuple(auto_stream(region, name) for name in names[: max(room, 0)])


def _quiet_since(stream: Stream, facts: Facts) -> float | None:
    """Since when nobody publishes it; None: somebody does or may, or nobody can say."""
    fact = facts.publication(stream.name)
    asked = any(ask.stream == stream.name for ask in facts.undeclared)
    if not facts.fresh or asked or (fact is not None and fact.state != ENDED):
        return None
    live = find(stream.status.get("conditions", []), "Live")
    if live is None or live["reason"] == "NotPublished":
        created = from_text(stream.identity.created)
        return None if created is None else created + FIRST_SECONDS
    return from_text(live["lastTransitionTime"]) if live["reason"] == "Ended" else None


def _passed(since: float | None, keep: float, now: float) -> bool:
    return since is not None and now >= since + keep
