"""The operator at work: what is watched becomes work, what the directors say becomes facts, and one loop writes."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import kopf

from rivulet_operator import api as kube
from rivulet_operator import watch
from rivulet_operator.apply import Applier
from rivulet_operator.cache import Cache
from rivulet_operator.errors import NotYet, Refused
from rivulet_operator.lease import Lease
from rivulet_operator.link import Links, Orders
from rivulet_operator.manifests.choices import Images
from rivulet_operator.manifests.director import INTERNAL_PORT
from rivulet_operator.manifests.secrets import OPERATOR_LINK
from rivulet_operator.model import labels
from rivulet_operator.model.instant import from_text
from rivulet_operator.model.kinds import MADE, NAMESPACE, SECRET, WATCHED
from rivulet_operator.model.node import TURN
from rivulet_operator.observe import Installed, Observer
from rivulet_operator.reconcile import Parts, Reconciler
from rivulet_operator.status import StatusWriter
from rivulet_operator.triggers import Triggers
from rivulet_operator.work import Work

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rivulet_operator.api import Api
    from rivulet_operator.model.facts import Facts
    from rivulet_operator.model.kinds import Json, Kind
    from rivulet_operator.settings import Settings

log = logging.getLogger(__name__)

RESYNC_SECONDS = 30.0
RETRY_SECONDS = 1.0
RELEASE_SECONDS = 3.0
FIRST_WORDS_SECONDS = 3.0
LEASE = "rivulet-operator"
# kopf would make one of the user's name; a container's numeric user has none.
_IDENTITY: Any = "rivulet-operator"


async def run(settings: Settings) -> None:
    """Until a signal comes.

    Raises:
        Misconfigured: no way to the API server.
        LeaseLost: another operator of the region is at work.
        Refused: a right is missing without which nothing works.
    """
    http: Any = await kube.connect()
    api = kube.Api(http)
    lease = Lease(api, settings.own_namespace, f"{LEASE}-{settings.region}", settings.identity, time.time)
    try:
        await _persist(lease.acquire)
        await Operator(api, settings, await _installed(api, settings)).work(lease)
    finally:
        with contextlib.suppress(TimeoutError, Refused):
            await asyncio.wait_for(lease.release(), RELEASE_SECONDS)
        await http.close()


class Operator:
    """The parts of a running operator and what passes between them."""

    def __init__(self, api: Api, settings: Settings, installed: Installed) -> None:
        """`api` is used by all parts."""
        self._api = api
        self._settings = settings
        self._cache = Cache()
        self._todo = Work()
        self._observer = Observer(self._cache, installed)
        self._triggers = Triggers(self._cache, settings.region)
        self._links = Links(self._token, self._news)
        self._heard = asyncio.Event()
        parts = Parts(
            api=api,
            observer=self._observer,
            applier=Applier(api, self._cache, time.monotonic),
            statuses=StatusWriter(api, self._cache),
            work=self._todo,
            clock=time.time,
        )
        self._reconciler = Reconciler(parts, settings.region)

    async def work(self, lease: Lease) -> None:
        """Until a signal comes, or a part fails."""
        await _persist(self._list)
        await self._hear_first()
        tasks = [
            asyncio.create_task(self._watch(), name="watch"),
            asyncio.create_task(lease.keep(), name="lease"),
            asyncio.create_task(self._reconciler.run(lease.sure), name="reconcile"),
            asyncio.create_task(self._resync(), name="resync"),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._links.close()

    async def _hear_first(self) -> None:
        """Where directors are ready, hear them before the first status: an operator that is back says what is."""
        if not any(pod.ready for pod in self._observer.director_pods()):
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._heard.wait(), FIRST_WORDS_SECONDS)

    async def _watch(self) -> None:
        """Kopf's share; it ends on SIGTERM and SIGINT."""
        await kopf.operator(
            registry=watch.registry(self._event, self._reconciler.alive),
            settings=watch.settings(),
            identity=_IDENTITY,
            standalone=True,
            namespaces=[self._settings.namespace],
            liveness_endpoint=f"http://0.0.0.0:{self._settings.probe_port}/healthz",
        )

    def _event(self, deleted: bool, body: Json) -> None:  # noqa: FBT001 - kopf's handlers say it in one line
        if deleted:
            self._cache.drop(body)
            before = None
        else:
            before = self._cache.put(body)
        self._todo.add(self._triggers.changed(body, before))
        self._direct()

    def _news(self, before: Facts, now: Facts) -> None:
        self._observer.facts = now
        if now.fresh:
            self._heard.set()
        self._todo.add(self._triggers.said(before, now))

    def _direct(self) -> None:
        """Whom to be linked with, and what they have to know. A drain lasts until the slot's pod has ended."""
        pods = self._observer.director_pods()
        self._links.follow(frozenset(_url(pod.ip) for pod in pods))
        slots = [slot for slot in self._observer.slots() if slot.role != TURN]
        deadlines = {slot.name: from_text(slot.drain) for slot in slots if slot.drain is not None}
        self._links.order(
            Orders(
                drain={name: deadline for name, deadline in deadlines.items() if deadline is not None},
                expected={slot.name: (slot.role, slot.pool) for slot in slots if not slot.deleting},
            )
        )

    async def _resync(self) -> None:
        """Watches may miss a deletion while they are away; a list does not."""
        while True:
            await asyncio.sleep(RESYNC_SECONDS)
            try:
                await self._list()
            except (NotYet, Refused) as error:
                log.warning("not listed: %s", error)

    async def _list(self) -> None:
        for kind in WATCHED:
            before = self._cache.versions(kind)
            self._cache.listed(kind, await self._listing(kind), before)
        self._todo.add(self._triggers.everything())
        self._direct()

    async def _listing(self, kind: Kind) -> list[Json]:
        return await self._api.list(kind, self._settings.namespace, labels.MADE_BY_US if kind in MADE else "")

    async def _token(self) -> str:
        secret = await self._api.get(SECRET, self._settings.namespace, OPERATOR_LINK)
        if secret is None:
            raise NotYet(f"there is no Secret {OPERATOR_LINK} yet")
        return base64.b64decode(secret["data"]["token"]).decode()


def _url(address: str) -> str:
    host = f"[{address}]" if ":" in address else address
    return f"ws://{host}:{INTERNAL_PORT}/v1/operator"


async def _installed(api: Api, settings: Settings) -> Installed:
    found: dict[str, str] = {}

    async def ask() -> None:
        namespace = await api.get(NAMESPACE, "", "kube-system")
        found["cluster"] = namespace["metadata"]["uid"] if namespace else settings.region

    await _persist(ask)
    images = Images(media=settings.media_image, coturn=settings.coturn_image)
    return Installed(region=settings.region, namespace=settings.namespace, images=images, cluster=found["cluster"])


async def _persist(attempt: Callable[[], Awaitable[None]]) -> None:
    """Try until it works: at the start the API server may not answer yet, or our kinds may not be installed yet."""
    while True:
        try:
            await attempt()
        except NotYet as error:
            log.warning("not yet: %s", error)
        except Refused as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            log.warning("not yet: are the CRDs installed? %s", error)
        else:
            return
        await asyncio.sleep(RETRY_SECONDS)
