"""The plan for a Stream: it makes nothing, it tells what the directors say of the name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rivulet_operator.model.conditions import Condition, fails, find, holds, not_ready, ready, reconciling, stalled
from rivulet_operator.model.instant import to_text
from rivulet_operator.plan.outcome import Plan, Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rivulet_operator.model.facts import Facts, StreamFact, Track
    from rivulet_operator.model.kinds import Json
    from rivulet_operator.model.region import Region
    from rivulet_operator.model.stream import Pull, Stream

LIVE, LOST = "live", "lost"
OF_A_PUBLICATION = ("origin", "startedAt", "tracks", "codecs", "viewers")


@dataclass(frozen=True, kw_only=True)
class Name:
    """A Stream, all Streams that claim its name, and what is known of it. `region`: this cluster's own, if there."""

    stream: Stream
    claims: Sequence[Stream]
    own: str
    region: Region | None
    facts: Facts


def plan(name: Name) -> Plan:
    """What its status says."""
    refusal = _refusal(name)
    if refusal is not None:
        blocked = (refusal, stalled(refusal.reason, refusal.message), reconciling(), _not_published())
        return Plan(status=Status(conditions=blocked, fields=_urls(name)))
    live, fields = _publication(name)
    return Plan(
        status=Status(conditions=(_accepted(name), stalled(), reconciling(), live), fields={**_urls(name), **fields})
    )


def _accepted(name: Name) -> Condition:
    pull = name.stream.pull
    if pull is not None:
        return ready("Pulled", f"Pulled from {pull.host}.")
    return ready("Publishable", f"Publish to {_urls(name)['urls']['whip']}")


def _refusal(name: Name) -> Condition | None:
    stream = name.stream
    if name.own not in stream.regions:
        there = " or ".join(stream.regions)
        message = f"This cluster is region {name.own}; the stream is published in {there}: create it in that cluster."
        return not_ready("NotThisRegion", message)
    first = min(name.claims, key=_seniority)
    if first.identity.uid != stream.identity.uid:
        older = first.identity.name
        message = f"Stream {older} is older and has the name {stream.name}: choose another name, or delete one."
        return not_ready("NameTaken", message)
    if name.region is None:
        return not_ready("RegionMissing", f"There is no CDNRegion {name.own} in this namespace: create it.")
    return None


def _seniority(stream: Stream) -> tuple[str, str]:
    return stream.identity.created, stream.identity.name


def _urls(name: Name) -> Json:
    if name.region is None:
        return {}
    base = f"http://{name.region.host}"
    ways = ("whip", "whep", "play") if name.stream.pull is None else ("whep", "play")
    return {"urls": {way: f"{base}/{way}/{name.stream.name}" for way in ways}}


def _publication(name: Name) -> tuple[Condition, Json]:
    fact = name.facts.publication(name.stream.name)
    if fact is None and not name.facts.fresh:
        return _as_before(name.stream)
    if name.stream.pull is not None and (fact is None or fact.state not in {LIVE, LOST}):
        return _waited_for(name, name.stream.pull), {"viewers": 0}
    if fact is None:
        return _gone(name.stream), {"viewers": 0}
    if fact.state not in {LIVE, LOST}:
        return _ended(fact), {"viewers": 0}
    on_air = _on_air(fact) if name.stream.pull is None else _pulled(name, name.stream.pull, fact)
    return on_air, {
        "origin": fact.origin.partition("/")[0],
        "startedAt": to_text(fact.since),
        "tracks": [_track(track) for track in fact.tracks],
        "codecs": ", ".join(dict.fromkeys(track.codec for track in fact.tracks)),
        "viewers": name.facts.viewers(name.stream.name),
    }


def _on_air(fact: StreamFact) -> Condition:
    if fact.state == LOST:
        return fails("Live", "PublisherLost", "The publisher fell silent; its viewers are kept for a while.")
    return holds("Live", "Publishing", f"Published on {fact.origin.partition('/')[0]}.")


def _pulled(name: Name, pull: Pull, fact: StreamFact) -> Condition:
    if fact.state == LOST:
        kept = "The source fell silent; its viewers are kept for a while."
        return fails("Live", "SourceLost", f"{kept} {_trouble(name)}".rstrip())
    return holds("Live", "Pulling", f"{fact.origin.partition('/')[0]} pulls it from {pull.host}.")


def _waited_for(name: Name, pull: Pull) -> Condition:
    """It comes as soon as the source lets it: why it does not is of more use than that it once came."""
    told = name.facts.pulled(name.stream.name)
    if told is None:
        return fails("Live", "WaitingForOrigin", "No origin pulls it yet: is one up?")
    if told[1]:
        return fails("Live", "SourceUnreachable", _trouble(name))
    return fails("Live", "Connecting", f"{told[0]} asks {pull.host} for it.")


def _trouble(name: Name) -> str:
    told = name.facts.pulled(name.stream.name)
    return f"{told[0]}: {told[1]}." if told is not None and told[1] else ""


def _ended(fact: StreamFact) -> Condition:
    return fails("Live", "Ended", f"The publication ended: {fact.reason or 'ended'}.")


def _not_published() -> Condition:
    return fails("Live", "NotPublished", "Nobody has published it yet.")


def _gone(stream: Stream) -> Condition:
    """No director names it any more: what was live has ended, what had ended stays so."""
    before = find(stream.status.get("conditions", []), "Live")
    if before is None or before["reason"] == "NotPublished":
        return _not_published()
    if before["reason"] == "Ended":
        return fails("Live", "Ended", before["message"])
    return fails("Live", "Ended", "The publication ended: its origin is gone.")


def _as_before(stream: Stream) -> tuple[Condition, Json]:
    """No director answers: silence says nothing, so the status says what it said."""
    before = find(stream.status.get("conditions", []), "Live")
    if before is None:
        return _not_published(), {"viewers": 0}
    kept = {key: stream.status[key] for key in OF_A_PUBLICATION if key in stream.status}
    return Condition("Live", before["status"] == "True", before["reason"], before["message"]), kept


def _track(track: Track) -> Json:
    told = {"kind": track.kind, "codec": track.codec}
    return {**told, "detail": track.fmtp} if track.fmtp else told
