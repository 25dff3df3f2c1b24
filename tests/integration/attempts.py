"""Promises of time on a machine that others use too: one of three attempts has to keep them."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

ATTEMPTS: Final = 3
T = TypeVar("T")


def best_look(look: Callable[[], T], holds: Callable[[T], bool], attempts: int = ATTEMPTS) -> T:
    """The first look of which it holds, else the last one."""
    seen = look()
    for _ in range(attempts - 1):
        if holds(seen):
            break
        print(f"once more: {seen}")
        seen = look()
    return seen


async def one_of_three(attempt: Callable[[], Awaitable[bool]]) -> bool:
    """Whether an attempt succeeds; no further one is made then."""
    for _ in range(ATTEMPTS):
        if await attempt():
            return True
    return False
