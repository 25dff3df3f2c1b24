"""Promises of time on a machine that others use too: one of three attempts has to keep them."""

from collections.abc import Awaitable, Callable
from typing import Final

ATTEMPTS: Final = 3


async def one_of_three(attempt: Callable[[], Awaitable[bool]]) -> bool:
    """Whether an attempt succeeds; no further one is made then."""
    for _ in range(ATTEMPTS):
        if await attempt():
            return True
    return False
