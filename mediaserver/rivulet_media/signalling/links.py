"""`/links`: other nodes that pull streams from this one, many by one session (docs/contract.md §5.2)."""

import contextlib
from typing import TypeVar

from aiohttp import web

from rivulet_media._engine import EngineError, UnknownSessionError, UsedSsrcError
from rivulet_media.errors import NotYetError, RefusedError
from rivulet_media.identity import relay_candidates
from rivulet_media.link_words import (
    LegAnswer,
    LegWish,
    LinkAnswer,
    LinkWish,
    end_from_engine,
    end_to_engine,
    wish_to_engine,
)
from rivulet_media.sessions import Session
from rivulet_media.signalling.desk import Desk
from rivulet_media.signalling.relay import RelayOut, check_transport, puller_of
from rivulet_media.signalling.requests import bearer, check_token, read_text, refusal_of
from rivulet_media.table import NodeEntry, StreamEntry
from rivulet_media.tracks import named, to_engine
from rivulet_media.wire import parse_body, render_body
from rivulet_media.wire_codec import WireError

JSON = "application/json"

T = TypeVar("T")


class Links:
    """Handlers of the endpoints."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._relays = RelayOut(desk)

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Register the routes."""
        router.add_post("/links", self.open)
        router.add_get("/links/{link}", self.look, allow_head=False)
        router.add_post("/links/{link}/legs", self.pull)

    async def open(self, request: web.Request) -> web.Response:
        """POST: a node opens a link, with its first leg."""
        node, puller = self._admit(request)
        if not self._desk.links.taken:
            raise RefusedError("not-found", f"{node.node} has no links (RIVULET_LINK_SECONDS=0); pull by /relay/STREAM")
        wish = await _body(request, LinkWish)
        entry = self._wished(wish.leg, node)
        cluster = request.headers.get("Rivulet-Cluster", "")
        try:
            theirs = end_to_engine(wish.end)
            link, ours = self._desk.engine.accept_link(theirs, candidates=relay_candidates(node, cluster))
        except ValueError as error:
            raise RefusedError("bad-request", f"end: {error}") from error
        self._desk.links.add(link, puller)
        with contextlib.ExitStack() as undo:
            undo.callback(self._close, link)
            leg = self._begin(link, wish.leg, entry, puller)
            undo.pop_all()
        return _answer(LinkAnswer(link=link, end=end_from_engine(ours), leg=leg))

    async def pull(self, request: web.Request) -> web.Response:
        """POST: one more leg."""
        node, puller = self._admit(request)
        wish = await _body(request, LegWish)
        link = self._link(request, puller)
        entry = self._wished(wish, node)
        return _answer(self._begin(link, wish, entry, puller))

    async def look(self, request: web.Request) -> web.Response:
        """GET: whether the link stands. Pullers ask now and then, which keeps their connection warm."""
        check_token(bearer(request), self._desk.join_token, "a link")
        self._link(request, puller_of(request))
        return web.Response(text="{}", content_type=JSON)

    def _close(self, link: str) -> None:
        self._desk.links.closed(link)
        with contextlib.suppress(UnknownSessionError):
            self._desk.engine.close(link)

    def _admit(self, request: web.Request) -> tuple[NodeEntry, str]:
        check_token(bearer(request), self._desk.join_token, "a link")
        node = self._desk.admission.check()
        if node.role == "edge":
            raise RefusedError("wrong-role", f"{node.node} is an edge: a leaf, never a parent")
        return node, puller_of(request)

    def _link(self, request: web.Request, puller: str) -> str:
        link = request.match_info["link"]
        if not self._desk.links.is_of(link, puller):
            raise RefusedError("no-link", f"{puller} has no such link here; open another")
        return link

    def _wished(self, wish: LegWish, node: NodeEntry) -> StreamEntry:
        entry = self._relays.own(wish.stream, node.ref)
        if entry.incarnation != wish.incarnation:
            raise NotYetError("not-live", f"{wish.stream} is now publication {entry.incarnation}", retry_after=1)
        check_transport(entry, by_udp=True)
        return entry

    def _begin(self, link: str, wish: LegWish, entry: StreamEntry, puller: str) -> LegAnswer:
        desk = self._desk
        desk.admission.check()  # the body took its time
        try:
            leg = desk.engine.serve_leg(link, wish.stream, to_engine(entry.tracks), wish_to_engine(wish))
        except ValueError as error:
            raise RefusedError("bad-request", f"leg: {error}") from error
        except UnknownSessionError as error:
            raise RefusedError("no-link", "this link has just ended; open another") from error
        except UsedSsrcError as error:
            raise RefusedError("ssrc-used", str(error)) from error
        except EngineError as error:
            raise refusal_of(error, published=named(entry.tracks)) from error
        self._relays.replace_earlier(wish.stream, puller)
        desk.sessions.add(Session(leg, "relay_out", wish.stream, peer=puller))
        return LegAnswer(session=leg, stream=entry)


async def _body(request: web.Request, kind: type[T]) -> T:
    try:
        return parse_body(kind, await read_text(request, JSON))
    except WireError as error:
        raise RefusedError("bad-request", str(error)) from error


def _answer(value: LinkAnswer | LegAnswer) -> web.Response:
    return web.Response(status=201, text=render_body(value), content_type=JSON)
