"""Writes statuses: at once when what is said changes, and every few seconds at most when only numbers do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rivulet_operator.model.conditions import rendered

if TYPE_CHECKING:
    from rivulet_operator.api import Api
    from rivulet_operator.cache import Cache
    from rivulet_operator.model.kinds import Json
    from rivulet_operator.model.owner import Identity
    from rivulet_operator.plan.outcome import Status

COUNTS = frozenset({"viewers", "sessions"})
COUNT_SECONDS = 10.0


class StatusWriter:
    """Writes through `api` and keeps the cache up with what comes back."""

    def __init__(self, api: Api, cache: Cache) -> None:
        """Nothing has been written yet."""
        self._api = api
        self._cache = cache
        self._written: dict[str, float] = {}

    async def write(self, who: Identity, status: Status, live: Json, now: float) -> float | None:
        """Say `status` of an object whose status is `live`. Returns in how many seconds its numbers may be written.

        Raises:
            NotYet: the API server does not answer.
            Refused: it does not take the status.
        """
        wanted = body_of(status, live, who.generation, now)
        if wanted == live:
            return None
        due = self._written.get(who.uid, 0.0) + COUNT_SECONDS
        if now < due and without_counts(wanted) == without_counts(live):
            return due - now
        self._cache.put(await self._api.apply(_manifest(who, wanted), subresource="status"))
        self._written[who.uid] = now
        return None


def body_of(status: Status, live: Json, generation: int, now: float) -> Json:
    """The status as it stands in the object."""
    conditions = rendered(status.conditions, live.get("conditions", []), generation, now)
    return {"observedGeneration": generation, "conditions": conditions, **status.fields}


def without_counts(status: Any) -> Any:
    """A status without the numbers that change with every viewer."""
    if isinstance(status, dict):
        return {key: without_counts(value) for key, value in status.items() if key not in COUNTS}
    if isinstance(status, list):
        return [without_counts(item) for item in status]
    return status


def _manifest(who: Identity, status: Json) -> Json:
    return {
        "apiVersion": who.kind.api_version,
        "kind": who.kind.kind,
        "metadata": {"name": who.name, "namespace": who.namespace, "uid": who.uid},
        "status": status,
    }
