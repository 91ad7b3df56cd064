"""Signals as events, for commands that end in an orderly way."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from types import FrameType


class Ending(NamedTuple):
    """What was asked for."""

    stop: Event
    """Set by the first signal."""
    leave: Event
    """Set by the second: do not wait for anything."""


@contextmanager
def ending_by_signals() -> Iterator[Ending]:
    """Return events that SIGINT, SIGTERM and SIGHUP (a closed terminal) set, in place of ending the program."""
    ending = Ending(Event(), Event())

    def note(_number: int, _frame: "FrameType | None") -> None:
        (ending.leave if ending.stop.is_set() else ending.stop).set()

    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    # nohup has SIGHUP ignored: so it stays
    numbers = [number for number in numbers if (number, signal.getsignal(number)) != (signal.SIGHUP, signal.SIG_IGN)]
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield ending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
