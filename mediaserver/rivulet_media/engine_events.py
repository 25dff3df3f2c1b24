"""The engine's events, each handed to whom it concerns. Woken by the engine's eventfd, in batches."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rivulet_media._engine import Engine
from rivulet_media.closing import Closing
from rivulet_media.links import Links
from rivulet_media.publishing import Publishing
from rivulet_media.pulling import Pulling
from rivulet_media.relaying import Relaying
from rivulet_media.sessions import Sessions
from rivulet_media.tracks import from_engine
from rivulet_media.viewer_events import ViewerEvents

if TYPE_CHECKING:
    from rivulet_media._engine import Event


@dataclass(frozen=True)
class Opened:
    """Whom sessions concern that this node opens, with other nodes and servers."""

    relaying: Relaying
    links: Links
    pulling: Pulling


class EngineEvents:
    """Reads `engine`'s events on the running loop, from `start` to `stop`."""

    def __init__(
        self,
        engine: Engine,
        sessions: Sessions,
        closing: Closing,
        publishing: Publishing,
        viewers: ViewerEvents,
        opened: Opened,
    ) -> None:
        self._engine = engine
        self._sessions = sessions
        self._closing = closing
        self._publishing = publishing
        self._relaying = opened.relaying
        self._viewers = viewers
        self._links = opened.links
        self._pulling = opened.pulling

    def start(self) -> None:
        """Listen to the eventfd."""
        asyncio.get_running_loop().add_reader(self._engine.event_fd(), self._drain)

    def stop(self) -> None:
        """Listen no longer; call before the engine is shut down."""
        asyncio.get_running_loop().remove_reader(self._engine.event_fd())

    def _drain(self) -> None:
        for event in self._engine.drain_events():
            self.take(event)

    def take(self, event: "Event") -> None:
        """One event. A session that has ended meanwhile is nobody's business any more."""
        session = event["session"]
        match event["type"]:
            case "connected":
                self._sessions.connected(session)
                self._relaying.connected(session)
                self._links.connected(session)
            case "closed":
                reason = event.get("reason", "failed")
                if not self._relaying.closed(session, reason) and not self._links.closed(session, reason):
                    self._closing.lost(session, reason)
            case "layer":
                self._gets_layer(session, event.get("layer"))
            case "active" | "silent" | "tracks":
                self._of_source(event)

    def _gets_layer(self, session_id: str, rid: str | None) -> None:
        session = self._sessions.get(session_id)
        if session is not None and session.kind == "viewer":
            session.layer = rid
            self._viewers.layers_changed(session)

    def _of_source(self, event: "Event") -> None:
        session = self._sessions.get(event["session"])
        match event["type"]:
            case "active":
                if not self._relaying.active(event["session"]) and session is not None:
                    self._publishing.active(session)
                    self._pulling.active(session.id)
            case "silent":
                if not self._relaying.silent(event["session"]) and session is not None:
                    self._publishing.silent(session)
                    self._pulling.silent(session.id)
            case _:
                if session is not None and session.kind == "publisher":
                    self._publishing.described(session, from_engine(event.get("tracks", [])))
