"""How the commands write results to standard output."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import typer

__all__ = ["BROKEN_PIPE_STATUS", "reader_may_leave"]

BROKEN_PIPE_STATUS: Final = 141
"""128 + SIGPIPE, what shells report for a program whose reader went away."""


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """End the program quietly if the reader of standard output goes away, as in ``cinnamon parse FILE | head``.

    Standard output is flushed at the end, so that the last part of it is covered too.

    Raises
    ------
    typer.Exit
        With status 141 when the reader is gone.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError as error:
        # The interpreter flushes standard output once more when it ends: let that go nowhere.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        raise typer.Exit(BROKEN_PIPE_STATUS) from error
