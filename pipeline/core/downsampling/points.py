"""The points of a chunk: from what is left of its nodes to kept points, and how far their decoding is off."""

import math

import numpy as np

from pipeline.core.compiled import Array, compiled, compiled_inline
from pipeline.core.downsampling.state import (
    ANCHOR_MS,
    ANCHOR_READING,
    ANCHOR_VALUE,
    LINE,
    OUT_MAX_ERROR,
    OUT_POINTS_FROM,
    OUT_POINTS_TO,
    OUT_SIGMA,
    Emitted,
    EncodeScratch,
)


@compiled_inline
def line_at(t: int, t0: int, v0: float, t1: int, v1: float) -> float:
    """Return the value at ``t`` of the line through two points.

    Monotone, whatever is rounded: a counter that is decoded never falls where its samples did not.
    """
    value = v0 + (v1 - v0) * ((t - t0) / (t1 - t0))
    return min(value, v1) if v1 >= v0 else max(value, v1)


@compiled
def add_point(time_ms: int, value: float, interp: int, out: Emitted) -> None:
    """Put one kept point behind the others."""
    k = out.used[1]
    out.time_ms[k] = time_ms
    out.value[k] = value
    out.interp[k] = interp
    out.used[1] = k + 1


@compiled
def measure_errors(
    times: Array, values: Array, count: int, number: Array, at: int, out: Emitted, s: EncodeScratch
) -> None:
    """Decode chunk ``at`` of ``out`` as a reader will, and note the residual's deviation and its greatest value."""
    k = out.whole[at, OUT_POINTS_FROM]
    end = out.whole[at, OUT_POINTS_TO]
    t0, v0 = out.time_ms[k], out.value[k]
    if number[ANCHOR_READING] != 0.0:
        t0, v0 = np.int64(number[ANCHOR_MS]), number[ANCHOR_VALUE]
    worst = 0.0
    for i in range(count):
        while k < end and out.time_ms[k] <= times[i]:
            t0, v0 = out.time_ms[k], out.value[k]
            k += 1
        decoded = v0
        if k < end and out.interp[k] == LINE and times[i] != t0:
            decoded = line_at(times[i], t0, v0, out.time_ms[k], out.value[k])
        s.weight[i] = abs(decoded - values[i])
        worst = max(worst, s.weight[i])
    out.number[at, OUT_MAX_ERROR] = worst
    squares = 0.0
    if worst > 0.0:
        for i in range(count):  # in units of the greatest, so that squares are finite
            squares += (s.weight[i] / worst) * (s.weight[i] / worst)
    out.number[at, OUT_SIGMA] = worst * math.sqrt(squares / count)
