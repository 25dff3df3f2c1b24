"""Names, labels and owners that all objects of ours share."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from rivulet_operator.model import labels

if TYPE_CHECKING:
    from rivulet_operator.model.kinds import Json, Kind
    from rivulet_operator.model.owner import Identity


def common_labels(component: str, region: str) -> Json:
    """Labels of everything that is made."""
    return {
        labels.NAME: "rivulet",
        labels.COMPONENT: component,
        labels.MANAGED_BY: labels.OPERATOR,
        labels.REGION: region,
    }


def manifest(kind: Kind, name: str, owner: Identity, tags: Json, **fields: Any) -> Json:
    """An object of `kind` beside its owner; `fields` are its top-level keys."""
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {
            "name": name,
            "namespace": owner.namespace,
            "labels": tags,
            "ownerReferences": [owner.reference()],
        },
        **fields,
    }


def canonical(value: Any) -> str:
    """JSON that is equal when the values are."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def revision(inputs: Any) -> str:
    """12 hex digits that change when the user-visible inputs do."""
    return hashlib.sha256(canonical(inputs).encode()).hexdigest()[:12]
