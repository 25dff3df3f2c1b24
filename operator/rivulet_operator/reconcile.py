"""One level-triggered loop for every kind: observe, plan, apply, say."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING

from rivulet_operator.errors import NotYet, Refused
from rivulet_operator.manifests.secrets import WANTED, mesh_secret
from rivulet_operator.model import labels
from rivulet_operator.model.conditions import stalled
from rivulet_operator.model.kinds import CDN_NODE, CDN_REGION, SECRET
from rivulet_operator.plan import node as node_plan
from rivulet_operator.plan import region as region_plan
from rivulet_operator.plan import stream as stream_plan
from rivulet_operator.plan.outcome import Plan, Status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rivulet_operator.api import Api
    from rivulet_operator.apply import Applier
    from rivulet_operator.model.kinds import Json
    from rivulet_operator.model.owner import Identity
    from rivulet_operator.model.region import Region
    from rivulet_operator.observe import Observer
    from rivulet_operator.status import StatusWriter
    from rivulet_operator.work import Key, Work

log = logging.getLogger(__name__)

SECRETS_SECONDS = 3.0
STUCK_SECONDS = 120.0
Planned = tuple["Identity", Plan, "Json"]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the loop is made of; `clock` gives Unix seconds."""

    api: Api
    observer: Observer
    applier: Applier
    statuses: StatusWriter
    work: Work
    clock: Callable[[], float]


class Reconciler:
    """Takes keys from the work, one after the other, and makes the cluster be and say what it should."""

    def __init__(self, parts: Parts, own: str) -> None:
        """`own` is this cluster's region."""
        self._api = parts.api
        self._observer = parts.observer
        self._applier = parts.applier
        self._statuses = parts.statuses
        self._work = parts.work
        self._clock = parts.clock
        self._own = own
        self._busy_since: float | None = None
        self._secrets_at = float("-inf")

    async def run(self, may_write: Callable[[], Awaitable[None]]) -> None:
        """Until cancelled; `may_write` waits until this operator surely holds the Lease."""
        while True:
            key = await self._work.next()
            await may_write()
            await self._guarded(key)

    def alive(self) -> bool:
        """No object has kept the loop for longer than any request may take together."""
        return self._busy_since is None or self._clock() - self._busy_since < STUCK_SECONDS

    async def _guarded(self, key: Key) -> None:
        self._busy_since = self._clock()
        try:
            again = await self.reconcile(key)
        except NotYet as error:
            log.info("%s %s: again in %.1f s: %s", key[0].kind, key[1], self._work.failed(key), error)
        except Refused as error:
            level = logging.INFO if error.status == HTTPStatus.NOT_FOUND else logging.ERROR  # it may be gone by now
            log.log(level, "%s %s: again in %.1f s: %s", key[0].kind, key[1], self._work.failed(key), error)
        else:
            self._work.done(key)
            if again is not None:
                self._work.later(key, again)
        finally:
            self._busy_since = None

    async def reconcile(self, key: Key) -> float | None:
        """One object. Returns in how many seconds it is to be looked at again, if time alone changes anything.

        Raises:
            NotYet, Refused: as the API server says; the status tells of the latter.
        """
        planned = await self._planned(key)
        if planned is None:
            return None
        who, plan, live = planned
        try:
            await self._applier.run(plan, who)
        except Refused as error:
            await self._statuses.write(who, _refused(plan.status, error), live, self._clock())
            raise
        counts = await self._statuses.write(who, plan.status, live, self._clock())
        waits = [wait for wait in (plan.again, counts) if wait is not None]
        return min(waits) if waits else None

    async def _planned(self, key: Key) -> Planned | None:
        kind, name = key
        if kind == CDN_REGION:
            return await self._region(name)
        return self._node(name) if kind == CDN_NODE else self._stream(name)

    async def _region(self, name: str) -> Planned | None:
        region = next((region for region in self._observer.regions() if region.name == name), None)
        if region is None:
            return None
        if name != self._own:
            return region.identity, region_plan.plan_foreign(self._own), region.status
        await self._look_for_secrets(region)
        plan = region_plan.plan(self._observer.home(region), self._clock())
        if plan.secrets:
            await self._applier.make_secrets(plan.secrets, region)
            self._secrets_at = float("-inf")
        return region.identity, plan, region.status

    async def _look_for_secrets(self, region: Region) -> None:
        """Which Secrets there are. They are not watched: the operator need not list Secrets, nor read another's."""
        if self._clock() - self._secrets_at < SECRETS_SECONDS:
            return
        others = [mesh_secret(other.name) for other in self._observer.regions() if other.name != region.name]
        names = [*(wanted.name for wanted in WANTED), *others]
        there = [name for name in names if await self._api.exists(SECRET, region.identity.namespace, name)]
        self._observer.secrets = frozenset(there)
        self._secrets_at = self._clock()

    def _node(self, name: str) -> Planned | None:
        node = self._observer.node(name)
        if node is None:
            return None
        if node.region != self._own:
            return node.identity, node_plan.plan_foreign(node, self._own), node.status
        own = self._observer.own_region()
        if own is None:
            return node.identity, node_plan.plan_without_region(node), node.status
        return node.identity, node_plan.plan(self._observer.pool(node, own), self._clock()), node.status

    def _stream(self, name: str) -> Planned | None:
        stream = self._observer.stream(name)
        if stream is None:
            return None
        return stream.identity, stream_plan.plan(self._observer.name(stream)), stream.status


def _refused(status: Status, error: Refused) -> Status:
    """What was to be said, and that the API server forbids something."""
    said = f"The API server refuses: {error} ({labels.OPERATOR} tries again)"
    conditions = tuple(stalled("Refused", said) if c.type == "Stalled" else c for c in status.conditions)
    return replace(status, conditions=conditions)
