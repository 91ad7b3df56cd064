"""Other ways to keep fewer points, each asked for a number of points; they give back the values at all times."""

import heapq
from collections.abc import Callable
from typing import Any

import numpy as np
from tsdownsample import LTTBDownsampler, M4Downsampler, MinMaxLTTBDownsampler

Array = np.ndarray[Any, Any]
Restored = tuple[Array, int]
"""Values at all times, and how many points they are of."""


def mean(_time_ms: Array, values: Array, points: int) -> Restored:
    """Equal numbers of samples, each told by its mean."""
    edges = _edges(len(values), points)
    means = np.add.reduceat(values, edges[:-1]) / np.diff(edges)
    return np.repeat(means, np.diff(edges)), points


def functions(time_ms: Array, values: Array, points: int) -> Restored:
    """Min, max, avg and last of windows, four points each; without times, only the average is drawn."""
    windows = max(1, points // 4)
    restored, _ = mean(time_ms, values, windows)
    return restored, 4 * windows


def lttb(time_ms: Array, values: Array, points: int) -> Restored:
    return _lines(time_ms, values, LTTBDownsampler().downsample(time_ms, values, n_out=max(3, points)))


def min_max_lttb(time_ms: Array, values: Array, points: int) -> Restored:
    return _lines(time_ms, values, MinMaxLTTBDownsampler().downsample(time_ms, values, n_out=max(3, points)))


def m4(time_ms: Array, values: Array, points: int) -> Restored:
    return _lines(time_ms, values, M4Downsampler().downsample(time_ms, values, n_out=max(4, points // 4 * 4)))


def swinging_door(time_ms: Array, values: Array, points: int) -> Restored:
    """Bristol's swinging door (1990); the width of the door is found by bisection."""
    low, high = 0.0, float(np.ptp(values))
    kept = _door(time_ms, values, high)
    for _ in range(20):
        width = (low + high) / 2
        tried = _door(time_ms, values, width)
        if len(tried) <= points:
            high, kept = width, tried
        else:
            low = width
    return _lines(time_ms, values, kept)


def visvalingam(time_ms: Array, values: Array, points: int) -> Restored:
    """Leave out the point of the smallest triangle with its neighbours first (Visvalingam and Whyatt, 1993)."""
    count = len(values)
    before, after = list(range(-1, count - 1)), list(range(1, count + 1))
    x, y = time_ms.astype(float).tolist(), values.tolist()

    def area(i: int) -> float:
        a, b = before[i], after[i]
        return abs((x[a] - x[b]) * (y[i] - y[a]) - (x[a] - x[i]) * (y[b] - y[a]))

    areas = [0.0, *(area(i) for i in range(1, count - 1)), 0.0]
    heap = [(areas[i], i) for i in range(1, count - 1)]
    heapq.heapify(heap)
    gone = np.zeros(count, bool)
    left = count
    while heap and left > points:
        cost, i = heapq.heappop(heap)
        if gone[i] or cost != areas[i]:
            continue
        gone[i] = True
        left -= 1
        after[before[i]], before[after[i]] = after[i], before[i]
        for neighbour in (before[i], after[i]):
            if 0 < neighbour < count - 1:
                areas[neighbour] = max(area(neighbour), cost)
                heapq.heappush(heap, (areas[neighbour], neighbour))
    return _lines(time_ms, values, np.flatnonzero(~gone))


METHODS: dict[str, Callable[[Array, Array, int], Restored]] = {
    "Visvalingam": visvalingam,
    "swinging door": swinging_door,
    "LTTB": lttb,
    "MinMaxLTTB": min_max_lttb,
    "M4": m4,
    "mean": mean,
    "min/max/avg/last": functions,
}


def _edges(count: int, points: int) -> Array:
    return np.unique(np.linspace(0, count, max(1, points) + 1).astype(int))


def _lines(time_ms: Array, values: Array, kept: Array) -> Restored:
    kept = np.unique(np.asarray(kept, int))
    return np.interp(time_ms, time_ms[kept], values[kept]), len(kept)


def _door(time_ms: Array, values: Array, width: float) -> Array:
    """Return the places of the points that a door of a width keeps."""
    x, y = time_ms.tolist(), values.tolist()
    kept = [0]
    steepest, flattest = np.inf, -np.inf
    for i in range(1, len(y)):
        start = kept[-1]
        span = x[i] - x[start]
        steepest = min(steepest, (y[i] + width - y[start]) / span)
        flattest = max(flattest, (y[i] - width - y[start]) / span)
        if flattest > steepest and i - 1 > start:
            kept.append(i - 1)
            span = x[i] - x[i - 1]
            steepest, flattest = (y[i] + width - y[i - 1]) / span, (y[i] - width - y[i - 1]) / span
    return np.array([*kept, len(y) - 1])
