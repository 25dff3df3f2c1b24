"""Relays pulled by links: one ICE and DTLS session to each parent, kept, for all its streams (docs/contract.md §5.2).

`LinksIn` decides which link a relay goes by and how long each is kept; here they are opened, used and closed. A parent
that has no links is asked by WHEP, each stream for itself; so is one of a stream that goes by TCP.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rivulet_media._engine import EngineError, UnknownSessionError
from rivulet_media.alarm import Alarm
from rivulet_media.link_asks import LinkAsks, LinkWornError, NoLinkError, NoLinksError
from rivulet_media.link_words import LegAnswer, LegWish, LinkEnd, end_from_engine, end_to_engine, wish_from_engine
from rivulet_media.links_in import LegReading, LinksIn
from rivulet_media.route import Parent
from rivulet_media.table import Transport
from rivulet_media.tracks import to_engine
from rivulet_media.upstream import ParentLink, StreamRefusedError, Subscription, UpstreamError
from rivulet_media.whep_pull import WhepPull

if TYPE_CHECKING:
    from rivulet_media import _engine

log = logging.getLogger(__name__)

# Connections that nobody uses are closed after 15 s, and an ask on a cold one costs a round trip more.
WARM_SECONDS = 10.0


class LinkPull:
    """Opens relays by links. `clock`: the event loop's."""

    def __init__(self, pull: WhepPull, links: LinksIn, clock: Callable[[], float]) -> None:
        self.pull = pull
        self._links = links
        self._clock = clock
        self._open_links: dict[str, OpenLink] = {}
        self._alarm = Alarm(self._close_unused)

    @property
    def count(self) -> int:
        """How many there are now."""
        return self._links.count

    def open(self, parent: Parent) -> ParentLink:
        """The way to this parent."""
        if parent.entry.transport == "tcp" or not self._links.has_links(parent.node.ref, self._clock()):
            return self.pull.open(parent)
        return LegWay(self, parent)

    def begin_leg(self, parent: Parent) -> "Leg":
        """A leg in the engine, on a link that is open or to be opened. UpstreamError when the engine cannot."""
        entry = parent.entry
        try:
            way = self._link_to(parent)
            try:
                session, wish = self._pull_leg(way, parent)
            except UnknownSessionError:  # the engine has ended it, and we have yet to hear of that
                self.drop(way.link)
                way = self._link_to(parent)
                session, wish = self._pull_leg(way, parent)
        except EngineError as error:
            raise UpstreamError(str(error)) from error
        self._links.leg_began(way.link, session)
        self._alarm.set(self._links.deadline)
        return Leg(self, way, session, wish_from_engine(entry.stream, entry.incarnation, wish))

    def left(self, leg: "Leg") -> None:
        """The relay is over."""
        self._links.leg_left(leg.link.link, leg.session, self._clock())
        self._alarm.set(self._links.deadline)

    def drop(self, link: str) -> None:
        """It is of no use any more: end it, and all that goes by it."""
        way = self._open_links.pop(link, None)
        self._links.gone(link)
        if way is not None:
            way.stop()
            with contextlib.suppress(UnknownSessionError):
                self.pull.engine.close(link)
            log.info("link closes", extra={"link": link, "parent": way.parent.node.ref})

    def worn(self, link: str) -> None:
        """New legs get another link."""
        self._links.worn(link)

    def without_links(self, parent: Parent) -> None:
        """Ask this parent by WHEP for a while."""
        log.info("relays go without a link", extra={"parent": parent.node.ref})
        self._links.without_links(parent.node.ref, self._clock())

    def read(self, stats: "_engine.EngineStats") -> None:
        """How much comes by each link; call at a steady pace."""
        sessions = stats["sessions"]
        legs = {each["session"]: LegReading(each["link"], each["bytes"]) for each in sessions if each["link"]}
        self._links.read(legs, self._clock())
        self._links.heard(_silence(stats), self._clock())

    # The engine's events; False: the session is no link of ours

    def connected(self, session: str) -> bool:
        """Keys are in use."""
        way = self._open_links.get(session)
        if way is not None:
            way.connected = True
        return way is not None

    def closed(self, session: str, reason: str) -> bool:
        """The engine has ended it, and its legs."""
        way = self._open_links.get(session)
        if way is None:
            return False
        if not way.connected:
            self.without_links(way.parent)
        log.info("link ended", extra={"link": session, "parent": way.parent.node.ref, "reason": reason})
        self.drop(session)
        return True

    # Inside

    def _link_to(self, parent: Parent) -> "OpenLink":
        now = self._clock()
        if self._links.in_doubt(parent.node.ref, now):
            self._links.heard(_silence(self.pull.engine.stats()), now)
        known = self._links.choose(parent.node.ref, now)
        if known is not None:
            return self._open_links[known]
        link, end = self.pull.engine.open_link()
        self._links.opened(link, parent.node.ref, now)
        self._open_links[link] = OpenLink(self, parent, link, end_from_engine(end))
        log.info("link opens", extra={"link": link, "parent": parent.node.ref})
        return self._open_links[link]

    def _pull_leg(self, way: "OpenLink", parent: Parent) -> tuple[str, "_engine.LegWish"]:
        entry = parent.entry
        return self.pull.engine.pull_leg(way.link, entry.stream, entry.incarnation, to_engine(entry.tracks))

    def _close_unused(self) -> None:
        for link in self._links.due(self._clock()):
            self.drop(link)
        self._alarm.set(self._links.deadline)


