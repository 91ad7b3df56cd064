"""The hour of the day and the free days of a series, by the clock of its place."""

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from typing import NamedTuple

import numpy as np

from pipeline.core.compiled import Array, compiled

_FIRST_S = 0
_LAST_S = 4_102_444_800  # 2100-01-01
_STEP_S = 7 * 86_400
"""Apart from each other where a change is looked for: the IANA database has none that lasts less than a week since 1970
and matters to an hour's level."""


class Calendar(NamedTuple):
    """The clocks of some time zones: zone k has changes ``first[k]`` to ``first[k + 1]``."""

    first: Array  # int64[zones + 1]
    change_ms: Array  # int64[changes]: from when an offset holds; the first of a zone holds from ever
    offset_ms: Array  # int64[changes]: local time less UTC


def calendar(zones: Sequence[tzinfo]) -> Calendar:
    """Return the clocks of time zones, their changes between daylight saving and standard time up to 2100 included.

    Parameters
    ----------
    zones : sequence of datetime.tzinfo
        At least one; a series names its zone by the place here.

    Examples
    --------
    >>> local_hour(3_600_000, 0, calendar([UTC]))
    (1, 0)
    """
    first = [0]
    changes: list[tuple[int, int]] = []
    for zone in zones:
        changes += _changes(zone)
        first.append(len(changes))
    table = np.array(changes, np.int64).reshape(-1, 2)
    return Calendar(np.array(first, np.int64), table[:, 0] * 1000, table[:, 1] * 1000)


@compiled
def local_hour(time_ms: int, zone: int, calendar: Calendar) -> tuple[int, int]:
    """Return the hour of the day, and 1 on Saturdays and Sundays, else 0."""
    below = calendar.first[zone]
    above = calendar.first[zone + 1]
    while above - below > 1:
        middle = (below + above) // 2
        if calendar.change_ms[middle] <= time_ms:
            below = middle
        else:
            above = middle
    hours = (time_ms + calendar.offset_ms[below]) // 3_600_000
    weekday = (hours // 24 + 3) % 7  # 1970 began on a Thursday
    return hours % 24, 1 if weekday >= 5 else 0


def _changes(zone: tzinfo) -> list[tuple[int, int]]:
    """Return (second, offset in seconds) of every change of a zone's offset."""
    at = _FIRST_S
    offset = _offset_s(zone, at)
    found = [(at, offset)]
    while at < _LAST_S:
        after = at + _STEP_S
        if _offset_s(zone, after) != offset:
            low, high = at, after
            while high - low > 1:
                middle = (low + high) // 2
                if _offset_s(zone, middle) == offset:
                    low = middle
                else:
                    high = middle
            offset = _offset_s(zone, high)
            found.append((high, offset))
            after = high
        at = after
    return found


def _offset_s(zone: tzinfo, at_s: int) -> int:
    offset = datetime.fromtimestamp(at_s, UTC).astimezone(zone).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())
