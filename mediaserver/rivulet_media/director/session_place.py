"""A session of any region, as its URL names it (docs/contract.md §4)."""

from dataclasses import dataclass
from typing import Literal

SessionPart = Literal["", "events", "layer"]


@dataclass(frozen=True)
class SessionPlace:
    """A session as its URL names it, or its events or layer."""

    slot: str
    incarnation: str
    session: str
    part: SessionPart = ""

    @property
    def node(self) -> str:
        """The node that has it."""
        return f"{self.slot}/{self.incarnation}"

    @property
    def path(self) -> str:
        """The same path on every listener but for what stands before it."""
        return f"session/{self.node}/{self.session}" + (f"/{self.part}" if self.part else "")
