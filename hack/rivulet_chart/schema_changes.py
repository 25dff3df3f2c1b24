"""What a change of a resource definition takes away from people who already use it. Pure.

A change is allowed when every object that was valid stays valid and means the same: fields may be added, limits
widened, rules dropped. Whatever cannot be judged (a changed pattern or rule) counts as taken away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

LOWER_LIMITS = ("minimum", "minLength", "minItems", "minProperties")
UPPER_LIMITS = ("maximum", "maxLength", "maxItems", "maxProperties")
FIXED = (
    "type",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-int-or-string",
    "x-kubernetes-preserve-unknown-fields",
)
MAY_GO = (
    "pattern",
    "anyOf",
    "allOf",
    "oneOf",
    "not",
    "multipleOf",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "uniqueItems",
)
WIDER_FORMATS = {("int32", "int64"), ("float", "double")}
ABSENT = object()


def definition_changes(old: Schema, new: Schema) -> Iterator[str]:
    """Yield what a new definition takes away from an old one: one sentence each, beginning with the place."""
    kind = old["spec"]["names"]["kind"]
    for key in ("group", "scope"):
        if old["spec"][key] != new["spec"][key]:
            yield f"{kind}: {key} changed"
    for key in ("kind", "plural", "singular"):
        if old["spec"]["names"].get(key) != new["spec"]["names"].get(key):
            yield f"{kind}: names.{key} changed"
    for name in _missing(old["spec"]["names"].get("shortNames", ()), new["spec"]["names"].get("shortNames", ())):
        yield f"{kind}: short name {name} removed"
    versions = {version["name"]: version for version in new["spec"]["versions"] if version["served"]}
    for version in old["spec"]["versions"]:
        if version["served"]:
            yield from _version_changes(f"{kind} {version['name']}", version, versions.get(version["name"]))


def _version_changes(where: str, old: Schema, new: Schema | None) -> Iterator[str]:
    if new is None:
        yield f"{where}: version no longer served"
        return
    for name, subresource in old.get("subresources", {}).items():
        if new.get("subresources", {}).get(name) != subresource:
            yield f"{where}: subresource {name} changed or removed"
    yield from schema_changes(where, old["schema"]["openAPIV3Schema"], new["schema"]["openAPIV3Schema"])


def schema_changes(where: str, old: Schema, new: Schema) -> Iterator[str]:
    """Yield what a new schema takes away from an old one, below ``where``."""
    yield from _kept(where, old, new)
    yield from _limits(where, old, new)
    yield from _choices(where, old, new)
    yield from _rules(where, old, new)
    for name, child in old.get("properties", {}).items():
        changed = new.get("properties", {}).get(name)
        if changed is None:
            yield f"{where}.{name}: field removed"
        else:
            yield from schema_changes(f"{where}.{name}", child, changed)
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        yield from _child_changes(where + mark, old.get(key), new.get(key))


def _child_changes(where: str, old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        yield from schema_changes(where, old, new)
    elif old is not None and old != new:
        yield f"{where}: removed or no longer of one shape"


def _kept(where: str, old: Schema, new: Schema) -> Iterator[str]:
    for key in FIXED:
        if old.get(key) != new.get(key):
            yield f"{where}: {key} changed from {old.get(key)} to {new.get(key)}"
    before, after = old.get("default", ABSENT), new.get("default", ABSENT)
    if before != after:
        yield f"{where}: default changed from {_shown(before)} to {_shown(after)}"
    for key in MAY_GO:
        if key in new and new[key] != old.get(key):
            yield f"{where}: {key} added or changed"
    if (
        "format" in new
        and new["format"] != old.get("format")
        and (old.get("format"), new["format"]) not in WIDER_FORMATS
    ):
        yield f"{where}: format added or changed"
    if old.get("nullable", False) and not new.get("nullable", False):
        yield f"{where}: null is no longer taken"


def _limits(where: str, old: Schema, new: Schema) -> Iterator[str]:
    for key in LOWER_LIMITS:
        if key in new and (key not in old or new[key] > old[key]):
            yield f"{where}: {key} raised to {new[key]}"
    for key in UPPER_LIMITS:
        if key in new and (key not in old or new[key] < old[key]):
            yield f"{where}: {key} lowered to {new[key]}"


def _choices(where: str, old: Schema, new: Schema) -> Iterator[str]:
    if "enum" in new:
        if "enum" not in old:
            yield f"{where}: only some values are taken now"
        for value in _missing(old.get("enum", ()), new["enum"]):
            yield f"{where}: value {value} removed"
    for name in _missing(new.get("required", ()), old.get("required", ())):
        if "default" not in new.get("properties", {}).get(name, {}):
            yield f"{where}.{name}: required now"


def _rules(where: str, old: Schema, new: Schema) -> Iterator[str]:
    known = [" ".join(rule["rule"].split()) for rule in old.get("x-kubernetes-validations", ())]
    for rule in new.get("x-kubernetes-validations", ()):
        if " ".join(rule["rule"].split()) not in known:
            yield f"{where}: rule added or changed: {rule.get('message', rule['rule'])}"


def _missing(old: Any, new: Any) -> list[Any]:
    return [item for item in old if item not in new]


def _shown(default: object) -> str:
    return "none" if default is ABSENT else repr(default)
