"""Whether this node takes something new: by its drain, its seats, and whether it has joined."""

from rivulet_media.drain import Drain
from rivulet_media.errors import NotYetError
from rivulet_media.node_table import NodeTable
from rivulet_media.sessions import Sessions
from rivulet_media.table import NodeEntry, NodeState

# Half of what the engine takes at once: one client leaves room for the others.
MOST_PENDING = 250


class Admission:
    """Asked before every new session."""

    def __init__(self, sessions: Sessions, table: NodeTable, capacity_viewers: int) -> None:
        self.drain = Drain()
        self._sessions = sessions
        self._table = table
        self._capacity = capacity_viewers

    @property
    def state(self) -> NodeState:
        """As it stands in this node's entry."""
        if self._table.entry is None:
            return "waiting"
        if self.drain.draining:
            return "draining"
        return "full" if self._full else "up"

    @property
    def empty(self) -> bool:
        """Whether nobody would notice this node's end."""
        return not self._sessions.all()

    def check(self) -> NodeEntry:
        """This node's entry. NotYetError before the join and while draining."""
        if self._table.entry is None:
            raise NotYetError("settling", "this node has not joined its region yet: no director has answered")
        if self.drain.draining:
            raise NotYetError("no-node", "this node is being drained and takes nothing new; ask another one")
        return self._table.entry

    def check_client(self, client: str) -> NodeEntry:
        """The same for one more session of a client, of whose sessions only so many may be unfinished at once (S5)."""
        if client and self._sessions.pending(client) >= MOST_PENDING:
            detail = f"{MOST_PENDING} sessions of this address are still being set up; finish them first"
            raise NotYetError("too-many-requests", detail)
        return self.check()

    def check_viewer(self, client: str = "") -> NodeEntry:
        """The same for one more viewer."""
        entry = self.check_client(client)
        if self._full:
            raise NotYetError("full", f"{self._capacity} viewers are this node's limit; ask another one")
        return entry

    @property
    def _full(self) -> bool:
        return self._sessions.count("viewer") >= self._capacity
