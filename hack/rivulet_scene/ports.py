"""Ports of 127.0.0.1 for the programs of one test process.

They lie below the kernel's ephemeral range, so that no outgoing connection takes one between its choice and its use;
each parallel test process has a range of its own.
"""

import contextlib
import itertools
import os
import socket
from collections.abc import Iterator

FIRST = 10_000
RANGE = 2_500
RANGES = 8  # up to 30,000: the ephemeral range begins at 32,768


def free_port() -> int:
    """A TCP and UDP port that nobody holds and that was not given before. RuntimeError when all are given."""
    for port in _candidates:
        with contextlib.suppress(OSError), socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tcp.bind(("127.0.0.1", port))
            udp.bind(("127.0.0.1", port))
            return port
    raise RuntimeError(f"no free port left of {RANGE} from {_first()}")


def _first() -> int:
    """The first port of this test process: `gw0`, `gw1`, … as pytest-xdist names them, else the last range."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    number = int(worker.removeprefix("gw")) if worker.startswith("gw") else RANGES - 1
    return FIRST + number % RANGES * RANGE


def _own_range() -> Iterator[int]:
    first = _first()
    begin = os.getpid() % RANGE
    yield from itertools.chain(range(first + begin, first + RANGE), range(first, first + begin))


_candidates = _own_range()
