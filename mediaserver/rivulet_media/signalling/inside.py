"""What only the inside asks for: the table, probes, metrics."""

from dataclasses import replace

from aiohttp import web

from rivulet_media.errors import NotYetError
from rivulet_media.signalling.desk import Desk
from rivulet_media.wire import render_body, table_body


class Inside:
    """Handlers of the rest."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Register the routes."""
        router.add_get("/v1/table", self.table)
        router.add_get("/healthz", self.healthy)
        router.add_get("/readyz", self.ready)
        router.add_get("/metrics", self.metrics)

    async def table(self, _: web.Request) -> web.Response:
        """This node's own table (docs/contract.md §8.4)."""
        desk = self._desk
        entry = desk.table.entry
        body = table_body(desk.table.table, me=desk.table.ref, state=desk.admission.state, directors=desk.directors())
        if entry is not None:
            body = replace(body, region=entry.region)
        return web.Response(text=render_body(body), content_type="application/json")

    async def healthy(self, _: web.Request) -> web.Response:
        """200 while the loop and the engine's thread turn."""
        if not self._desk.alive():
            raise NotYetError("no-node", "the engine's thread does not turn; this process has to be started again")
        return web.Response(text="ok")

    async def ready(self, _: web.Request) -> web.Response:
        """200: the engine is bound, or this would not answer."""
        return web.Response(text="ok")

    async def metrics(self, _: web.Request) -> web.Response:
        """Prometheus text."""
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=self._desk.metrics(), headers=headers)
