"""The one copy of what stands in the cluster, fed by watch events, by what our writes return, and by whole lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rivulet_operator.model.kinds import Kind, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rivulet_operator.model.kinds import Json


class Cache:
    """Objects by kind and name. Newer versions win, whichever way they come."""

    def __init__(self) -> None:
        """Empty, and incomplete until every kind has been listed once."""
        self._objects: dict[Kind, dict[str, Json]] = {}

    def all(self, kind: Kind) -> list[Json]:
        """All objects of a kind, by name."""
        return [body for _, body in sorted(self._objects.get(kind, {}).items())]

    def get(self, kind: Kind, name: str) -> Json | None:
        """One object."""
        return self._objects.get(kind, {}).get(name)

    def put(self, body: Json) -> Json | None:
        """Keep an object unless a newer version is known. Returns the one it takes the place of."""
        known = self._objects.setdefault(kind_of(body), {})
        name = body["metadata"]["name"]
        before = known.get(name)
        if before is None or _newer(body, before):
            known[name] = body
        return before

    def drop(self, body: Json) -> None:
        """Forget an object that was deleted, unless its name is borne by another by now."""
        known = self._objects.get(kind_of(body), {})
        held = known.get(body["metadata"]["name"])
        if held is not None and held["metadata"]["uid"] == body["metadata"]["uid"]:
            del known[body["metadata"]["name"]]

    def versions(self, kind: Kind) -> dict[str, str]:
        """Names and versions of what is held, to be compared with a list that is asked for afterwards."""
        return {name: body["metadata"]["resourceVersion"] for name, body in self._objects.get(kind, {}).items()}

    def listed(self, kind: Kind, bodies: Iterable[Json], before: dict[str, str]) -> list[Json]:
        """Take a whole list; `before` is what was held when it was asked for. Returns what changed or has gone.

        A watch may miss a deletion while it is away. What stood here before the list and is not in it, is gone.
        """
        listed = {body["metadata"]["name"]: body for body in bodies}
        known = self._objects.setdefault(kind, {})
        gone = [
            body
            for name, body in list(known.items())
            if name not in listed and before.get(name) == body["metadata"]["resourceVersion"]
        ]
        changed = [body for body in listed.values() if self._differs(kind, body)]
        for body in gone:
            self.drop(body)
        for body in listed.values():
            self.put(body)
        return [*changed, *gone]

    def _differs(self, kind: Kind, body: Json) -> bool:
        held = self.get(kind, body["metadata"]["name"])
        return held is None or held["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]


def _newer(body: Json, than: Json) -> bool:
    if body["metadata"]["uid"] != than["metadata"]["uid"]:
        return (than["metadata"].get("creationTimestamp") or "") <= (body["metadata"].get("creationTimestamp") or "")
    return int(body["metadata"]["resourceVersion"]) >= int(than["metadata"]["resourceVersion"])
