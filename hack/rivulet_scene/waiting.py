"""Waiting for what a test or the demo expects, with an end and a reason."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(look: Callable[[], T | None], what: str, *, seconds: float, pause: float = 0.25) -> T:
    """The first look that is neither None nor False; AssertionError naming `what` and the last look after `seconds`.

    The last look begins after the deadline: what a look that hung saw may be old.
    """
    deadline = time.monotonic() + seconds
    while True:
        began = time.monotonic()
        seen = look()
        if seen is not None and seen is not False:
            return seen
        if began > deadline:
            raise AssertionError(f"not within {seconds} s: {what} (last: {seen!r})")
        time.sleep(pause)


def holds(look: Callable[[], bool], what: str, *, seconds: float, pause: float = 0.5) -> None:
    """AssertionError as soon as `look` is false within `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert look(), f"held only {seconds - (deadline - time.monotonic()):.1f} of {seconds} s: {what}"
        time.sleep(pause)
