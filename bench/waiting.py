"""Waiting on a condition with a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T], *, timeout_s: float, what: str, alive: Callable[[], bool] = lambda: True
) -> T:
    """Return the condition's first true value.

    Raises
    ------
    TimeoutError
        When the deadline passed, or ``alive`` said no, before the condition held.
    """
    deadline_s = time.monotonic() + timeout_s
    while not (value := condition()):
        if not alive():
            raise TimeoutError(f"{what}: what it was waited from has ended")
        if time.monotonic() >= deadline_s:
            raise TimeoutError(f"{what}: not within {timeout_s:g} s")
        time.sleep(0.02)
    return value
