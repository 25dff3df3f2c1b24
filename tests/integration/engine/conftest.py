"""Engines on real sockets of 127.0.0.1."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from engine.peers import LOOPBACK, MakeNode, Node
from rivulet_media._engine import Engine


@pytest.fixture
async def make_node() -> AsyncIterator[MakeNode]:
    """Start engines; all are shut down at the end."""
    nodes: list[Node] = []

    def make(bind: str = LOOPBACK, **settings: Any) -> Node:
        nodes.append(Node(Engine(bind, 0, **settings)))
        return nodes[-1]

    yield make
    for node in nodes:
        node.stop()
