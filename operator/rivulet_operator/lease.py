"""Only one operator of a region at a time, by a Lease.

Who loses it ends at once, and nobody writes who is not sure to hold it.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rivulet_operator.errors import Conflict, LeaseLost, NotYet
from rivulet_operator.model.instant import from_text
from rivulet_operator.model.kinds import LEASE, Json

if TYPE_CHECKING:
    from collections.abc import Callable

    from rivulet_operator.api import Api

log = logging.getLogger(__name__)

HELD_SECONDS = 6
RENEW_SECONDS = 2.0
LOOK_SECONDS = 0.5


class Lease:
    """The Lease `name`; `clock` gives Unix seconds."""

    def __init__(self, api: Api, namespace: str, name: str, identity: str, clock: Callable[[], float]) -> None:
        """Not held yet."""
        self._api = api
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._clock = clock
        self._renewed = float("-inf")
        self._sure = asyncio.Event()

    async def acquire(self) -> None:
        """Wait until the Lease is free, or what is left of the time of one who no longer renews it."""
        while not await self._try():  # noqa: ASYNC110 - another process holds it, which sends no event
            await asyncio.sleep(LOOK_SECONDS)
        log.info("holding lease %s as %s", self._name, self._identity)

    async def keep(self) -> None:
        """Renew until cancelled.

        Raises:
            LeaseLost: another has it.
        """
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            if self._clock() - self._renewed >= HELD_SECONDS:
                self._sure.clear()
            try:
                held = await self._try()
            except NotYet as error:
                log.warning("lease %s not renewed: %s", self._name, error)
                continue
            if not held:
                raise LeaseLost(f"lease {self._name} is held by another operator of this region")

    async def sure(self) -> None:
        """Wait until it was renewed recently enough that nobody else can have it."""
        if self._clock() - self._renewed >= HELD_SECONDS:
            self._sure.clear()
        await self._sure.wait()

    async def release(self) -> None:
        """Let the next one have it at once; best effort, it runs out by itself."""
        try:
            live = await self._api.get(LEASE, self._namespace, self._name)
            if live is not None and live["spec"].get("holderIdentity") == self._identity:
                await self._api.replace({**live, "spec": {**live["spec"], "holderIdentity": ""}})
        except NotYet as error:
            log.info("lease %s not released: %s", self._name, error)

    async def _try(self) -> bool:
        now = self._clock()
        live = await self._api.get(LEASE, self._namespace, self._name)
        if live is not None and not self._free(live["spec"], now):
            return False
        try:
            if live is None:
                await self._api.create(self._body(now, None))
            else:
                await self._api.replace(self._body(now, live))
        except Conflict:
            return False
        self._renewed = now
        self._sure.set()
        return True

    def _free(self, spec: Json, now: float) -> bool:
        """It is ours, nobody's, or was not renewed for as long as its holder said."""
        holder = spec.get("holderIdentity") or ""
        renewed = from_text(spec.get("renewTime") or "") or 0.0
        return holder in {"", self._identity} or now >= renewed + spec.get("leaseDurationSeconds", HELD_SECONDS)

    def _body(self, now: float, live: Json | None) -> Json:
        spec = live["spec"] if live else {}
        stamp = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        same = spec.get("holderIdentity") == self._identity
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": live["metadata"] if live else {"name": self._name, "namespace": self._namespace},
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": HELD_SECONDS,
                "acquireTime": spec["acquireTime"] if same else stamp,
                "renewTime": stamp,
                "leaseTransitions": spec.get("leaseTransitions", 0) + (0 if same else 1),
            },
        }
