from typing import Any

import pytest

from rivulet_chart.schema_changes import definition_changes, schema_changes

Schema = dict[str, Any]


def fields(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties}


def rules(*texts: str) -> Schema:
    return {"x-kubernetes-validations": [{"rule": text, "message": f"do {text}"} for text in texts]}


TEXT: Schema = {"type": "string"}
REFUSED: dict[str, tuple[Schema, Schema, list[str]]] = {
    "field removed": (fields(a=TEXT, b=TEXT), fields(a=TEXT), ["x.b: field removed"]),
    "field removed deep inside": (
        fields(a={"type": "array", "items": fields(b=TEXT)}),
        fields(a={"type": "array", "items": fields()}),
        ["x.a[].b: field removed"],
    ),
    "type changed": (
        fields(a=TEXT),
        fields(a={"type": "integer"}),
        ["x.a: type changed from string to integer"],
    ),
    "default changed": (
        {"default": 10},
        {"default": 20},
        ["x: default changed from 10 to 20"],
    ),
    "default removed": ({"default": 10}, {}, ["x: default changed from 10 to none"]),
    "default added to a field that was there": ({}, {"default": False}, ["x: default changed from none to False"]),
    "required now": (
        fields(a=TEXT),
        {**fields(a=TEXT), "required": ["a"]},
        ["x.a: required now"],
    ),
    "value removed": ({"enum": ["a", "b"]}, {"enum": ["a"]}, ["x: value b removed"]),
    "values listed": (TEXT, {**TEXT, "enum": ["a"]}, ["x: only some values are taken now"]),
    "minimum raised": ({"minimum": 0}, {"minimum": 1}, ["x: minimum raised to 1"]),
    "maximum lowered": ({"maximum": 9}, {"maximum": 8}, ["x: maximum lowered to 8"]),
    "maximum added": ({}, {"maxItems": 8}, ["x: maxItems lowered to 8"]),
    "pattern changed": ({"pattern": "a"}, {"pattern": "b"}, ["x: pattern added or changed"]),
    "format narrowed": ({"format": "int64"}, {"format": "int32"}, ["x: format added or changed"]),
    "rule added": (rules("self > 1"), rules("self > 1", "self < 9"), ["x: rule added or changed: do self < 9"]),
    "rule changed": (rules("self > 1"), rules("self > 2"), ["x: rule added or changed: do self > 2"]),
    "null refused": ({"nullable": True}, {}, ["x: null is no longer taken"]),
    "list merges otherwise": (
        {"x-kubernetes-list-type": "atomic"},
        {"x-kubernetes-list-type": "set"},
        ["x: x-kubernetes-list-type changed from atomic to set"],
    ),
    "map closed": (
        {"additionalProperties": TEXT},
        {},
        ["x{}: removed or no longer of one shape"],
    ),
    "map's values narrowed": (
        {"additionalProperties": TEXT},
        {"additionalProperties": {**TEXT, "maxLength": 3}},
        ["x{}: maxLength lowered to 3"],
    ),
}
ALLOWED: dict[str, tuple[Schema, Schema]] = {
    "nothing": (fields(a=TEXT), fields(a=TEXT)),
    "field added": (fields(a=TEXT), fields(a=TEXT, b={"type": "string", "default": "c", "enum": ["c"]})),
    "new field with a default required": (
        fields(a=TEXT),
        {**fields(a=TEXT, b={"type": "string", "default": "c"}), "required": ["b"]},
    ),
    "no longer required": ({**fields(a=TEXT), "required": ["a"]}, fields(a=TEXT)),
    "limits widened": ({"minimum": 1, "maxLength": 5}, {"minimum": 0, "maxLength": 6}),
    "limits dropped": ({"maximum": 5, "pattern": "a", "format": "ipv4"}, {}),
    "value added": ({"enum": ["a"]}, {"enum": ["a", "b"]}),
    "any value": ({"enum": ["a"]}, {}),
    "rule dropped": (rules("self > 1"), {}),
    "rule's sentence and line breaks": (
        {"x-kubernetes-validations": [{"rule": "self  >\n 1", "message": "a"}]},
        {"x-kubernetes-validations": [{"rule": "self > 1", "message": "b"}]},
    ),
    "format widened": ({"format": "int32"}, {"format": "int64"}),
    "description": ({"description": "a"}, {"description": "b"}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_takes_something_away_is_named_with_its_place(case: str) -> None:
    old, new, expected = REFUSED[case]
    assert list(schema_changes("x", old, new)) == expected


@pytest.mark.parametrize("case", ALLOWED)
def test_what_only_adds_is_allowed(case: str) -> None:
    assert list(schema_changes("x", *ALLOWED[case])) == []


def definition(*, served: bool = True, **changed: Any) -> Schema:
    version = {
        "name": "v1",
        "served": served,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": fields(spec=fields(a=TEXT))},
        **changed.pop("version", {}),
    }
    names = {"kind": "Thing", "plural": "things", "shortNames": ["th"], **changed.pop("names", {})}
    return {"spec": {"group": "example.org", "scope": "Namespaced", "names": names, "versions": [version], **changed}}


DEFINITIONS: dict[str, tuple[Schema, list[str]]] = {
    "same": (definition(), []),
    "version not served": (definition(served=False), ["Thing v1: version no longer served"]),
    "subresource removed": (
        definition(version={"subresources": {}}),
        ["Thing v1: subresource status changed or removed"],
    ),
    "scope": (definition(scope="Cluster"), ["Thing: scope changed"]),
    "plural": (definition(names={"plural": "thingies"}), ["Thing: names.plural changed"]),
    "short name removed": (definition(names={"shortNames": []}), ["Thing: short name th removed"]),
    "field removed": (
        definition(version={"schema": {"openAPIV3Schema": fields(spec=fields())}}),
        ["Thing v1.spec.a: field removed"],
    ),
}


@pytest.mark.parametrize("case", DEFINITIONS)
def test_a_definition_keeps_its_names_versions_and_subresources(case: str) -> None:
    new, expected = DEFINITIONS[case]
    assert list(definition_changes(definition(), new)) == expected
