"""Kept points back to values at any times: lines, and levels that are held."""

import numpy as np

from pipeline.core.compiled import Array, compiled
from pipeline.core.downsampling.points import line_at
from pipeline.core.downsampling.state import LINE

__all__ = ["decode"]


def decode(time_ms: Array, values: Array, interp: Array, at_ms: Array) -> Array:
    """Return the values of kept points at other times.

    Parameters
    ----------
    time_ms, values, interp : int64[n], float64[n], uint8[n]
        Kept points in the order of their times, strictly increasing; how each is reached from the one before: ``l``
        along a line, ``s`` by a step at its time.
    at_ms : int64[m]
        SilenceLimits, ascending.

    Returns
    -------
    float64[m]
        NaN before the first point; the last point's value behind the last one.

    Raises
    ------
    ValueError
        If the points' arrays differ in length, or a time does not ascend.

    Notes
    -----
    Over a gap the last value before it is held: nothing is drawn over it. Whoever must know of a gap reads the chunks'
    bounds, between which there is nothing.

    Examples
    --------
    >>> interp = np.frombuffer(b"sls", np.uint8)
    >>> decode(np.array([0, 10, 20]), np.array([1.0, 2.0, 5.0]), interp, np.array([0, 5, 10, 15, 20]))
    array([1. , 1.5, 2. , 2. , 5. ])
    """
    columns = (
        np.ascontiguousarray(time_ms, np.int64),
        np.ascontiguousarray(values, np.float64),
        np.ascontiguousarray(interp, np.uint8),
    )
    wanted = np.ascontiguousarray(at_ms, np.int64)
    if not len(columns[0]) == len(columns[1]) == len(columns[2]):
        lengths = ", ".join(str(len(column)) for column in columns)
        raise ValueError(f"time_ms, values and interp must be of one length, got {lengths}")
    if np.any(np.diff(columns[0]) <= 0) or np.any(np.diff(wanted) < 0):
        raise ValueError("the times of points must strictly ascend, and those to decode at must ascend")
    decoded = np.empty(len(wanted))
    _decode(*columns, wanted, decoded)
    return decoded


@compiled
def _decode(time_ms: Array, values: Array, interp: Array, at_ms: Array, decoded: Array) -> None:
    k = 0
    for i in range(len(at_ms)):
        while k < len(time_ms) and time_ms[k] <= at_ms[i]:
            k += 1
        if k == 0:
            decoded[i] = np.nan
        elif k < len(time_ms) and interp[k] == LINE and at_ms[i] != time_ms[k - 1]:
            decoded[i] = line_at(at_ms[i], time_ms[k - 1], values[k - 1], time_ms[k], values[k])
        else:
            decoded[i] = values[k - 1]
