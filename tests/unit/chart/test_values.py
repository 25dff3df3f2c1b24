import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml

from rivulet_chart.render import CHART, ROOT

TEXT = (ROOT / CHART / "values.yaml").read_text()
VALUES: dict[str, Any] = yaml.safe_load(TEXT)
SCHEMA: dict[str, Any] = json.loads((ROOT / CHART / "values.schema.json").read_text())
# As in a Pod: what they hold is Kubernetes' to explain.
OPAQUE = {("resources",), ("nodeSelector",), ("tolerations",)}
# Of an image, one explanation is enough for all three.
EXPLAINED_ONCE = {"repository", "tag", "digest"}


def paths(values: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in values.items():
        yield (*above, key)
        if isinstance(value, dict) and (*above, key) not in OPAQUE:
            yield from paths(value, (*above, key))


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    return SCHEMA["definitions"][reference.rpartition("/")[2]] if reference else schema


def schema_paths(schema: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, child in schema.get("properties", {}).items():
        path = (*above, key)
        yield path
        if path not in OPAQUE:
            yield from schema_paths(resolved(child), path)


def comments() -> dict[tuple[str, ...], str]:
    """The comment right above each key."""
    found: dict[tuple[str, ...], str] = {}
    above: list[str] = []
    comment = ""
    for line in TEXT.splitlines():
        if match := re.match(r"( *)([A-Za-z]+):", line):
            above = [*above[: len(match[1]) // 2], match[2]]
            found[tuple(above)] = comment
            comment = ""
        elif line.lstrip().startswith("#"):
            comment += line.strip("# ")
        else:
            comment = ""
    return found


def test_values_and_schema_hold_the_same_settings() -> None:
    assert set(schema_paths(SCHEMA)) - {("global",)} == set(paths(VALUES))


@pytest.mark.parametrize("path", list(paths(VALUES)), ids=".".join)
def test_every_setting_is_explained_above_it(path: tuple[str, ...]) -> None:
    assert comments()[path] or (path[0] == "images" and path[-1] in EXPLAINED_ONCE)


def test_the_defaults_meet_the_schema() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.validate(VALUES, SCHEMA)


@pytest.mark.parametrize(
    "wrong",
    [
        {"regoin": "eu"},
        {"region": "EU"},
        {"region": "a" * 33},
        {"logLevel": "loud"},
        {"images": {**VALUES["images"], "media": {"repository": "m", "pullPolicy": "Always"}}},
        {"images": {**VALUES["images"], "media": {"repository": "m", "digest": "sha256:1"}}},
        {"cdn": {"namespace": "Not_A_Name", "createNamespace": True}},
        {"crds": {"install": "yes"}},
    ],
    ids=str,
)
def test_a_setting_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**VALUES, **wrong}, SCHEMA)
