"""Engines on real sockets of 127.0.0.1.

All of these tests run with two data threads; `RIVULET_TEST_THREADS=1` makes it one.
"""

import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from engine.peers import LOOPBACK, MakeNode, Node
from rivulet_media._engine import Engine

THREADS = int(os.environ.get("RIVULET_TEST_THREADS", "2"))


@pytest.fixture
async def make_node() -> AsyncIterator[MakeNode]:
    """Start engines; all are shut down at the end."""
    nodes: list[Node] = []

    def make(bind: str = LOOPBACK, **settings: Any) -> Node:
        nodes.append(Node(Engine(bind, 0, **{"threads": THREADS, **settings})))
        return nodes[-1]

    yield make
    for node in nodes:
        node.stop()
