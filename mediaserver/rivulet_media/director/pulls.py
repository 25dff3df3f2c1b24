"""Which origin pulls which stream from a foreign server. Pure.

Invariant: with equal tables and resources two directors say the same. An origin that has a stream keeps it while it
takes sessions; one that is being drained goes on until the next one has it.
"""

from collections.abc import Mapping

from rivulet_media.director import choice
from rivulet_media.director.resources import PullSpec, Resources, Stream
from rivulet_media.table import NodeEntry, Table
from rivulet_media.wire import PullOrder


def orders(resources: Resources, table: Table, region: str) -> dict[str, dict[str, PullOrder]]:
    """What each origin of the region is to pull: node reference → stream → order. Who is not named pulls nothing."""
    found: dict[str, dict[str, PullOrder]] = {}
    for name, stream in sorted(resources.streams.items()):
        pull = stream.spec.source.pull
        if pull is None or stream.region != region:
            continue
        for origin in _pullers(table, region, name):
            found.setdefault(origin.ref, {})[name] = _order(stream, pull, resources)
    return found


def _pullers(table: Table, region: str, stream: str) -> list[NodeEntry]:
    chosen = choice.origins(table, region, stream)[:1]
    entry = table.stream(stream)
    holder = table.node(entry.origin) if entry is not None and entry.state == "live" else None
    leaving = holder is not None and holder.state == "draining" and holder.region == region
    return [*chosen, holder] if holder is not None and leaving else chosen


def _order(stream: Stream, pull: PullSpec, resources: Resources) -> PullOrder:
    token, problem = _token(pull, resources.pull_secrets)
    return PullOrder(url=pull.url, policy=stream.policy, token=token, problem=problem)


def _token(pull: PullSpec, secrets: Mapping[str, Mapping[str, str]]) -> tuple[str | None, str | None]:
    """The token, or why there is none though one is wanted."""
    reference = pull.secret_ref
    if reference is None:
        return None, None
    token = secrets.get(reference.name, {}).get(reference.key)
    if token:
        return token, None
    return None, f"there is no Secret {reference.name} with a token under the key {reference.key}: create it"
