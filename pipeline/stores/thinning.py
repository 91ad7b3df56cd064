"""A curve of no more points than a chart has pixels."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from tsdownsample import MinMaxLTTBDownsampler

from pipeline.core.compiled import Array
from pipeline.core.downsampling.curve import CurveSegment, vertices

LEAST_POINTS = 3


class Polyline(NamedTuple):
    """Points to be joined by straight lines, but for those before which there is a gap.

    Attributes
    ----------
    times_ms, values, gap
        int64[n], float64[n], bool[n].
    """

    times_ms: Array
    values: Array
    gap: Array


def thinned(runs: Sequence[CurveSegment], points: int) -> Polyline:
    """Return the curve of some runs with at most so many points: those that MinMaxLTTB selects.

    Parameters
    ----------
    runs
        In the order of time.
    points
        `LEAST_POINTS` or more.

    Raises
    ------
    ValueError
        If ``points`` is less.

    Notes
    -----
    Source: J. Van Der Donckt et al., "MinMaxLTTB: Leveraging MinMax-Preselection to Scale LTTB", 2023.
    """
    if points < LEAST_POINTS:
        raise ValueError(f"a curve needs {LEAST_POINTS} points or more, not {points}")
    if not runs:
        return Polyline(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.bool_))
    corners = [vertices(run) for run in runs]
    times = np.concatenate([each for each, _ in corners])
    values = np.concatenate([each for _, each in corners])
    run = np.repeat(np.arange(len(runs)), [len(each) for each, _ in corners])
    if len(times) > points:
        chosen = MinMaxLTTBDownsampler().downsample(times, values, n_out=points)  # type: ignore[no-untyped-call]
        times, values, run = times[chosen], values[chosen], run[chosen]
    return Polyline(times, values, np.concatenate(([False], run[1:] != run[:-1])))
