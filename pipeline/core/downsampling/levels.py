"""Encoders whose points are held: lossless runs, and levels that stand for the samples around them."""

import math

from pipeline.core.compiled import Array, compiled
from pipeline.core.downsampling.budget import Budget
from pipeline.core.downsampling.merge import MEANS, simplify
from pipeline.core.downsampling.pins import rare_extremes
from pipeline.core.downsampling.points import add_point
from pipeline.core.downsampling.signal import stressed
from pipeline.core.downsampling.state import DECIMALS, HIGH, LOW, MEAN, SCALE, STATE, STEP, Emitted, EncodeScratch

_PINNED_PART = 0.5
"""Of the budget that may go to rare runs; each takes up to two points. Half gives infrastructure 8.72 % .0315 .813,
node 7.58 % .0273 .886, made 6.05 % .0269 .910; double infrastructure 8.72 % .0361 .875, node 7.58 % .0276 .886,
made 6.06 % .0271 .917."""


@compiled
def keep_runs(times: Array, values: Array, count: int, out: Emitted) -> None:
    """Keep the first sample of every run of equal ones: nothing is lost."""
    for i in range(count):
        if i == 0 or values[i] != values[i - 1]:
            add_point(times[i], values[i], STEP, out)


@compiled
def keep_levels(
    times: Array, values: Array, count: int, kind: int, budget: Budget, number: Array, out: Emitted, s: EncodeScratch
) -> None:
    """Keep levels; the chunk's extremes and other rare runs have levels of their own.

    A state's level is the value that it had longest in the segment, any other's the mean.
    """
    unit = number[SCALE] if number[SCALE] > 0.0 else 1.0
    for i in range(count):
        s.x[i] = float(i)
        s.y[i] = (stressed(values[i], number) - number[MEAN]) / unit
    extremes = rare_extremes(count, number, s)
    _pin_runs(values, count, budget.most, extremes, number, s)
    simplify(count, MEANS, budget, s)
    i = 0
    while i < count:
        end = s.after[i]
        value = _longest(values, times, i, end) if kind == STATE else _mean(values, i, end, number)
        add_point(times[i], value, STEP, out)
        i = end


@compiled
def _pin_runs(values: Array, count: int, most: int, extremes: int, number: Array, s: EncodeScratch) -> None:
    """Pin the ends of the runs beyond the running quantiles, most extreme first, as far as the budget allows."""
    for i in range(count):
        s.pinned[i] = 0
    room = max(2.0, _PINNED_PART * most) if most > 2 else 0.0
    for k in range(extremes):
        start, end = s.order[k], s.order[k] + 1
        side = _side(values[start], number)
        if side != 0:
            while start > 0 and _side(values[start - 1], number) == side:
                start -= 1
            while end < count and _side(values[end], number) == side:
                end += 1
        needed = (1 if start > 0 and not s.pinned[start] else 0) + (1 if end < count and not s.pinned[end] else 0)
        if needed > room:
            break
        room -= needed
        s.pinned[start] = 1
        if end < count:
            s.pinned[end] = 1


@compiled
def _side(value: float, number: Array) -> int:
    """Return on which side a value is beyond the running quantiles; 0 for within."""
    return 1 if value > number[HIGH] else (-1 if value < number[LOW] else 0)


@compiled
def _mean(values: Array, start: int, end: int, number: Array) -> float:
    """Return the mean of a segment: exactly its value if it has one, otherwise in digits that its series bears."""
    least, greatest, total = values[start], values[start], 0.0
    for i in range(start, end):
        least = min(least, values[i])
        greatest = max(greatest, values[i])
        total += values[i] / (end - start)
    if least == greatest:
        return least
    return min(max(rounded(total, number), least), greatest)


@compiled
def rounded(value: float, number: Array) -> float:
    """Return a value with one decimal more than its series has, or as many as its usual deviation asks for."""
    decimals = number[DECIMALS] + 1.0
    if number[SCALE] > 0.0:
        needed = max(3.0 - math.floor(math.log10(number[SCALE])), 0.0)
        decimals = needed if number[DECIMALS] < 0.0 else min(decimals, needed)
    if decimals < 0.0 or decimals > 15.0:
        return value
    unit = 10.0**decimals
    if abs(value) * unit > 1e15:
        return value
    return math.floor(value * unit + 0.5) / unit


@compiled
def _longest(values: Array, times: Array, start: int, end: int) -> float:
    """Return the value of the longest run of a segment; of equally long ones the first."""
    best, best_ms = values[start], -1
    run = start
    for i in range(start + 1, end + 1):
        if i == end or values[i] != values[run]:
            lasted = times[i - 1] - times[run]
            if lasted > best_ms:
                best, best_ms = values[run], lasted
            run = i
    return best
