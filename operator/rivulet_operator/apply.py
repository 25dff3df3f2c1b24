"""The only writer of what the operator makes: carries a plan out, in order, and skips what stands as wanted."""

from __future__ import annotations

import copy
import secrets
from typing import TYPE_CHECKING

from rivulet_operator.errors import Conflict, Refused
from rivulet_operator.manifests.metadata import canonical
from rivulet_operator.manifests.secrets import secret
from rivulet_operator.model import labels
from rivulet_operator.model.kinds import DEPLOYMENT, SECRET, WATCHED, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rivulet_operator.api import Api
    from rivulet_operator.cache import Cache
    from rivulet_operator.manifests.secrets import WantedSecret
    from rivulet_operator.model.kinds import Json, Kind
    from rivulet_operator.model.owner import Identity
    from rivulet_operator.model.region import Region
    from rivulet_operator.plan.outcome import Plan, Release

UNWATCHED_SECONDS = 60.0
TOKEN_BYTES = 32
CONFLICT = 409


class Applier:
    """Writes plans through `api` and keeps the cache up with what comes back."""

    def __init__(self, api: Api, cache: Cache, clock: Callable[[], float]) -> None:
        """`clock` is monotonic."""
        self._api = api
        self._cache = cache
        self._clock = clock
        self._applied: dict[tuple[Kind, str], tuple[str, float]] = {}

    async def run(self, plan: Plan, owner: Identity) -> None:
        """Everything a plan says but its status and its secrets.

        Raises:
            NotYet: the cluster has moved on or does not answer; plan anew.
            Refused: the API server forbids it, or a name is another's.
        """
        if plan.replicas is not None:
            await self._scale(owner, plan.replicas)
        for body in plan.apply:
            await self._apply(body)
        for release in plan.release:
            await self._release(release, owner.namespace)
        for removal in plan.remove:
            await self._api.delete(removal.kind, owner.namespace, removal.name, removal.uid)

    async def make_secrets(self, wanted: tuple[WantedSecret, ...], region: Region) -> None:
        """Draw each secret that is not there. One that has come into being meanwhile stays as it is."""
        for one in wanted:
            try:
                await self._api.create(secret(one, region, secrets.token_urlsafe(TOKEN_BYTES)))
            except Conflict:
                if not await self._api.exists(SECRET, region.identity.namespace, one.name):
                    raise

    async def _scale(self, owner: Identity, replicas: int) -> None:
        body: Json = {
            "apiVersion": owner.kind.api_version,
            "kind": owner.kind.kind,
            "metadata": {"name": owner.name, "namespace": owner.namespace, "uid": owner.uid},
            "spec": {"replicas": replicas},
        }
        self._cache.put(await self._api.apply(body, manager=labels.SCALER))

    async def _apply(self, body: Json) -> None:
        kind, name = kind_of(body), body["metadata"]["name"]
        digest = canonical(_content(body))
        if self._stands(kind, name, body, digest):
            return
        if kind == DEPLOYMENT and "resourceVersion" not in body["metadata"]:
            await self._check_owner(body)
        written = await self._api.apply(body)
        self._applied[kind, name] = (digest, self._clock())
        if kind in WATCHED:
            self._cache.put(written)

    def _stands(self, kind: Kind, name: str, body: Json, digest: str) -> bool:
        """What we applied last is this, and it still stands; what we do not watch is applied again now and then."""
        before, at = self._applied.get((kind, name), ("", 0.0))
        if before != digest:
            return False
        if kind not in WATCHED:
            return self._clock() - at < UNWATCHED_SECONDS
        live = self._cache.get(kind, name)
        return live is not None and covers(live, _content(body))

    async def _check_owner(self, body: Json) -> None:
        """A new name must be free, or ours already: force would take a stranger's object."""
        kind, name = kind_of(body), body["metadata"]["name"]
        live = await self._api.get(kind, body["metadata"]["namespace"], name)
        if live is None:
            return
        owners = {reference["uid"] for reference in live["metadata"].get("ownerReferences", ())}
        if not owners & {reference["uid"] for reference in body["metadata"]["ownerReferences"]}:
            raise Refused(CONFLICT, f"There is a {kind.kind} {name} that is not ours: delete or rename it.")
        self._cache.put(live)
        if labels.SLOT in body["metadata"]["labels"]:
            raise Conflict(f"{kind.kind} {name} stands already")

    async def _release(self, release: Release, namespace: str) -> None:
        live = self._cache.get(release.kind, release.name)
        version = live["metadata"]["resourceVersion"] if live else release.resource_version
        metadata = {"resourceVersion": version, "annotations": dict.fromkeys(release.annotations)}
        self._cache.put(await self._api.merge(release.kind, namespace, release.name, {"metadata": metadata}))


def _content(body: Json) -> Json:
    """A manifest without its precondition."""
    content = copy.copy(body)
    content["metadata"] = {key: value for key, value in body["metadata"].items() if key != "resourceVersion"}
    return content


def covers(live: Any, wanted: Any) -> bool:
    """Everything wanted stands in the live object, which may say more (defaults, other managers' fields)."""
    if isinstance(wanted, dict):
        return isinstance(live, dict) and all(key in live and covers(live[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list | tuple):
        return isinstance(live, list) and len(live) == len(wanted) and all(map(covers, live, wanted))
    return bool(live == wanted)
