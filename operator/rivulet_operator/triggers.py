"""Which objects have to be reconciled when something has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rivulet_operator.manifests import director
from rivulet_operator.model import labels
from rivulet_operator.model.kinds import CDN_NODE, CDN_REGION, CUSTOM, HOST, STREAM, kind_of

if TYPE_CHECKING:
    from rivulet_operator.cache import Cache
    from rivulet_operator.model.facts import Facts
    from rivulet_operator.model.kinds import Json
    from rivulet_operator.work import Key


class Triggers:
    """Looks objects up by name in the cache; `region` is this cluster's own."""

    def __init__(self, cache: Cache, region: str) -> None:
        """Nothing more to know."""
        self._cache = cache
        self._region = (CDN_REGION, region)

    def everything(self) -> list[Key]:
        """All custom resources."""
        return [(kind, body["metadata"]["name"]) for kind in CUSTOM for body in self._cache.all(kind)]

    def changed(self, body: Json, before: Json | None) -> list[Key]:
        """Whom a new, changed or deleted object concerns; `before` is what was known of it."""
        kind, name = kind_of(body), body["metadata"]["name"]
        edited = before is None or _generation(before) != _generation(body)
        if kind == CDN_REGION:
            return self.everything() if edited else [(kind, name)]
        if kind == STREAM:
            auto = labels.AUTO in body["metadata"].get("labels", {})
            return [(kind, name), *(self._all(STREAM) if edited else ()), *([self._region] if edited or auto else ())]
        if kind == CDN_NODE:
            return [(kind, name)]
        if kind == HOST:
            moved = before is None or _addresses(before) != _addresses(body)
            return [self._region, *self._all(CDN_NODE)] if moved else []
        return self._of_part(body["metadata"].get("labels", {}), name)

    def said(self, before: Facts, now: Facts) -> list[Key]:
        """Whom the directors' news concern."""
        if (before.fresh, before.told) != (now.fresh, now.told):
            return self.everything()
        old, new = ({node.ref: node for node in facts.nodes} for facts in (before, now))
        slots = {ref.partition("/")[0] for ref in old.keys() | new.keys() if old.get(ref) != new.get(ref)}
        names = {stream.stream for stream in set(before.streams) ^ set(now.streams)}
        counts = [node.counts for node in (*before.nodes, *now.nodes) if node.slot in slots and node.counts]
        names |= {name for count in counts for name in (*count.streams, *count.pulls)}
        pools = {slot.rpartition("-")[0] for slot in slots}
        streams = [(STREAM, s["metadata"]["name"]) for s in self._cache.all(STREAM) if _published(s) in names]
        nodes = [key for key in self._all(CDN_NODE) if key[1] in pools]
        return [*streams, *nodes, self._region]

    def _all(self, kind: object) -> list[Key]:
        return [key for key in self.everything() if key[0] == kind]

    def _of_part(self, tags: Json, name: str) -> list[Key]:
        if labels.NODE in tags:
            return [(CDN_NODE, tags[labels.NODE])]
        return [self._region] if tags.get(labels.COMPONENT) == "director" or name == director.NAME else []


def _generation(body: Json) -> tuple[object, object]:
    return body["metadata"]["uid"], body["metadata"].get("generation")


def _addresses(host: Json) -> object:
    return host.get("status", {}).get("addresses")


def _published(stream: Json) -> str:
    return str(stream["spec"].get("name") or stream["metadata"]["name"])
