"""Waiting on a condition with a deadline: no test sleeps for a guessed time."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T],
    *,
    timeout_s: float,
    what: str,
    every_s: float = 0.02,
    alive: Callable[[], bool] = lambda: True,
) -> T:
    """Return the condition's first true value.

    Parameters
    ----------
    condition
        Called again and again until its value is true.
    timeout_s
        The deadline, in seconds from now.
    what
        What is waited for, for the error.
    every_s
        The pause between two calls, in seconds.
    alive
        Waiting ends early when this is false: what is waited for can no longer come.

    Raises
    ------
    TimeoutError
        When the deadline passed, or ``alive`` said no, before the condition held.
    """
    deadline = time.monotonic() + timeout_s
    never = threading.Event()
    while True:
        value = condition()
        if value:
            return value
        if not alive():
            raise TimeoutError(f"{what}: what it was waited from has ended")
        if time.monotonic() >= deadline:
            raise TimeoutError(f"{what}: not within {timeout_s:g} s")
        never.wait(every_s)
