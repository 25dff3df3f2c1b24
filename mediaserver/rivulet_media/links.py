"""The links of this node: those that it has opened to parents, and those that other nodes have opened here."""

from dataclasses import dataclass

from rivulet_media.link_pull import LinkPull
from rivulet_media.links_out import LinksOut


@dataclass(frozen=True)
class Links:
    """Hears of the engine's sessions; those that are no links are none of its business."""

    inward: LinkPull
    outward: LinksOut

    def connected(self, session: str) -> None:
        """Keys are in use."""
        self.inward.connected(session)

    def closed(self, session: str, reason: str) -> bool:
        """It has ended. False: it was no link."""
        return self.inward.closed(session, reason) or self.outward.closed(session)
