"""How sessions that others opened are ended by us: told by the engine, remembered with the reason."""

import contextlib
import logging
from collections.abc import Callable

from rivulet_media._engine import Engine, UnknownSessionError
from rivulet_media.sessions import Kind, Sessions

log = logging.getLogger(__name__)


class Closing:
    """The one place where a session ends. `clock`: steadily growing seconds."""

    def __init__(self, engine: Engine, sessions: Sessions, clock: Callable[[], float]) -> None:
        self._engine = engine
        self._sessions = sessions
        self._clock = clock

    def close(self, session: str, reason: str) -> bool:
        """Tell the peer and remember why. False: it had ended before."""
        if not self.lost(session, reason):
            return False
        with contextlib.suppress(UnknownSessionError):
            self._engine.close(session)
        return True

    def lost(self, session: str, reason: str) -> bool:
        """The engine has ended it. False: we had before."""
        ended = self._sessions.end(session, reason, self._clock())
        if ended is None:
            return False
        extra = {"stream": ended.stream, "session": session, "kind": ended.kind, "reason": reason}
        log.info("session ended", extra=extra)
        return True

    def close_stream(self, stream: str, reason: str) -> None:
        """End all that receive a stream here."""
        for session in self._sessions.of_stream(stream, "viewer", "relay_out"):
            self.close(session.id, reason)

    def close_all(self, reason: str, *kinds: Kind) -> None:
        """End all sessions of these kinds."""
        for session in self._sessions.all():
            if session.kind in kinds:
                self.close(session.id, reason)
