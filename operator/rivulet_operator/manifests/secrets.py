"""Secrets that the operator makes once and never changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rivulet_operator.manifests.metadata import common_labels, manifest
from rivulet_operator.model.kinds import SECRET

if TYPE_CHECKING:
    from rivulet_operator.model.kinds import Json
    from rivulet_operator.model.region import Region

JOIN = "rivulet-join"
OPERATOR_LINK = "rivulet-operator-link"
TURN = "rivulet-turn"


@dataclass(frozen=True)
class WantedSecret:
    """A Secret that must exist with something unguessable under `key`; what it is, nobody decides."""

    name: str
    key: str


WANTED = (WantedSecret(JOIN, "token"), WantedSecret(OPERATOR_LINK, "token"), WantedSecret(TURN, "secret"))


def mesh_secret(peer: str) -> str:
    """The user's Secret with the token of this region's mesh links with `peer`."""
    return f"mesh-{peer}"


def secret(wanted: WantedSecret, region: Region, value: str) -> Json:
    """Its manifest with the value drawn for it."""
    tags = common_labels("director", region.name)
    return manifest(SECRET, wanted.name, region.identity, tags, type="Opaque", stringData={wanted.key: value})
