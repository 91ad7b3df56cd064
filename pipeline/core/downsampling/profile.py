"""What a series is like, and which encoder suits it."""

import math

from pipeline.core.compiled import Array, compiled
from pipeline.core.downsampling.state import (
    ANCHOR_READING,
    AUTO,
    BURST,
    CHANGES,
    CHUNKS,
    CLASS_COUNTER,
    CLASS_NOISY,
    CLASS_SMOOTH,
    CLASS_SPIKY,
    CLASS_STEP,
    CORRELATION,
    COUNTER,
    DECIMALS,
    FALLS,
    INTEGERS,
    LAST_VALUE,
    RISES,
    STATE,
    Scratch,
)

NEAR_ZERO = 0.1
"""A fall to less than this part of the value before is taken for a counter's restart."""
MOST_DECIMALS = 6
_BURST_SHARE = 0.02
_FORGET = 0.25
"""The newest chunk's part in a profile."""
_FEWEST = 8
"""Samples of a chunk below which it says too little of its series."""


@compiled
def changes_of(values: Array, count: int) -> int:
    """Count the samples that differ from the one before."""
    changes = 0
    for i in range(1, count):
        if values[i] != values[i - 1]:
            changes += 1
    return changes


@compiled
def learn_profile(values: Array, count: int, number: Array, s: Scratch) -> None:
    """Add a chunk to what is known of its series."""
    _learn_decimals(values, count, number)
    if count < _FEWEST and number[CHUNKS] > 0:
        return
    changes, rises, falls, integers = 0, 0, 0, 0
    previous = values[0]
    if number[ANCHOR_READING] != 0:
        previous = number[LAST_VALUE]
    for i in range(count):
        value = values[i]
        if value != previous:
            changes += 1
            if value > previous:
                rises += 1
            elif not 0.0 <= value <= NEAR_ZERO * previous:
                falls += 1
        if value == math.floor(value):
            integers += 1
        previous = value
    part = max(_FORGET, 1.0 / (number[CHUNKS] + 1.0))
    _blend(number, CHANGES, changes / count, part)
    _blend(number, INTEGERS, integers / count, part)
    if changes:
        _blend(number, RISES, rises / changes, part)
        _blend(number, FALLS, falls / changes, part)
    _learn_shape(count, number, part, s)


@compiled
def choose_class(kind: int, changes: int, base: float, ratio: float, number: Array) -> int:
    """Give the class of a chunk with so many changes and a budget of ``base`` points."""
    if changes + 1 <= base or changes == 0:
        return CLASS_STEP  # this chunk, lossless, whatever the series is like
    if kind == COUNTER:
        return CLASS_COUNTER
    if kind == AUTO and number[INTEGERS] == 1.0 and number[CHANGES] > 0.02:
        if number[RISES] >= 0.98 and number[FALLS] == 0.0:
            return CLASS_COUNTER
    if kind == STATE or number[CHANGES] <= ratio:
        return CLASS_STEP
    if number[CORRELATION] < 0.3 or ratio < 0.03:
        return CLASS_NOISY
    if number[BURST] >= 0.25:
        return CLASS_SPIKY
    return CLASS_SMOOTH


@compiled
def _blend(number: Array, column: int, seen: float, part: float) -> None:
    number[column] += part * (seen - number[column])


@compiled
def _learn_shape(count: int, number: Array, part: float, s: Scratch) -> None:
    """Learn the correlation of neighbours and the burst share from the chunk's sorted values and its signal."""
    middle = s.sorted[count // 2]
    spread = s.sorted[count - 1] - s.sorted[0]
    if spread <= 0.0 or count < 3:
        return
    total, steps, mean = 0.0, 0.0, 0.0
    for i in range(count):
        mean += (s.signal[i] - middle) / spread
    mean /= count
    for i in range(count):
        z = (s.signal[i] - middle) / spread
        total += z * z
        if i:
            d = (s.signal[i] - s.signal[i - 1]) / spread
            steps += d * d
    variance = total / count - mean * mean
    top = 0.0
    low, high = 0, count - 1
    for _ in range(max(1, math.ceil(_BURST_SHARE * count))):
        below = (s.sorted[low] - middle) / spread
        above = (s.sorted[high] - middle) / spread
        if -below > above:
            top += below * below
            low += 1
        else:
            top += above * above
            high -= 1
    _blend(number, BURST, top / total if total > 0.0 else 0.0, part)
    if variance > 0.0:
        _blend(number, CORRELATION, 1.0 - steps / (count - 1) / (2.0 * variance), part)


@compiled
def _learn_decimals(values: Array, count: int, number: Array) -> None:
    """Note how many decimals the values have at most; -1 for more than are worth counting."""
    decimals = int(number[DECIMALS])
    if decimals < 0:
        return
    for i in range(count):
        value = abs(values[i])
        while True:
            scaled = value * 10.0**decimals
            if scaled > 1e15 or abs(scaled - math.floor(scaled + 0.5)) <= 1e-9 * max(scaled, 1.0):
                break
            decimals += 1
            if decimals > MOST_DECIMALS:
                number[DECIMALS] = -1.0
                return
    number[DECIMALS] = decimals
