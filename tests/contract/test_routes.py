"""§4, §5, §6: the requests that docs/contract.md lists are those that the three listeners know, and no others."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rivulet_media.director.front_door import FrontDoor
from rivulet_media.director.internal import Internal
from rivulet_media.signalling import app as node_app

if TYPE_CHECKING:
    from aiohttp import web
    from tests.contract.conftest import Contract

ALL = ("GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS")
NOTHING: Any = None  # what handlers need is not needed to list them


def canonical(path: str) -> str:
    """A path with its variables as `{}`: what a document and a router may name differently."""
    return re.sub(r"\{[^}]*\}", "{}", path.split("?", maxsplit=1)[0])


def known(app: web.Application) -> dict[str, set[str]]:
    """Path → methods that the application has handlers for."""
    found: dict[str, set[str]] = {}
    for route in app.router.routes():
        assert route.resource is not None
        methods = set(ALL) if route.method == "*" else {route.method}
        found.setdefault(canonical(route.resource.canonical), set()).update(methods)
    return found


def listed(contract: Contract, section: str) -> dict[str, set[str]]:
    """Path → methods, from the first column of a section's table; a row without methods names a path only."""
    found: dict[str, set[str]] = {}
    rows = [line.split(" | ")[0] for line in contract.section(section).splitlines() if line.startswith("| `")]
    for text in (text for row in rows for text in re.findall(r"`([^`]+)`", row.replace("\\|", "|"))):
        methods, _, path = text.rpartition(" ")
        for each in paths(path):
            found.setdefault(canonical(each), set()).update(
                ALL if methods == "ANY" else [method for method in methods.split("|") if method]
            )
    return found


def paths(text: str) -> list[str]:
    """`/whip|whep/` is two paths."""
    if "whip|whep" in text:
        return [text.replace("whip|whep", one) for one in ("whip", "whep")]
    return [text]


def assert_same(known_here: dict[str, set[str]], named: dict[str, set[str]], also: set[str]) -> None:
    """Every path named is known with all its methods; every path known is named, or one of `also`."""
    for path, methods in named.items():
        if not path.endswith("…"):
            assert path in known_here, path
            assert methods <= known_here[path], path
    prefixes = tuple(path.rstrip("…") for path in named if path.endswith("…"))
    unnamed = {path for path in known_here if path not in named and not path.startswith(prefixes or ("?",))}
    assert unnamed == also


def test_the_front_door(contract: Contract) -> None:
    named = listed(contract, "4")
    pages = {path: named.pop(path) for path in ("/publish/{}", "/play/{}")}
    app = FrontDoor(NOTHING, NOTHING, NOTHING).application()
    assert_same(known(app), named, also={"/{}/{}"})  # both pages, one route
    assert all(methods <= known(app)["/{}/{}"] for methods in pages.values())


def test_a_nodes_signalling(contract: Contract) -> None:
    assert_same(known(node_app.build(NOTHING)), listed(contract, "5"), also=set())


def test_the_internal_listener(contract: Contract) -> None:
    internal = Internal(*(NOTHING,) * 9, "me")
    assert_same(known(internal.application()), listed(contract, "6"), also=set())
