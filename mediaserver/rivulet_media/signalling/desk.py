"""What every handler needs."""

from collections.abc import Callable
from dataclasses import dataclass

from rivulet_media._engine import Engine
from rivulet_media.admission import Admission
from rivulet_media.closing import Closing
from rivulet_media.links_out import LinksOut
from rivulet_media.node_table import NodeTable
from rivulet_media.publishing import Publishing
from rivulet_media.relaying import Relaying
from rivulet_media.sessions import Sessions
from rivulet_media.viewer_events import ViewerEvents
from rivulet_media.wire import DirectorState


@dataclass(frozen=True)
class Desk:
    """The node, as its HTTP handlers see it. `clock`: the event loop's."""

    engine: Engine
    join_token: str
    table: NodeTable
    admission: Admission
    sessions: Sessions
    closing: Closing
    events: ViewerEvents
    publishing: Publishing
    relaying: Relaying
    links: LinksOut
    directors: Callable[[], tuple[DirectorState, ...]]
    alive: Callable[[], bool]
    metrics: Callable[[], bytes]
    clock: Callable[[], float]
