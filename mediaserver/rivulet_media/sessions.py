"""Sessions of this node: the living, and for ten minutes why the others ended. The time comes in.

Invariant: a session ends once; the first reason stands.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["publisher", "viewer", "relay_out"]

REMEMBERED_SECONDS = 600.0
REMEMBERED_MOST = 10_000


@dataclass
class Session:
    """A session that others opened here. `peer`: subject of a publisher, node of a relay; `client`: its address.

    Of a viewer: `chosen_layer`, the rid that it asked for (None: the best that fits); `layer`, the one that it gets.
    """

    id: str
    kind: Kind
    stream: str
    peer: str = ""
    client: str = ""
    restarts: int = field(default=0, compare=False)
    chosen_layer: str | None = field(default=None, compare=False)
    layer: str | None = field(default=None, compare=False)

    @property
    def etag(self) -> str:
        """Strong entity tag of the ICE session: a new one after every restart."""
        return f'"{self.id}-{self.restarts}"'


@dataclass(frozen=True)
class Ended:
    """What is remembered of a session."""

    session: Session
    reason: str
    when: float


Listener = Callable[[Session, str], None]


class Sessions:
    """All sessions by id; those who listen hear of every end.

    What every join asks for is counted as sessions come and go: thousands may live.
    """

    def __init__(self) -> None:
        self._living: dict[str, Session] = {}
        self._kinds: Counter[Kind] = Counter()
        self._viewers: Counter[str] = Counter()  # by stream; no stream that has none
        self._pending: dict[str, str] = {}  # not connected yet → client
        self._ended: OrderedDict[str, Ended] = OrderedDict()
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Call `listener(session, reason)` after every end."""
        self._listeners.append(listener)

    def add(self, session: Session) -> None:
        """A session lives."""
        self._living[session.id] = session
        self._pending[session.id] = session.client
        self._count(session, 1)

    def connected(self, session_id: str) -> None:
        """Its handshake is done."""
        self._pending.pop(session_id, None)

    def pending(self, client: str) -> int:
        """How many of a client's sessions are not connected yet."""
        return sum(each == client for each in self._pending.values())

    def get(self, session_id: str) -> Session | None:
        """The living session with this id."""
        return self._living.get(session_id)

    def ended(self, session_id: str, now: float) -> Ended | None:
        """What is remembered of a session that has ended."""
        self._forget_old(now)
        return self._ended.get(session_id)

    def end(self, session_id: str, reason: str, now: float) -> Session | None:
        """It lives no longer; None when it did not live."""
        self._pending.pop(session_id, None)
        session = self._living.pop(session_id, None)
        if session is None:
            return None
        self._count(session, -1)
        self._ended[session_id] = Ended(session, reason, now)
        self._forget_old(now)
        for listener in self._listeners:
            listener(session, reason)
        return session

    def of_stream(self, stream: str, *kinds: Kind) -> tuple[Session, ...]:
        """Living sessions of these kinds on a stream."""
        return tuple(item for item in self._living.values() if item.stream == stream and item.kind in kinds)

    def all(self) -> tuple[Session, ...]:
        """All that live."""
        return tuple(self._living.values())

    def count(self, kind: Kind) -> int:
        """How many of that kind live."""
        return self._kinds[kind]

    def viewers(self, stream: str) -> int:
        """How many watch this stream."""
        return self._viewers[stream]

    def viewers_by_stream(self) -> dict[str, int]:
        """Viewers of every stream that has any."""
        return dict(self._viewers)

    def _count(self, session: Session, change: int) -> None:
        self._kinds[session.kind] += change
        if session.kind == "viewer":
            self._viewers[session.stream] += change
            if not self._viewers[session.stream]:
                del self._viewers[session.stream]

    def _forget_old(self, now: float) -> None:
        while self._ended:
            oldest = next(iter(self._ended.values()))
            if len(self._ended) <= REMEMBERED_MOST and now - oldest.when < REMEMBERED_SECONDS:
                return
            self._ended.popitem(last=False)
