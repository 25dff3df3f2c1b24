"""A Stream for a name that nobody declared."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from rivulet_operator.manifests.metadata import common_labels, manifest
from rivulet_operator.model import labels
from rivulet_operator.model.kinds import STREAM

if TYPE_CHECKING:
    from rivulet_operator.model.kinds import Json
    from rivulet_operator.model.region import Region


def auto_name(stream: str) -> str:
    """An object's name for any published name: `auto-` and 12 hex digits."""
    return f"auto-{hashlib.sha256(stream.encode()).hexdigest()[:12]}"


def auto_stream(region: Region, stream: str) -> Json:
    """Its manifest; the CDNRegion owns it."""
    tags = {**common_labels("origin", region.name), labels.AUTO: "true"}
    spec = {"name": stream, "region": region.name, "source": {"publish": {}}}
    return manifest(STREAM, auto_name(stream), region.identity, tags, spec=spec)
