"""What every object of ours has in its metadata."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rivulet_operator.model.kinds import Json, Kind


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A custom resource as its parts are told apart: who it is and which change of it was seen."""

    kind: Kind
    namespace: str
    name: str
    uid: str
    generation: int
    created: str

    def reference(self) -> Json:
        """As owner: Kubernetes removes what is owned when the owner goes; nothing blocks that."""
        return {
            "apiVersion": self.kind.api_version,
            "kind": self.kind.kind,
            "name": self.name,
            "uid": self.uid,
            "controller": True,
            "blockOwnerDeletion": False,
        }


def identity(kind: Kind, body: Json) -> Identity:
    """Who an object from the API server is."""
    metadata = body["metadata"]
    return Identity(
        kind=kind,
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        uid=metadata["uid"],
        generation=int(metadata.get("generation", 1)),
        created=metadata.get("creationTimestamp") or "",
    )
