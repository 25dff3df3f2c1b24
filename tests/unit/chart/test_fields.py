import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from rivulet_chart.render import ROOT

TEXT = (ROOT / "docs" / "resources.md").read_text()
# As in a Pod: Kubernetes explains what they hold.
OPAQUE = {"resources", "tolerations", "nodeSelector", "imagePullSecrets", "conditions"}


def fields(schema: dict[str, Any], above: str) -> Iterator[str]:
    inner = schema.get("items", schema)
    for name, child in inner.get("properties", {}).items():
        yield f"{above}.{name}"
        if name not in OPAQUE:
            yield from fields(child, f"{above}.{name}")


def all_fields() -> Iterator[str]:
    for path in sorted((ROOT / "crds").glob("*.yaml")):
        definition = yaml.safe_load(path.read_text())
        schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        for part in ("spec", "status"):
            yield from fields(schema["properties"][part], f"{definition['spec']['names']['kind']}.{part}")


@pytest.mark.parametrize("field", list(all_fields()))
def test_every_field_stands_in_the_list_of_fields(field: str) -> None:
    section = TEXT.partition(f"\n## {field.partition('.')[0]}")[2].partition("\n## ")[0]
    assert re.search(rf"\b{re.escape(field.rpartition('.')[2])}\b", section)
