"""Frozen dataclasses to JSON and back, by their type hints.

Field names are snake_case here and camelCase on the wire. Unknown keys are ignored; a missing or wrong one raises
`WireError` that names the key's path. A field with a default may be absent; `None` is left out unless the field was
made with `nullable()`, and so is an empty list of a field made with `list_or_nothing()`.
"""

import dataclasses
import functools
import json
import math
import re
import types
import typing
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

T = TypeVar("T")

_HALF_PAIR = re.compile("[\ud800-\udfff]")


class WireError(ValueError):
    """The peer sent something that does not parse; the message names the key."""

    def __init__(self, path: str, problem: str) -> None:
        """`path` is the key's path from the top, such as `streams[2].tracks[0].codec`."""
        super().__init__(f"{path or 'message'}: {problem}")
        self.path = path
        self.problem = problem


@dataclasses.dataclass(frozen=True)
class Form:
    """What a string must look like, for `Annotated[str, Form(…)]`."""

    pattern: str
    description: str

    def check(self, text: str, path: str) -> None:
        """Raise WireError unless the whole of `text` has this form."""
        if not re.fullmatch(self.pattern, text):
            raise WireError(path, f"must be {self.description}, not {text[:64]!r}")


def key(name: str, **options: Any) -> Any:
    """A field whose key on the wire is not its name in camelCase."""
    return dataclasses.field(metadata={"key": name}, **options)


def nullable() -> Any:
    """A field that is None by default and written as null."""
    return dataclasses.field(default=None, metadata={"nullable": True})


def list_or_nothing() -> Any:
    """A list that is empty by default and left out when it is empty."""
    return dataclasses.field(default=(), metadata={"left_out": ()})


def encode(value: Any) -> Any:
    """A dataclass (or a container of them) as JSON data."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _encode_fields(value)
    if isinstance(value, Mapping):
        return {name: encode(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    return value


def _encode_fields(value: Any) -> dict[str, Any]:
    encoded = {}
    for field in dataclasses.fields(value):
        item = getattr(value, field.name)
        if item != field.metadata.get("left_out") or field.metadata.get("nullable"):
            encoded[_key(field)] = encode(item)
    return encoded


def decode(kind: type[T], data: Any, path: str = "") -> T:
    """JSON data as the dataclass `kind`."""
    if not isinstance(data, dict):
        raise WireError(path, f"must be an object, not {_name(data)}")
    hints = _hints(typing.cast("Hashable", kind))
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        name = _key(field)
        where = f"{path}.{name}" if path else name
        if data.get(name) is not None:
            values[field.name] = _decode(hints[field.name], data[name], where)
        elif _required(field):
            raise WireError(where, "is missing")
    return kind(**values)


def dump(data: Any) -> str:
    """Compact JSON with sorted keys: equal data gives equal text."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def load(text: str | bytes) -> Any:
    """JSON text as data; WireError when it is not JSON (or nested beyond all reason)."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WireError("", "is not JSON") from error


def _decode(hint: Any, data: Any, path: str) -> Any:
    origin = get_origin(hint)
    if origin is typing.Annotated:
        base, form = get_args(hint)
        value = _decode(base, data, path)
        form.check(value, path)
        return value
    if origin in (Union, types.UnionType):
        return _decode(next(arm for arm in get_args(hint) if arm is not type(None)), data, path)
    if origin in _COMPOUND:
        return _COMPOUND[origin](get_args(hint), data, path)
    if dataclasses.is_dataclass(hint):
        return decode(hint, data, path)  # type: ignore[arg-type]
    return _scalar(hint, data, path)


def _choice(choices: tuple[Any, ...], data: Any, path: str) -> Any:
    if not isinstance(data, str) or data not in choices:
        raise WireError(path, f"must be one of {', '.join(choices)}")
    return data


def _items(hints: tuple[Any, ...], data: Any, path: str) -> tuple[Any, ...]:
    if not isinstance(data, list):
        raise WireError(path, f"must be a list, not {_name(data)}")
    return tuple(_decode(hints[0], item, f"{path}[{index}]") for index, item in enumerate(data))


def _mapping(hints: tuple[Any, ...], data: Any, path: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise WireError(path, f"must be an object, not {_name(data)}")
    name_hint, item_hint = hints
    return {_decode(name_hint, name, path): _decode(item_hint, item, f"{path}.{name}") for name, item in data.items()}


_COMPOUND: dict[Any, Callable[[tuple[Any, ...], Any, str], Any]] = {
    Literal: _choice,
    tuple: _items,
    Mapping: _mapping,
}


def _scalar(hint: type, data: Any, path: str) -> Any:
    if not isinstance(data, bool) or hint is bool:
        if hint is float and isinstance(data, int | float):
            return _finite(data, path)
        if hint is str and isinstance(data, str):
            return _text(data, path)
        if hint in (int, bool) and isinstance(data, hint):
            return data
    raise WireError(path, f"must be {_NAMES[hint]}, not {_name(data)}")


def _finite(number: float, path: str) -> float:
    try:
        value = float(number)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise WireError(path, "must be a number within bounds")
    return value


def _text(text: str, path: str) -> str:
    """JSON can spell half of a surrogate pair, which could never be said on."""
    if not text.isascii() and _HALF_PAIR.search(text):
        raise WireError(path, "must be text")
    return text


_NAMES: dict[type, str] = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}


def _name(data: Any) -> str:
    if isinstance(data, dict):
        return "an object"
    if isinstance(data, list):
        return "a list"
    return "null" if data is None else _NAMES.get(type(data), "something else")


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _key(field: dataclasses.Field[Any]) -> str:
    given = field.metadata.get("key")
    return given if isinstance(given, str) else _camel(field.name)


@functools.cache
def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


@functools.cache
def _hints(kind: Hashable) -> dict[str, Any]:
    return typing.get_type_hints(kind, include_extras=True)
