"""How much of a history a query may ask for, and where it has to begin."""

from bisect import bisect_right
from collections.abc import Sequence

LONGEST_CHUNK_MS = 86_400_000
"""No chunk covers more: `downsample.chunk_s` allows a day."""

MAX_HISTORY_POINTS = 1_000_000
"""No query reads more kept points."""


def check_points(count: int) -> None:
    """Raise ValueError if a query finds too many points."""
    if count >= MAX_HISTORY_POINTS:
        raise ValueError(f"the range has more than {MAX_HISTORY_POINTS} kept points: ask for less, or fewer series")


def first_needed(ends_ms: Sequence[int], start_ms: int) -> int:
    """Return the position of the first chunk that a range needs.

    Parameters
    ----------
    ends_ms
        Ends of a series' chunks, ascending.
    start_ms
        Start of the range.

    Returns
    -------
    int
        Of the chunk before the first that ends behind the start: a line may lead from it into the range.
    """
    return max(bisect_right(ends_ms, start_ms) - 1, 0)