def _silence(stats: "_engine.EngineStats") -> dict[str, float]:
    """How long (s) each link has heard nothing of its peer."""
    links = (each for each in stats["sessions"] if each["kind"] == "link_in")
    return {each["session"]: (each["media_age_ms"] or 0) / 1000 for each in links}


@dataclass(frozen=True)
class LegWay:
    """A parent that is pulled from by links."""

    links: LinkPull
    parent: Parent

    def subscribe(self) -> Subscription:
        """A leg that the parent has yet to be asked for."""
        return self.links.begin_leg(self.parent)


class OpenLink:
    """One link: opened by its first leg, then kept warm."""

    def __init__(self, links: LinkPull, parent: Parent, link: str, end: LinkEnd) -> None:
        self.links = links
        self.parent = parent
        self.link = link
        self.asks = LinkAsks(links.pull, parent)
        self.connected = False
        self._end = end
        self._opening = asyncio.Lock()
        self._waiting = 0
        self._over = False
        self._remote = ""
        self._warming: asyncio.Task[None] | None = None

    async def ask(self, wish: LegWish) -> LegAnswer:
        """Ask for a leg; the first ask opens the link, or the next if that one's stream is refused. UpstreamError."""
        if not self._remote:
            answer = await self._ask_in_turn(wish)
            if answer is not None:
                return answer
        try:
            return await self.asks.leg(self._remote, wish)
        except NoLinkError:
            self.links.drop(self.link)
            raise
        except LinkWornError:
            self.links.worn(self.link)
            raise

    def stop(self) -> None:
        """Ask no more."""
        self._over = True
        if self._warming is not None:
            self._warming.cancel()

    async def _ask_in_turn(self, wish: LegWish) -> LegAnswer | None:
        """Open the link; None: another ask has."""
        self._waiting += 1
        try:
            async with self._opening:
                if self._over:
                    raise UpstreamError("the link has ended before it was open")
                return None if self._remote else await self._open(wish)
        finally:
            self._waiting -= 1

    async def _open(self, wish: LegWish) -> LegAnswer:
        try:
            answer = await self.asks.open(self._end, wish)
            self.links.pull.engine.answer_link(self.link, end_to_engine(answer.end))
        except StreamRefusedError:
            if self._waiting == 1:
                self.links.drop(self.link)
            raise
        except UpstreamError as error:
            if isinstance(error, NoLinksError):
                self.links.without_links(self.parent)
            self.links.drop(self.link)
            raise
        except (EngineError, ValueError) as error:
            self.links.drop(self.link)
            raise UpstreamError(f"the parent's end of the link is of no use: {error}") from error
        self._remote = answer.link
        self._warming = asyncio.create_task(self._keep_warm())
        return answer.leg

    async def _keep_warm(self) -> None:
        while True:
            await asyncio.sleep(WARM_SECONDS)
            try:
                await self.asks.look(self._remote)
            except NoLinkError:
                self._warming = None  # this task, which goes on to its end
                self.links.drop(self.link)
                return
            except UpstreamError as error:  # whether media comes is another matter: ICE decides
                log.debug("link is not warm: %s", error)


class Leg:
    """One subscription: a relay on a link."""

    transport: Transport = "udp"

    def __init__(self, links: LinkPull, link: OpenLink, session: str, wish: LegWish) -> None:
        self.session = session
        self.link = link
        self._links = links
        self._wish = wish
        self._remote: str | None = None
        self._left = False

    async def answered(self) -> None:
        """Ask the parent; its media may come before its answer."""
        answer = await self.link.ask(self._wish)
        self._remote = answer.session
        if self._left:
            await self._delete()
            return
        try:
            self._links.pull.engine.answer_leg(self.session)
        except EngineError as error:
            raise UpstreamError(f"the relay has ended: {error}") from error

    async def leave(self) -> None:
        """Close here, then there."""
        self._left = True
        with contextlib.suppress(UnknownSessionError):
            self._links.pull.engine.close(self.session)
        self._links.left(self)
        await self._delete()

    async def _delete(self) -> None:
        session, self._remote = self._remote, None
        if session is not None:
            await self.link.asks.delete(session)
