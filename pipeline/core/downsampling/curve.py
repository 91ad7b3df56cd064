"""Stored chunks back to a curve: where there is nothing, what is between two points, what was the mean."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.core.compiled import Array
from pipeline.core.downsampling.decode import decode
from pipeline.core.downsampling.state import LINE, STEP

__all__ = [
    "LINE",
    "STEP",
    "CurveSegment",
    "SampleTotal",
    "StoredChunk",
    "clipped",
    "decoded",
    "segments_of",
    "total_of",
    "vertices",
]


@dataclass(frozen=True, slots=True, eq=False)
class StoredChunk:
    """A chunk as a store gives it back.

    Parameters
    ----------
    start_ms, end_ms, last_ms, gap, count, sum, min, max, sigma
        As in `schemas.downsampled.DownsampledChunk`.
    times_ms, values, interp
        int64[n], float64[n], uint8[n]: the kept points, times strictly increasing.
    """

    start_ms: int
    end_ms: int
    last_ms: int
    gap: bool
    count: int
    sum: float
    min: float
    max: float
    sigma: float
    times_ms: Array
    values: Array
    interp: Array


@dataclass(frozen=True, slots=True, eq=False)
class CurveSegment:
    """Points between which nothing is missing.

    Parameters
    ----------
    times_ms, values, interp
        int64[n], float64[n], uint8[n] (`LINE` or `STEP`: how a point is reached from the one before); n is 1 or more.
    until_ms
        The last value holds until then.
    """

    times_ms: Array
    values: Array
    interp: Array
    until_ms: int


@dataclass(frozen=True, slots=True)
class SampleTotal:
    """What the samples of a range came to."""

    sum: float
    count: int
    is_exact: bool
    """False if a chunk lies in the range only in part: its part is estimated from its curve."""


def segments_of(chunks: Sequence[StoredChunk]) -> list[CurveSegment]:
    """Return the curve of a series' chunks, which are in the order of time; a gap begins a new run."""
    runs: list[CurveSegment] = []
    group: list[StoredChunk] = []
    for chunk in chunks:
        if chunk.gap and group:
            runs.append(_joined(group))
            group = []
        group.append(chunk)
    return [*runs, _joined(group)] if group else runs


def decoded(runs: Sequence[CurveSegment], at_ms: Array) -> Array:
    """Return the values at some times.

    Parameters
    ----------
    runs
        In the order of time.
    at_ms : int64[m]
        SilenceLimits, ascending.

    Returns
    -------
    float64[m]
        NaN where nothing is known: before, behind and between the runs.
    """
    values = np.full(len(at_ms), np.nan)
    for run in runs:
        low, high = np.searchsorted(at_ms, run.times_ms[0]), np.searchsorted(at_ms, run.until_ms, "right")
        values[low:high] = decode(run.times_ms, run.values, run.interp, at_ms[low:high])
    return values


def clipped(runs: Sequence[CurveSegment], start_ms: int, end_ms: int) -> list[CurveSegment]:
    """Return what of a curve lies in ``[start_ms, end_ms)``; where a line is cut, a point is put on it."""
    found = []
    for run in runs:
        if run.until_ms < start_ms or run.times_ms[0] >= end_ms:
            continue
        low, high = np.searchsorted(run.times_ms, (start_ms, end_ms))
        times, values, interp = run.times_ms[low:high], run.values[low:high], run.interp[low:high]
        if low > 0 and (low == len(run.times_ms) or run.times_ms[low] > start_ms):
            times, values, interp = _with_point(run, start_ms, 0, times, values, interp)
        goes_on = high < len(run.times_ms) and run.interp[high] == LINE
        if goes_on and times[-1] < end_ms - 1:
            times, values, interp = _with_point(run, end_ms - 1, len(times), times, values, interp)
        found.append(CurveSegment(times, values, interp, min(run.until_ms, end_ms - 1)))
    return found


def _with_point(
    run: CurveSegment, at_ms: int, place: int, times: Array, values: Array, interp: Array
) -> tuple[Array, Array, Array]:
    value = decode(run.times_ms, run.values, run.interp, np.array([at_ms]))
    return np.insert(times, place, at_ms), np.insert(values, place, value), np.insert(interp, place, LINE)


def vertices(run: CurveSegment) -> tuple[Array, Array]:
    """Return the corners of a run's curve as int64[n] and float64[n]: straight lines between them are the curve.

    A step is two corners, one a millisecond before it. The last value goes on to the end of the run.
    """
    held = (run.interp[1:] == STEP) & (run.times_ms[1:] - run.times_ms[:-1] > 1)
    at = np.flatnonzero(held) + 1
    times = np.insert(run.times_ms, at, run.times_ms[at] - 1)
    values = np.insert(run.values, at, run.values[at - 1])
    if run.until_ms > run.times_ms[-1]:
        times, values = np.append(times, run.until_ms), np.append(values, run.values[-1])
    return times, values


def total_of(chunks: Sequence[StoredChunk], start_ms: int, end_ms: int) -> SampleTotal:
    """Return sum and count of the samples in ``[start_ms, end_ms)``.

    Notes
    -----
    Whole chunks count with their own sums, which are exact. Of a chunk that lies in the range in part, samples are
    taken to be evenly spaced between its start and its last one, with the values of its curve.
    """
    total, count, is_exact = 0.0, 0, True
    runs = segments_of(chunks)
    for chunk in chunks:
        if chunk.end_ms <= start_ms or chunk.start_ms >= end_ms:
            continue
        if start_ms <= chunk.start_ms and chunk.last_ms < end_ms:
            total += chunk.sum
            count += chunk.count
            continue
        times = np.linspace(chunk.start_ms, chunk.last_ms, chunk.count).astype(np.int64)
        values = decoded(runs, times[(times >= start_ms) & (times < end_ms)])
        known = values[~np.isnan(values)]
        total += float(known.sum())
        count += len(known)
        is_exact = is_exact and not len(known)
    return SampleTotal(total, count, is_exact)


def _joined(chunks: Sequence[StoredChunk]) -> CurveSegment:
    """Join chunks without a gap; of points that do not come in order the earlier ones stay."""
    times = np.concatenate([chunk.times_ms for chunk in chunks])
    newest = np.maximum.accumulate(times)
    ordered = np.concatenate(([True], times[1:] > newest[:-1]))
    values = np.concatenate([chunk.values for chunk in chunks])
    interp = np.concatenate([chunk.interp for chunk in chunks])
    return CurveSegment(times[ordered], values[ordered], interp[ordered], max(chunks[-1].last_ms, int(newest[-1])))
